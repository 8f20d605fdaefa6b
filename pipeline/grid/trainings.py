"""Trained cells, as the stages that measure them find them: by their records, or by a folder."""

import difflib
from pathlib import Path
from typing import Any

from pipeline.common.config import Params
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file
from pipeline.common.paths import CELLS, MODEL
from pipeline.grid import records
from pipeline.grid.cells import Cell, cells

RUNS = CELLS["train"]


def trainings(params: Params, dataset: str) -> dict[Cell, dict[str, str]]:
    """Each cell's training by its key and the very model; raises UserError listing the untrained cells."""
    grid = cells(params, dataset)
    found = {cell: records.read(cell.folder(RUNS)) for cell in grid}
    missing = [cell.name for cell, record in found.items() if record is None]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(grid)} cells of {dataset} have no training record in {RUNS}/{dataset}: "
            f"{', '.join(missing)}; run `python -m pipeline.train {dataset}` first"
        )
    return {cell: training(record) for cell, record in found.items() if record is not None}


def training(record: dict[str, Any]) -> dict[str, str]:
    """What a record of `train` is known by: its key and the hash of its model."""
    return {"train": record["key"], "model": record["files"][MODEL]}


def find(folder: Path) -> dict[str, Any]:
    """The record of the trained cell in `folder`; raises UserError if it is absent or its model damaged."""
    record = records.read(folder)
    if record is None or record["stage"] != "train":
        expected = f"expected runs/<dataset>/<backbone>/<method>/<seed>{_near(folder)}"
        raise UserError(f"{folder}: no record of a trained cell; {expected}")
    path = folder / MODEL
    if path.is_file() and sha256_file(path) != record["files"][MODEL]:
        raise UserError(f"{path}: damaged, it differs from its record; train the cell again")
    return record


def _near(folder: Path) -> str:
    """A cell with a similar name, to put right a folder that is none."""
    runs = next((place for place in (folder, *folder.parents) if place.name == "runs"), RUNS)
    known = [str(path.parent) for path in runs.glob(f"*/*/*/*/{MODEL}")]
    close = difflib.get_close_matches(str(folder), known, n=1, cutoff=0)
    return f", such as {close[0]}" if close else ""
