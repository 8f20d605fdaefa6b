"""Whether what a report reads is what the stages wrote."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.common.config import Params
from pipeline.common.errors import UserError
from pipeline.common.paths import CELLS, FLOORS, MODEL
from pipeline.grid import records
from pipeline.grid.cells import cells
from pipeline.present.results import STAGES


def refuse_changed(params: Params) -> None:
    """Raise UserError listing every file that is not as its record says; models are not looked at."""
    changed = []
    for folder in _folders(params):
        if record := records.read(folder):
            found = records.changes(folder, record, but=(MODEL,))
            changed += [f"{what}; run dvc repro {record['stage']}" for what in found]
    if changed:
        raise UserError(changed)


def _folders(params: Params) -> Iterator[Path]:
    """Where planned cells, their attacks and the floors leave what a report shows."""
    for name in params.datasets:
        yield CELLS["evaluate"] / name / FLOORS
        for cell in cells(params, name):
            yield from (cell.folder(CELLS[stage]) for stage in STAGES)
            yield from (cell.folder(CELLS["robustness"]) / attack for attack in params.robustness.attacks)
