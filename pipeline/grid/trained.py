"""What stages that measure trained cells share: their tasks, and the samples by role."""

from pathlib import Path

import pandas as pd

from pipeline.common.config import Params, Section
from pipeline.common.errors import UserError
from pipeline.data.store import Store
from pipeline.grid import records
from pipeline.grid.cells import Cell, cells, key
from pipeline.grid.engine import Task

RUNS = Path("runs")
PREPARED = Path("data/prepared")
MODEL = "model.safetensors"
TEST = ("test_closed", "test_open")
ROLES = ("val", *TEST)


def tasks(params: Params, store: Store, stage: str, settings: Section, code: str) -> list[Task]:
    """One task per cell of the data set; `settings` is the stage's section of params.yaml.

    A key holds the training key and the very model, the truth that the cell is compared with, and the
    settings. Raises UserError listing the cells that are not trained.
    """
    truth = {name: digest for name, digest in store.info["sha256"].items() if name.startswith("truth/")}
    found = []
    for cell, record in _training_records(params, store.info["dataset"]).items():
        trained = {"train": record["key"], "model": record["files"][MODEL]}
        wanted = {**trained, "truth": truth, stage: settings.model_dump()}
        folder = cell.folder(Path(stage)).absolute()
        found.append(Task(cell, folder, key(wanted, store.data_hash, code), wanted))
    return found


def samples(store: Store) -> pd.DataFrame:
    """Validation and test samples by role: their row in the store and what is known about them."""
    parts = []
    for role in ROLES:
        rows = store.rows(role)
        known = store.manifest.iloc[rows][["sample_id", "source", "class_name", "subject_id"]]
        parts.append(known.assign(label=store.labels[rows], role=role, row=rows))
    columns = ["sample_id", "label", "source", "class_name", "subject_id", "role", "row"]
    return pd.concat(parts, ignore_index=True)[columns]


def _training_records(params: Params, dataset: str) -> dict[Cell, dict]:
    grid = cells(params, dataset)
    found = {cell: records.read(cell.folder(RUNS)) for cell in grid}
    missing = [cell.name for cell, record in found.items() if record is None]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(grid)} cells of {dataset} have no training record in {RUNS}/{dataset}: "
            f"{', '.join(missing)}; run `python -m pipeline.train {dataset}` first"
        )
    return {cell: record for cell, record in found.items() if record is not None}
