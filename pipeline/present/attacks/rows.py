"""What the tables of attacks share: the attacks that one shows, their estimates and differences as rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.present.attack_gallery import BRIGHT
from pipeline.present.comparisons import compare, summarise
from pipeline.present.results import GROUP, Grid
from pipeline.present.tables import (
    difference_texts,
    estimate_lines,
    in_order,
    named,
    parts,
    rests_on,
    spread,
)

BY = ["explanation", "metric", "budget"]
TARGET = "target: similarity to the map that the attack asked for, before and after it"
DECIDES = "Decisions are at the threshold of equal errors on validation."
COMPARED = (
    "Differences are paired by unit, to the method that is the same but for one defence or for the images' "
    "own maps, and to the plain one: the same loss, the backbone's activation, no regulariser, the usual "
    "weight decay."
)
SHADES = (
    "Each map runs over its own range, dark to bright, the CAM too, which is signed; maps as large as the "
    f"image end at their {BRIGHT}th percentile. Difference salience is shown about 0: blue below, red above."
)
MOST_LEVELS = 64  # budgets above are shares of the grey range


@dataclass(frozen=True)
class Attacked:
    """Attacks of a grid, and what their records say."""

    values: pd.DataFrame  # PLACE, attack and the columns of values.csv
    grid: Grid  # whose `attacks` are the planned ones
    methods: pd.DataFrame  # `variants.variants`

    def shown_in(self, table: str) -> "Attacked":
        """The attacks that declare this table."""
        return self.only(self.grid.attacks[self.grid.attacks["table"] == table])

    def only(self, planned: pd.DataFrame) -> "Attacked":
        """Some rows of the grid's attacks, and the values of the attacks that they name."""
        values = self.values[self.values["attack"].isin(planned["attack"])]
        return replace(self, values=values, grid=replace(self.grid, attacks=planned))

    def estimates(self) -> pd.DataFrame:
        """Rows of `summarise` per attack; planned are the cells that the attack is planned for."""
        known = self.grid.attacks[["attack", "kind"]].drop_duplicates()
        frames = []
        for attack, kind in known.itertuples(index=False):
            found = summarise(self.values[self.values["attack"] == attack], BY, self.grid.under(attack))
            found.insert(len(GROUP) + 1, "attack", attack)
            found.insert(len(GROUP) + 2, "kind", kind)
            frames.append(found)
        return pd.concat(frames, ignore_index=True)

    def differences(self, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
        """Rows of `compare` per attack; a family is all that one attack and measure are compared in."""
        return compare(self.values, ["attack", *BY], pairs, self.grid.confidence, family=["attack", "metric"])

    def within(self, rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
        """The values that share what all rows of a panel have in these columns."""
        values = self.values
        for column in columns:
            values = values[values[column] == rows[column].iloc[0]]
        return values

    def settings(self, rows: pd.DataFrame) -> str:
        """What the attacks of some rows are, with their settings."""
        known = self.grid.attacks.drop_duplicates("attack").set_index("attack")
        said = [
            f"{name}: {known.loc[name, 'kind']}, {known.loc[name, 'settings']}"
            for name in rows["attack"].unique()
        ]
        return f"{'; '.join(said)}."

    def rests_on(self) -> str:
        """How many attacked cells a table rests on, and what else must be said of it."""
        attacked = self.grid.under(*self.grid.attacks["attack"])
        return rests_on(attacked, "robustness", "attacked cells", compared=True)

    def flat_maps(self) -> str:
        """What becomes of correlations that do not exist."""
        return (
            "A flat map has no correlation: its image is left out of that mean "
            f"({self.values['undefined'].sum()} times in all measures and cells)."
        )

    def pictures(self, caption: str) -> dict[str, str]:
        """Stem -> caption of the picture of each attack; the caption begins with its name."""
        names = self.grid.attacks["attack"].unique()
        return {f"attack_{name}": f"{name}: {caption}" for name in names}


def by_attack(tidy: pd.DataFrame, grid: Grid) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(data set, heading, rows) for each data set, backbone and attack."""
    for dataset, heading, part in parts(tidy, grid):
        for attack, rows in part.groupby("attack", sort=False):
            yield dataset, f"{heading}, {attack}", rows


def map_lines(rows: pd.DataFrame, grid: Grid, columns: Iterable[str]) -> pd.DataFrame:
    """One line per method and explanation; rows say their `column`."""
    spoken = in_order(rows.assign(explanation=rows["explanation"].str.replace("_", " ")), grid)
    return estimate_lines(spoken, grid, columns, by=("method", "explanation"))


def difference_lines(
    differences: pd.DataFrame, shown: pd.DataFrame, grid: Grid, *, name_other: bool
) -> pd.DataFrame:
    """One line per method and what it is compared with, for the rows that are shown; empty without any.

    `shown` are estimates with their `column` and `digits`; name_other: whether the other method has a column.
    """
    at = [*GROUP, "attack", *BY]
    found = differences.merge(shown[[*at, "column", "digits"]], on=at)
    found = in_order(found, grid).rename(columns={"other": "compared with"})
    by = ("method", "compared with") if name_other else ("method",)
    return named(spread(found.assign(text=difference_texts(found)), shown["column"], by=by), grid)


def budget_text(value: float) -> str:
    """A budget in grey levels of 255 where it is a few halves of them, as people write it.

    >>> budget_text(0.00392), budget_text(0.5 / 255), budget_text(0.01), budget_text(1.0)
    ('1/255', '0.5/255', '0.01', '1')
    """
    levels = round(510 * value) / 2
    near = 0 < levels <= MOST_LEVELS and abs(255 * value - levels) < 0.002
    return f"{levels:g}/255" if near else f"{value:.3g}"
