"""The table of AUROC on each source when it was left out of training, and of the mean over them."""

from dataclasses import replace

import pandas as pd

from pipeline.present.comparisons import summarise
from pipeline.present.results import GROUP, PLACE, Grid
from pipeline.present.tables import Panel, Table, estimate_texts, named, rests_on, spread

MEAN = "mean over sources"


def tables(metrics: pd.DataFrame, grid: Grid) -> list[Table]:
    """Leave one source out, if some data sets are folds (`held_out: each`); else no table.

    The interval of a source is over the units of its fold; that of the mean is over the means of each unit,
    for which a seed must have been measured on all folds.
    """
    folds = [name for name, group in grid.draws.items() if group.draws[0] in grid.folds]
    if not folds:
        return []
    own = replace(grid, cells=_of(grid.cells, folds), beside=_of(grid.beside, folds))
    auroc = metrics[(metrics["metric"] == "auroc") & (metrics["scope"] == "macro")]
    values = _of(auroc, folds)[[*PLACE, "value"]]
    first = {name: grid.folds[grid.draws[name].draws[0]] for name in folds}
    single = summarise(
        values.assign(column=values["dataset"].map(lambda name: first[name].source)), ["column"], own
    )
    single["dataset"] = single["dataset"].map(lambda name: first[name].of)
    joined = replace(own, cells=_join(own.cells, own), beside=_join(own.beside, own))
    means = summarise(_mean(values, own).assign(column=MEAN), ["column"], joined)
    tidy = pd.concat([single, means], ignore_index=True)
    panels = []
    for (dataset, backbone), part in tidy.groupby(GROUP[:2], sort=False):
        fold = next(name for name in folds if first[name].of == dataset)
        title = grid.datasets[fold].title.removesuffix(f", without {first[fold].source}")
        text = spread(part.assign(text=estimate_texts(part)))
        panels.append(Panel(fold, f"{title}, {backbone}", named(text, grid)))
    caption = (
        "AUROC on each source when it alone was held out: its images were neither trained on nor validated "
        "on, so that no epoch, threshold or alpha saw them. Negatives are those of the source, if it has "
        f"such, else of the closed test. Last the {MEAN}, of the seeds that were measured on all of them. "
        f"{rests_on(own, 'evaluate')}"
    )
    return [Table("left_out", "Leave one source out", caption, tidy, panels)]


def _of(rows: pd.DataFrame, folds: list[str]) -> pd.DataFrame:
    return rows[rows["dataset"].isin(folds)].reset_index(drop=True) if len(rows) else rows


def _join(cells: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """One row for the cells of all folds with the same unit."""
    if not len(cells):
        return cells
    renamed = _rename(cells, grid)
    keys = renamed.groupby(PLACE, sort=False)["cell"].agg(lambda names: " ".join(filter(None, names)))
    return keys.reset_index()


def _mean(values: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """The mean over folds of each unit, blank where a fold of its data set is missing."""
    renamed = _rename(values, grid)
    planned = _rename(grid.cells, grid).groupby(PLACE).size()
    found = renamed.groupby(PLACE, sort=False)["value"].agg(["mean", "count"])
    whole = found["count"] == planned.reindex(found.index)
    return found["mean"].where(whole).rename("value").reset_index()


def _rename(rows: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Rows of folds under the names of the data sets and draws that these are of."""
    first = {
        name: grid.folds[group.draws[0]].of
        for name, group in grid.draws.items()
        if group.draws[0] in grid.folds
    }
    return rows.assign(
        dataset=rows["dataset"].map(first), draw=rows["draw"].map(lambda name: grid.folds[name].of)
    )
