"""The main table: does a model decide by what people marked? Excerpts for README, page and DVC."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from pipeline.present.comparisons import Sampler, compare, summarise, to_references, verdicts
from pipeline.present.quantities import HEADLINES, QUANTITIES, quantities
from pipeline.present.results import GROUP, Grid
from pipeline.present.tables import (
    Panel,
    Table,
    bracketed_texts,
    gain_texts,
    in_order,
    named,
    parts,
    rests_on,
    spread,
)
from pipeline.score.bootstrap import RESAMPLES

DIGITS = 10  # significant, as in CSV files
BOUNDS = "Floors need no network; ceilings were trained with exact causes, or where the mark says nothing."
FIGURES = {
    "dose": "Dose and response: what becomes of methods as the shortcut fits the label more often in "
    "training. Mean over units, bars: the interval.",
    "filled": "Images as they are, without what people marked, and with that alone (the rest is blurred). To "
    "the right the answer of each method, first draw, backbone and seed: the logit difference, above 0 for "
    "label 1.",
}


def table(values: Mapping[str, pd.DataFrame], grid: Grid, sampler: Sampler | None = None) -> Table:
    """Every quantity of every method, floors and ceilings beside them, and differences to the references."""
    found = quantities(values, grid)
    tidy = summarise(found, ["quantity"], grid, sampler)
    tidy = tidy[(tidy["recorded"] > 0) | (tidy["beside"] != "floor")]
    differences = _differences(found, grid, sampler)
    caption = (
        f"{explained(tidy['quantity'])} {BOUNDS} Differences are paired by unit, to "
        f"{' and to '.join(grid.references)}; p: sign flips over units, adjusted by Holm over the data sets, "
        "backbones and methods that are compared with one method in one quantity, variants of a data set "
        "apart. "
        f"{rests_on(grid, 'evaluate', interval=about_bootstrap(grid), compared=True)}"
    )
    panels = list(_panels(tidy, differences, grid))
    return Table("evidence", "Evidence", caption, tidy, panels, differences, FIGURES)


def explained(names: Iterable[str]) -> str:
    """What these quantities are, in the order of QUANTITIES."""
    wanted = set(names)
    return " ".join(f"{each.title}: {each.meaning}." for name, each in QUANTITIES.items() if name in wanted)


def about_bootstrap(grid: Grid) -> str:
    """What the intervals of `sampling.Bootstrap` are."""
    several = any(len(group.draws) > 1 for group in grid.draws.values())
    levels = "draws, seeds within draws" if several else "seeds"
    return (
        f"Mean [{grid.confidence:.0%} interval] by bootstrap over {levels} and, but for tests that change "
        f"images, test subjects, {RESAMPLES:,} resamples; with few units it is too narrow."
    )


def _differences(found: pd.DataFrame, grid: Grid, sampler: Sampler | None) -> pd.DataFrame:
    """Rows of `compare`; plain data sets and each variant are families of their own."""
    pairs = to_references(grid)
    rows = [
        compare(
            found[found["dataset"].isin(names)],
            ["quantity"],
            pairs,
            grid.confidence,
            family=["other", "quantity"],
            sampler=sampler,
        )
        for names in grid.families()
    ]
    return pd.concat(rows, ignore_index=True)


def _panels(tidy: pd.DataFrame, differences: pd.DataFrame, grid: Grid) -> Iterator[Panel]:
    titles = {name: about.title for name, about in QUANTITIES.items()}
    for dataset, heading, part in parts(tidy, grid):
        part = part.assign(column=part["quantity"].map(titles), text=bracketed_texts(part))
        yield Panel(dataset, heading, named(spread(part, titles.values()), grid))
        own = (differences["dataset"] == dataset) & (differences["backbone"] == part["backbone"].iloc[0])
        gains = in_order(differences[own], grid)
        if len(gains):
            gains = gains.assign(column=gains["quantity"].map(titles), text=gain_texts(gains))
            gains = gains.rename(columns={"other": "compared with"})
            lines = spread(gains, titles.values(), by=("method", "compared with"))
            yield Panel(dataset, f"{heading}; differences", named(lines, grid))


def estimates(main: Table, quantity: str) -> pd.DataFrame:
    """The rows about one quantity with their `text`, each with a blank `verdict`."""
    rows = main.tidy[main.tidy["quantity"] == quantity]
    return rows.assign(text=bracketed_texts(rows), verdict="")


def gains(main: Table, quantity: str, reference: str, confidence: float) -> pd.DataFrame:
    """A row per data set, backbone and method that is compared with the reference in one quantity.

    GROUP, text, verdict: better, worse, unclear, few, or missing where there is no pair of units.
    """
    rows = main.tidy[(main.tidy["quantity"] == quantity) & (main.tidy["method"] != reference)]
    planned = rows.loc[rows["beside"].isin(["", "control"]), GROUP]
    found = main.differences
    found = found[(found["quantity"] == quantity) & (found["other"] == reference)]
    words = {"higher": "better", "lower": "worse"}
    if QUANTITIES[quantity].better == "lower":
        words = {"higher": "worse", "lower": "better"}
    said = [words.get(verdict, verdict) for verdict in verdicts(found, confidence)]
    found = found[GROUP].assign(text=gain_texts(found), verdict=said)
    return planned.merge(found, how="left").fillna({"text": "–", "verdict": "missing"})


def shown_first(main: Table, grid: Grid) -> list[str]:
    """The quantities at the head of the page: headlines, and macro AUROC if a data set has none of them."""
    plain = main.tidy[~main.tidy["dataset"].isin(grid.variants())]
    headed = plain.loc[plain["quantity"].isin(HEADLINES), "dataset"]
    names = [name for name in HEADLINES if (plain["quantity"] == name).any()]
    macro = plain[~plain["dataset"].isin(headed) & (plain["quantity"] == "held_out_auroc")]
    return [*names, *(["held_out_auroc"] if len(macro) else [])]


def readme_rows(main: Table, grid: Grid) -> pd.DataFrame:
    """A line per method: the first quantities of each plain data set and backbone; empty without any."""
    rows = main.tidy[main.tidy["quantity"].isin(shown_first(main, grid))]
    rows = rows[~rows["dataset"].isin(grid.variants())]
    text = pd.DataFrame(index=pd.Index(rows["method"].unique(), name="method"))
    for (dataset, backbone, quantity), part in rows.groupby([*GROUP[:2], "quantity"], sort=False):
        name = f"{dataset}, {backbone}" if rows["backbone"].nunique() > 1 else str(dataset)
        texts = pd.Series(bracketed_texts(part), part["method"])
        text[f"{name}: {QUANTITIES[str(quantity)].title}"] = texts
    return named(text.fillna("–"), grid)


def headlines(tidy: pd.DataFrame) -> dict[str, dict[str, float]]:
    """<data set>/<backbone>/<method> -> quantity -> mean over units; bounds left out.

    Means alone, since `dvc metrics` has a row for each of these and a column for each quantity; intervals and
    counts are in the tables.
    """
    found: dict[str, dict[str, float]] = {}
    defined = tidy[(tidy["n"] > 0) & ~tidy["beside"].isin(["floor"])]
    for row in defined.to_dict("records"):
        numbers = found.setdefault("/".join((row["dataset"], row["backbone"], row["method"])), {})
        numbers[row["quantity"]] = float(f"{row['mean']:.{DIGITS}g}")
    return found
