"""Rows beside methods: floors, which need no network, and ceilings, which were told what no images tell."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from pipeline.common.config import Params
from pipeline.common.paths import CELLS, FLOORS
from pipeline.grid import records
from pipeline.present.draws import SAYS_NOTHING, doses
from pipeline.present.results import Grid, read_table

TABLES = ("scores", "metrics", "strata", "counterfactuals")  # those that have rows of floors and ceilings
Values = dict[str, pd.DataFrame]


def with_bounds(grid: Grid, values: Values, params: Params) -> tuple[Grid, Values]:
    """The grid and its tables with what floors and ceilings scored, as further methods.

    A floor has one unit per draw and is the same for every backbone. A ceiling is the unguided method on
    draws whose shortcut says nothing; guidance by the true causes is a method of the grid already.
    """
    floors, ceilings = list(_floors(grid)), list(_ceilings(grid, values, params))
    found = [*floors, *ceilings]
    wider = {
        name: pd.concat([values[name], *(tables[name] for _, tables in found if name in tables)])
        for name in TABLES
    }
    beside = pd.concat([pd.DataFrame(), *(rows for rows, _ in found)], ignore_index=True)
    below, above = (
        frozenset(name for rows, _ in part for name in rows["method"]) for part in (floors, ceilings)
    )
    return replace(grid, beside=beside, floors=below, ceilings=grid.ceilings | above), {**values, **wider}


def _floors(grid: Grid) -> Iterator[tuple[pd.DataFrame, Values]]:
    """(planned units, tables) of the floors of each draw, once per backbone."""
    places = grid.cells[["dataset", "draw", "backbone"]].drop_duplicates()
    for dataset, draw, backbone in places.itertuples(index=False, name=None):
        folder = CELLS["evaluate"] / draw / FLOORS
        record = records.read(folder)
        if record is None:
            continue
        about = {"dataset": dataset, "draw": draw, "backbone": backbone, "seed": 0}
        tables = {
            name: read_table(folder / f"{name}.csv").rename(columns={"floor": "method"}).assign(**about)
            for name in TABLES
            if f"{name}.csv" in record["files"]
        }
        names = dict.fromkeys(tables["metrics"]["method"])
        keys = {"cell": record["key"][:8], "evaluate_key": record["key"]}
        yield pd.DataFrame([{**about, "method": name, **keys} for name in names]), tables


def _ceilings(grid: Grid, values: Values, params: Params) -> Iterator[tuple[pd.DataFrame, Values]]:
    """(units, tables) of the unguided method on variants whose shortcut says nothing."""
    unguided = grid.references[-1]
    bases = [name for name, group in grid.draws.items() if not group.variant]
    variants = {
        name: base
        for base in bases
        for name, dose in doses(params, grid.draws, base).items()
        if name != base and dose == SAYS_NOTHING
    }
    for name, base in variants.items():
        about = {"dataset": base, "method": f"{unguided}, {grid.draws[name].variant}"}
        cells, *rest = (
            rows[(rows["dataset"] == name) & (rows["method"] == unguided)].assign(**about)
            for rows in (grid.cells, *(values[table] for table in TABLES))
        )
        yield cells, dict(zip(TABLES, rest, strict=True))
