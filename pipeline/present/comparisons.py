"""From values per cell to rows of a table: means over seeds, and paired differences in one long form.

An estimate says on how many of the planned cells it rests (`n` of `planned`) and names them by short keys
(`cells.csv` has the full ones). A planned cell without a result lowers `n`; its row stays visible.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.present.results import GROUP, Grid
from pipeline.score.stats import holm, sign_flip_p, t_interval

ROUNDING = 12  # decimals of a mean of differences: its rounding errors are no gain


def summarise(values: pd.DataFrame, by: list[str], grid: Grid) -> pd.DataFrame:
    """Mean and t interval over seeds of the column `value`, per GROUP and `by`.

    `values` has the columns of GROUP, seed, *by, value. Returns GROUP, control, *by, planned, recorded, n,
    mean, low, high, cells: a row for every planned method and every quantity that its data set has.
    `recorded` counts the cells that report the quantity, `n` those in which it is defined; where n = 0 the
    numbers are blank.
    """
    known = values.merge(grid.cells[[*GROUP, "seed", "cell"]], on=[*GROUP, "seed"])
    rows = []
    for index, group in _groups(known, [*GROUP, *by]):
        defined = group.dropna(subset="value")
        mean, low, high = t_interval(defined["value"].to_numpy(), grid.confidence)
        rows.append((*index, len(group), len(defined), mean, low, high, " ".join(defined["cell"])))
    keys = [*GROUP, *by]
    found = pd.DataFrame(rows, columns=[*keys, "recorded", "n", "mean", "low", "high", "cells"])
    found = found.astype(values[keys].dtypes)  # also where there are no rows
    frame = _planned_rows(values, by, grid).merge(found, how="left")
    counts = {name: frame[name].fillna(0).astype(int) for name in ("recorded", "n")}
    return frame.assign(**counts, cells=frame["cells"].fillna(""))


def _groups(values: pd.DataFrame, keys: list[str]) -> Iterable[tuple[Any, pd.DataFrame]]:
    """Seeds in order, per value of the keys; a blank is a value like any other."""
    return values.sort_values("seed", kind="stable").groupby(keys, sort=False, dropna=False)


def _planned_rows(values: pd.DataFrame, by: list[str], grid: Grid) -> pd.DataFrame:
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


def compare(
    values: pd.DataFrame,
    by: Sequence[str],
    pairs: Iterable[tuple[str, str]],
    confidence: float,
    *,
    over: Sequence[str] = (),
    family: Sequence[str] = ("other",),
) -> pd.DataFrame:
    """Differences between methods, paired by seed: one row per pair, data set, backbone and value of `by`.

    Same seed means same split, first weights and order for every method, hence pairs. `values` has the
    columns of GROUP, seed, *by, *over, value; what differs in `over` is averaged within each seed, over all
    that both methods have. Returns GROUP, other, *by, value (method minus other) with its t interval low and
    high, pairs (seeds), p of the exact sign-flip test, and `adjusted`: p by Holm within a family, which is
    all rows with the same values in the columns `family`. Pairs come in their order; what no seed has of both
    methods has no row.
    """
    at = ["dataset", "backbone", *by]
    known = values[[*GROUP, "seed", *by, *over, "value"]].dropna(subset="value")
    rows = []
    for method, other in pairs:
        mine, theirs = (known[known["method"] == name].drop(columns="method") for name in (method, other))
        both = mine.merge(theirs, on=[*at, "seed", *over], suffixes=("", "_other"))
        both = both.assign(gain=both["value"] - both["value_other"])
        for place, group in _groups(both, at):
            means = group.groupby("seed")["gain"].mean()
            gains = (means.round(ROUNDING) if over else means).to_numpy()
            interval = t_interval(gains, confidence)
            rows.append((*place[:2], method, other, *place[2:], *interval, len(gains), sign_flip_p(gains)))
    columns = [*GROUP, "other", *by, "value", "low", "high", "pairs", "p"]
    return _with_adjusted(pd.DataFrame(rows, columns=columns), family)


def _with_adjusted(differences: pd.DataFrame, family: Sequence[str]) -> pd.DataFrame:
    adjusted = pd.Series(np.nan, index=differences.index)
    for _, group in differences.groupby(list(family), dropna=False):
        adjusted[group.index] = holm(group["p"].to_numpy())
    return differences.assign(adjusted=adjusted)


def to_references(grid: Grid) -> list[tuple[str, str]]:
    """(method, reference) of each planned method and each method that differences are taken to."""
    methods = dict.fromkeys(grid.cells["method"])
    return [(method, other) for other in grid.references for method in methods if method != other]


def verdicts(differences: pd.DataFrame) -> list[str]:
    """What each interval says: better or worse where it excludes 0, single of one seed, else unclear."""
    low, high = differences["low"], differences["high"]
    signs = np.select([low > 0, high < 0, low.isna()], ["better", "worse", "single"], "unclear")
    return [str(sign) for sign in signs]
