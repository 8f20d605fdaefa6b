"""From values per cell to rows of a table: means over units, and paired differences in one long form.

A unit is a (draw, seed): the same one means the same data, split, first weights and order for every method,
hence pairs. An estimate is the mean over draws of the means over seeds. Its interval is, unless a sampler of
`sampling` is given, Student's t over seeds, or over the means of draws where there are several.

An estimate says on how many of the planned cells it rests (`n` of `planned`) and names them by short keys
(`cells.csv` has the full ones). A planned cell without a result lowers `n`; its row stays visible.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from pipeline.present.results import AT, GROUP, PLACE, UNIT, Grid
from pipeline.score.stats import FEWEST, Interval, holm, sign_flip_p, t_interval

ROUNDING = 12  # decimals of a mean of differences: its rounding errors are no gain


class Sampler(Protocol):
    """What gives an estimate its interval."""

    def of(self, units: pd.DataFrame) -> Interval:
        """Of the units (PLACE, the columns asked by, value) of one method and quantity."""

    def of_gains(self, units: pd.DataFrame) -> Interval:
        """Of the units that two methods share; the other's are `other` and `value_other`."""


class OverUnits:
    """Student's t over seeds, or over the means of draws where there are several."""

    def __init__(self, confidence: float) -> None:
        self.confidence = confidence

    def of(self, units: pd.DataFrame) -> Interval:
        """See `Sampler`."""
        draws, values = (units[name].to_numpy() for name in ("draw", "value"))
        if len(set(draws)) > 1:
            values = units.groupby("draw", sort=False)["value"].mean().to_numpy()
        return t_interval(values, self.confidence)

    def of_gains(self, units: pd.DataFrame) -> Interval:
        """See `Sampler`."""
        return self.of(units.assign(value=units["value"] - units["value_other"]))


def summarise(
    values: pd.DataFrame, by: Sequence[str], grid: Grid, sampler: Sampler | None = None
) -> pd.DataFrame:
    """Mean and interval over units of the column `value`, per GROUP and `by`.

    `values` has the columns of PLACE, *by, value. Returns GROUP, beside (`Grid.kind`), *by, planned,
    recorded, n, mean, low, high, cells: a row for every planned method and every quantity that its data set
    has. `recorded` counts the units that report the quantity, `n` those in which it is defined; where n = 0
    the numbers are blank.
    """
    sampler = sampler or OverUnits(grid.confidence)
    known = values.merge(grid.rows[[*PLACE, "cell"]], on=PLACE)
    rows = []
    for index, group in _groups(known, [*GROUP, *by]):
        defined = group[group["value"].notna().to_numpy()]  # a mask: `dropna` takes five times as long
        mean, low, high = sampler.of(defined)
        rows.append((*index, len(group), len(defined), mean, low, high, " ".join(defined["cell"])))
    keys = [*GROUP, *by]
    found = pd.DataFrame(rows, columns=[*keys, "recorded", "n", "mean", "low", "high", "cells"])
    found = found.astype(values[keys].dtypes)  # also where there are no rows
    frame = _planned_rows(values, by, grid).merge(found, how="left")
    counts = {name: frame[name].fillna(0).astype(int) for name in ("recorded", "n")}
    return frame.assign(**counts, cells=frame["cells"].fillna(""))


def _groups(values: pd.DataFrame, keys: list[str]) -> Iterable[tuple[Any, pd.DataFrame]]:
    """Units in order, per value of the keys; a blank is a value like any other."""
    places = {name: place for place, name in enumerate(dict.fromkeys(values["draw"]))}
    ordered = values.assign(place=values["draw"].map(places)).sort_values(["place", "seed"], kind="stable")
    return ordered.drop(columns="place").groupby(keys, sort=False, dropna=False)


def _planned_rows(values: pd.DataFrame, by: Sequence[str], grid: Grid) -> pd.DataFrame:
    """The rows of a complete grid: data sets, backbones and methods in the order of params.yaml."""
    planned = grid.rows.groupby(GROUP, sort=False).size().rename("planned").reset_index()
    asked = values[["dataset", *by]].drop_duplicates().reset_index(drop=True)
    frame = planned.merge(asked.assign(place=asked.index), on="dataset", how="inner")
    ranks = {column: _rank(frame[column], grid.rows[column]) for column in GROUP}
    order = np.lexsort((ranks["method"], frame["place"], ranks["backbone"], ranks["dataset"]))
    frame = frame.iloc[order].reset_index(drop=True)
    frame["beside"] = frame["method"].map(grid.kind)
    return frame[[*GROUP, "beside", *by, "planned"]]


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
    sampler: Sampler | None = None,
) -> pd.DataFrame:
    """Differences between methods, paired by unit: one row per pair, data set, backbone and value of `by`.

    `values` has the columns of PLACE, *by, *over, value; what differs in `over` is averaged within each unit,
    over all that both methods have. Returns GROUP, other, *by, value (method minus other) with its interval
    low and high, pairs (units), p of the sign-flip test over units (blank below FEWEST of them, as no p could
    then be small), and `adjusted`: p by Holm within a family, which is all rows with the same values in the
    columns `family`. Pairs come in their order; what no unit has of both methods has no row.
    """
    sampler = sampler or OverUnits(confidence)
    at = ["dataset", "backbone", *by]
    about = [name for name in AT if name in values and name not in {*by, *over}]  # for the sampler
    known = values[[*PLACE, *by, *over, *about, "value"]].dropna(subset="value")
    rows = []
    for method, other in pairs:
        mine, theirs = (known[known["method"] == name] for name in (method, other))
        both = mine.merge(theirs.drop(columns="method"), on=[*at, *UNIT, *over], suffixes=("", "_other"))
        for place, group in _groups(both.assign(other=other), at):
            units = _per_unit(group) if over else group
            gains = (units["value"] - units["value_other"]).to_numpy()
            p = sign_flip_p(gains) if len(gains) >= FEWEST else np.nan
            interval = sampler.of_gains(units)
            rows.append((*place[:2], method, other, *place[2:], *interval, len(gains), p))
    columns = [*GROUP, "other", *by, "value", "low", "high", "pairs", "p"]
    return _with_adjusted(pd.DataFrame(rows, columns=columns), family)


def _per_unit(group: pd.DataFrame) -> pd.DataFrame:
    """Means within each unit, rounded so that errors of summing are no gain."""
    means = group.groupby(UNIT, sort=False)[["value", "value_other"]].mean()
    gains = (means["value"] - means["value_other"]).round(ROUNDING)
    return means.assign(value=gains, value_other=0.0).reset_index()


def _with_adjusted(differences: pd.DataFrame, family: Sequence[str]) -> pd.DataFrame:
    adjusted = pd.Series(np.nan, index=differences.index)
    families = differences.groupby(list(family), dropna=False) if family else [("", differences)]
    for _, group in families:
        adjusted[group.index] = holm(group["p"].to_numpy())
    return differences.assign(adjusted=adjusted)


def to_references(grid: Grid) -> list[tuple[str, str]]:
    """(method, reference) of each method or control and each method that differences are taken to."""
    methods = [name for name in dict.fromkeys(grid.cells["method"]) if grid.kind(name) in ("", "control")]
    return [(method, other) for other in grid.references for method in methods if method != other]


def verdicts(differences: pd.DataFrame, confidence: float) -> list[str]:
    """What differences are: higher or lower where the interval excludes 0 and the adjusted p is small.

    Else unclear; few where there are too few units for a p.
    """
    low, high, adjusted = differences["low"], differences["high"], differences["adjusted"]
    told = adjusted <= 1 - confidence + 1e-12  # 1 - 0.95 is a little more than 0.05, 1 - 0.9 a little less
    kinds = {"few": adjusted.isna(), "higher": told & (low > 0), "lower": told & (high < 0)}
    signs = np.select(list(kinds.values()), list(kinds), "unclear")
    return [str(sign) for sign in signs]
