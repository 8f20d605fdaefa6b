"""What the cells cost on the machine that ran them: part of no output that is compared between machines."""

import pandas as pd

from pipeline.common.paths import CELLS
from pipeline.grid import records
from pipeline.present.comparisons import summarise
from pipeline.present.results import PLACE, STAGES, Grid, cell_of
from pipeline.present.tables import Table, panels, rests_on


def cost(grid: Grid) -> Table:
    """Seconds per stage and epoch and memory, as far as they are known here, and the size of the models."""
    rows = [
        {**{name: row[name] for name in PLACE}, "quantity": quantity, "value": value}
        for _, row in grid.cells.iterrows()
        for quantity, value in _numbers(row)
    ]
    tidy = summarise(pd.DataFrame(rows, columns=[*PLACE, "quantity", "value"]), ["quantity"], grid)
    caption = (
        "Seconds and megabytes of each cell on the machine that ran it (several cells at a time share it, so "
        "compare within a table only); they change when a cell is run again, and are unknown where results "
        f"were fetched. {rests_on(grid, 'train')}"
    )
    found = list(panels(tidy.assign(column=tidy["quantity"], digits=1), grid))
    return Table("cost", "Cost", caption, tidy, found)


def _numbers(row: pd.Series) -> list[tuple[str, float]]:
    """Named numbers of a cell: seconds per stage and epoch, memory, size of the model."""
    cell, found = cell_of(row.to_dict()), []
    for stage in (stage for stage in STAGES if row[f"{stage}_key"]):
        folder = cell.folder(CELLS[stage])
        timings = records.circumstances(folder).get("timings", {})
        found += [(f"{stage}_s", timings.get("total_s"))]
        if stage == "train":
            found += [(name, timings.get(name)) for name in ("epoch_s", "peak_memory_mb")]
            parameters = (records.read(folder) or {"results": {}})["results"].get("parameters")
            found.append(("parameters_k", parameters and parameters / 1000))
    return [(name, float(value)) for name, value in found if value is not None]
