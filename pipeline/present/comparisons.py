"""From values per cell to rows of a table: mean over seeds, paired differences, and the cells behind them.

Each row says on how many of the planned cells it rests (`n` of `planned`) and names them by short keys
(`cells.csv` has the full ones). A planned cell without a result lowers `n`; its row stays visible.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.score.stats import holm, sign_flip_p, t_interval

GROUP = ["dataset", "backbone", "method"]
ATTACKS = [*GROUP, "seed", "cell", "attack", "kind", "settings", "robustness_key"]


class Note(NamedTuple):
    """What must be said wherever a data set is shown."""

    title: str
    notice: str
    phantom: bool


@dataclass(frozen=True)
class Grid:
    """The planned cells and how they are compared."""

    datasets: dict[str, Note]
    controls: frozenset[str]  # methods whose maps are not the image's own
    references: tuple[str, ...]  # methods that differences are taken to
    confidence: float
    cells: pd.DataFrame  # GROUP, seed, cell (short key, blank if untrained), <stage>_key..., missing
    attacks: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ATTACKS))  # planned ones

    def under(self, *attacks: str) -> "Grid":
        """The same grid of the cells that these attacks are planned for, once per attack."""
        return replace(self, cells=self.attacks[self.attacks["attack"].isin(attacks)])


def summarise(values: pd.DataFrame, by: list[str], grid: Grid) -> pd.DataFrame:
    """Mean and t interval over seeds of the column `value`, per GROUP and `by`.

    `values` has the columns of GROUP, seed, *by, value. Returns GROUP, control, *by, planned, recorded, n,
    mean, low, high, cells: a row for every planned method and every quantity that its data set has.
    `recorded` counts the cells that report the quantity, `n` those in which it is defined; where n = 0 the
    numbers are blank.
    """
    known = values.merge(grid.cells[[*GROUP, "seed", "cell"]], on=[*GROUP, "seed"])
    rows = []
    for index, group in _groups(known, by):
        defined = group.dropna(subset="value")
        mean, low, high = t_interval(defined["value"].to_numpy(), grid.confidence)
        rows.append((*index, len(group), len(defined), mean, low, high, " ".join(defined["cell"])))
    found = _typed(rows, by, ["recorded", "n", "mean", "low", "high", "cells"], values)
    frame = _skeleton(values, by, grid).merge(found, how="left")
    counts = {name: frame[name].fillna(0).astype(int) for name in ("recorded", "n")}
    return frame.assign(**counts, cells=frame["cells"].fillna(""))


def _groups(values: pd.DataFrame, by: list[str]) -> Iterable[tuple[Any, pd.DataFrame]]:
    """Seeds in order, per GROUP and `by`; a blank is a value like any other."""
    return values.sort_values("seed", kind="stable").groupby([*GROUP, *by], sort=False, dropna=False)


def _typed(rows: list[tuple], by: list[str], names: list[str], values: pd.DataFrame) -> pd.DataFrame:
    """Rows per GROUP and `by` whose keys have the types of the values' own, also where there are no rows."""
    keys = [*GROUP, *by]
    return pd.DataFrame(rows, columns=[*keys, *names]).astype(values[keys].dtypes)


def _skeleton(values: pd.DataFrame, by: list[str], grid: Grid) -> pd.DataFrame:
    """The rows of a complete grid: data sets, backbones and methods in the order of params.yaml."""
    planned = grid.cells.groupby(GROUP, sort=False).size().rename("planned").reset_index()
    asked = values[["dataset", *by]].drop_duplicates().reset_index(drop=True)
    frame = planned.merge(asked.assign(place=asked.index), on="dataset", how="inner")
    ranks = {column: _rank(frame[column], grid.cells[column]) for column in GROUP}
    order = np.lexsort((ranks["method"], frame["place"], ranks["backbone"], ranks["dataset"]))
    frame = frame.iloc[order].reset_index(drop=True)
    frame["control"] = frame["method"].isin(grid.controls)
    return frame[[*GROUP, "control", *by, "planned"]]


def _rank(names: pd.Series, ordered: pd.Series) -> np.ndarray:
    places = {name: place for place, name in enumerate(dict.fromkeys(ordered))}
    return names.map(places).to_numpy()


def paired(values: pd.DataFrame, by: list[str], reference: str, grid: Grid) -> pd.DataFrame:
    """Differences to the method `reference` over shared seeds: mean, t interval, exact sign-flip p.

    Same seed means same split, first weights and order for every method, hence pairs.
    """
    on = ["dataset", "backbone", "seed", *by]
    mine = values[[*on, "method", "value"]].dropna(subset="value")
    theirs = mine[mine["method"] == reference].drop(columns="method")
    pairs = mine[mine["method"] != reference].merge(theirs, on=on, suffixes=("", "_reference"))
    pairs["gain"] = pairs["value"] - pairs["value_reference"]
    rows = []
    for index, group in _groups(pairs, by):
        gains = group["gain"].to_numpy()
        mean, low, high = t_interval(gains, grid.confidence)
        rows.append((*index, mean, low, high, len(gains), sign_flip_p(gains)))
    names = [f"vs_{reference}{part}" for part in ("", "_low", "_high", "_pairs", "_p")]
    return _typed(rows, by, names, values)


def compared(values: pd.DataFrame, by: list[str], family: str, grid: Grid) -> pd.DataFrame:
    """`summarise` with paired differences to every reference, and Holm's p.

    A family is all that is compared to one reference at one value of the column `family`: every data set,
    backbone and method, controls too.
    """
    frame = summarise(values, by, grid)
    cells = frame.pop("cells")
    for reference in grid.references:
        frame = frame.merge(paired(values, by, reference, grid), how="left", on=[*GROUP, *by])
        tested = frame[frame[f"vs_{reference}_p"].notna()]
        adjusted = pd.Series(np.nan, index=frame.index)
        for _, group in tested.groupby(family):
            adjusted[group.index] = holm(group[f"vs_{reference}_p"].to_numpy())
        frame[f"vs_{reference}_holm"] = adjusted
    return frame.assign(cells=cells)


def verdicts(generalisation: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Who beats whom in macro held-out AUROC: better or worse when the paired interval excludes 0.

    One row per data set, backbone, method and reference: difference, low, high, pairs, verdict.
    """
    macro = generalisation[generalisation["scope"] == "macro"]
    parts = []
    for reference in grid.references:
        rows = macro[macro["method"] != reference]
        part = rows[[*GROUP, "control"]].assign(reference=reference)
        for column, name in (("difference", ""), ("low", "_low"), ("high", "_high"), ("pairs", "_pairs")):
            part[column] = rows[f"vs_{reference}{name}"]
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    frame["verdict"] = "unclear"
    frame.loc[frame["low"] > 0, "verdict"] = "better"
    frame.loc[frame["high"] < 0, "verdict"] = "worse"
    frame.loc[frame["difference"].isna(), "verdict"] = "missing"
    return frame
