"""What stages that measure trained cells share: their tasks, and the samples by role."""

import difflib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.config import Params, Section
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file, sha256_text
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
    for cell, training in trainings(params, store.info["dataset"]).items():
        wanted = {**training, "truth": truth, stage: settings.model_dump()}
        folder = cell.folder(Path(stage)).absolute()
        found.append(Task(cell, folder, key(wanted, store.data_hash, code), wanted))
    return found


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


def samples(store: Store) -> pd.DataFrame:
    """Validation and test samples by role: their row in the store and what is known about them."""
    parts = []
    for role in ROLES:
        rows = store.rows(role)
        known = store.manifest.iloc[rows][["sample_id", "source", "class_name", "subject_id"]]
        parts.append(known.assign(label=store.labels[rows], role=role, row=rows))
    columns = ["sample_id", "label", "source", "class_name", "subject_id", "role", "row"]
    return pd.concat(parts, ignore_index=True)[columns]


def by_hash(samples: pd.DataFrame, count: int) -> np.ndarray:
    """Index values of up to `count` samples, both labels in turn, in the order of their ids' hashes."""
    keyed = samples[["label"]].assign(hash=samples["sample_id"].map(sha256_text)).sort_values("hash")
    turn = keyed.groupby("label").cumcount()
    ordered = keyed.assign(turn=turn).sort_values(["turn", "label"], ascending=[True, False])
    return np.array(ordered.index[:count])


def _near(folder: Path) -> str:
    """A cell with a similar name, to put right a folder that is none."""
    runs = next((place for place in (folder, *folder.parents) if place.name == "runs"), RUNS)
    known = [str(path.parent) for path in runs.glob(f"*/*/*/*/{MODEL}")]
    close = difflib.get_close_matches(str(folder), known, n=1, cutoff=0)
    return f", such as {close[0]}" if close else ""
