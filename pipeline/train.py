"""Train every cell of the grid: (backbone, method, seed) on each data set, all on one schedule.

Reads data/prepared/<dataset>; writes runs/<dataset>/<backbone>/<method>/<seed>/ with model.safetensors,
history.csv and record.json. A cell whose loss lists several alphas trains each in a folder of its own, keeps
the best, and says in candidates.csv how good each was. A cell whose record carries its key is skipped; one
that was interrupted goes on from its last epoch. While cells train, their curves are copied to MLflow.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common import catalogue
from pipeline.common.cli import run_dataset_stage
from pipeline.common.code import code_hash
from pipeline.common.config import Params
from pipeline.common.errors import UserError, for_each
from pipeline.common.files import atomic, canonical_json, sha256_file, sha256_text
from pipeline.common.paths import CELLS, HISTORY, MODEL, PREPARED
from pipeline.common.section import Choice
from pipeline.data.store import Store, open_store, open_unchanged
from pipeline.grid import candidates, checkpoint, engine, records
from pipeline.grid.cells import Cell, Task, cells, key
from pipeline.model import augment, save
from pipeline.model.batches import StoreRows
from pipeline.model.devices import choose_device
from pipeline.model.map_sources import maps_of
from pipeline.model.packaged import find
from pipeline.model.selection import COLUMNS, Row
from pipeline.model.training import State, fit
from pipeline.tracking import sync

RUNS = CELLS["train"]
SEEN = ("train", "val")  # roles of the samples that training sees


def train(params: Params, *datasets: str) -> None:
    """Train what is not trained yet; raises UserError listing every cell that failed."""
    stores = for_each(datasets, lambda dataset: open_unchanged(PREPARED / dataset))
    for_each(stores, partial(_check, params))
    planned = [task for store in stores for task in tasks(params, store)]
    due = [task for task in planned if candidates.of(task) and not records.finished(task.folder, task.key)]
    trainings = [each for task in due for each in candidates.of(task).values()]
    trainings += [task for task in planned if not candidates.of(task)]
    run = partial(engine.run, "train", engine=params.engine, device=params.train.device)
    failed: list[str] = []
    with sync.background(params, datasets):
        try:
            run(trainings, partial(train_cell, prepared=PREPARED.resolve()))
        except UserError as error:
            failed = error.problems
        run([task for task in due if candidates.trained(task)], candidates.choose, unit="choices")
    if failed:
        raise UserError(failed)


def tasks(params: Params, store: Store) -> list[Task]:
    """One task per cell, with all that can change its result."""
    backbones = {name: _backbone(choice) for name, choice in params.backbones.items()}
    planned = cells(params, store.info["dataset"])
    return [_task(params, cell, store, backbones[cell.backbone]) for cell in planned]


def train_cell(task: Task, *, prepared: Path, device: str) -> None:
    """Train one cell on its data set in `prepared`, from its checkpoint if there is one; write its record."""
    store = open_store(prepared / task.cell.dataset)
    saved = checkpoint.load(task.folder, task.key)
    ends: list[float] = [] if saved is None else saved[1].get(records.EPOCH_ENDS, [])

    def keep(state: State) -> None:
        ends.append(state.about["seconds"])
        _write_history(task.folder, state.about["history"])
        checkpoint.save(task.folder, task.key, state.tensors, {**state.about, records.EPOCH_ENDS: ends})

    fitted = fit(
        task.settings,
        _samples(store, "train", task.settings["method"]["map_source"]),
        _samples(store, "val"),
        device=device,
        start=None if saved is None else State(*saved),
        save=keep,
    )
    save(fitted.model, task.folder / MODEL)
    epochs, best = len(fitted.history), fitted.history[fitted.best_epoch - 1]
    records.write(
        task,
        stage="train",
        files=[MODEL, HISTORY],
        results={
            "best_epoch": fitted.best_epoch,
            "selected_by": fitted.selected_by,
            **{name: best[name] for name in COLUMNS.values() if name in best},
            "epochs": epochs,
            "parameters": sum(parameter.numel() for parameter in fitted.model.parameters()),
        },
        timings={
            "total_s": fitted.seconds,
            "epoch_s": fitted.seconds / epochs,
            records.EPOCH_ENDS: ends,
            "peak_memory_mb": fitted.peak_memory_mb,
        },
    )
    checkpoint.remove(task.folder)


def _check(params: Params, store: Store) -> None:
    """Raise UserError for whatever would make cells of a data set fail, before the first one starts."""
    dataset, problems = store.info["dataset"], []

    def attempt(action: Any, *arguments: Any) -> None:
        try:
            action(*arguments)
        except UserError as error:
            problems.extend(error.problems)

    attempt(choose_device, params.train.device)
    for choice in params.backbones.values():
        if choice.get("weights") is not None:
            attempt(find, choice["name"], choice["weights"])
    problems += augment.problems(params.train.augment, store.images.shape[1:])
    for role in ("train", "val"):
        present = np.unique(store.labels[store.rows(role)])
        if len(present) < 2:
            problems.append(
                f"{dataset}: {role} needs samples of labels 0 and 1, got {present.tolist()}; check its split"
            )
    samples = _samples(store, "train", "truth")
    annotated = samples.rows[samples.has_map[samples.rows]]
    guided = any(np.ptp(store.maps[row]) for row in annotated)  # a constant map guides nobody
    for method in dict.fromkeys(cell.method for cell in cells(params, dataset)):
        chosen = params.methods[method]
        readers = chosen.map_readers()
        if readers and not guided:
            problems.append(
                f"methods.{method}: {readers[0]} is guided by human maps, and no training image of "
                f"{dataset} has one; annotate some, or list other methods in datasets.{dataset}.methods"
            )
        else:
            attempt(maps_of, chosen.map_source, samples, 0)
    if problems:
        raise UserError(list(dict.fromkeys(problems)))


def _backbone(choice: Choice) -> dict[str, Any]:
    """A backbone's settings; a weights file counts by its bytes."""
    weights = choice.get("weights")
    given = {} if weights is None else {"weights_sha256": sha256_file(find(choice["name"], weights))}
    return {"weights": None, **choice, **given}


def _task(params: Params, cell: Cell, store: Store, backbone: dict[str, Any]) -> Task:
    """A cell with all that can change its result; where it runs is left out."""
    settings = {
        "backbone": backbone,
        "method": params.methods[cell.method].model_dump(exclude={"seeds"}),
        "seed": cell.seed,
        "train": params.train.model_dump(exclude={"seeds", "device"}),
        "preprocessing": store.info["preprocessing"],
    }
    code = tuple(_code(settings))
    data, program = _data(store, settings["method"]["map_source"]), code_hash(*code)
    folder = cell.folder(RUNS).absolute()
    return Task(cell, folder, key(settings, data, program), settings, data, program, code=code)


def _code(settings: Mapping[str, Any]) -> list[str]:
    """The training loop and the cell's own members of catalogues: editing another one costs nothing."""
    method = settings["method"]
    members = [("model/losses", method["loss"]), ("model/backbones", settings["backbone"])]
    if method["activation"] is not None:
        members.append(("model/activations", method["activation"]))
    members += [("model/regularisers", choice) for choice in method["regularisers"]]
    return [
        "pipeline.model.training:fit",
        f"pipeline.model.map_sources:{method['map_source']}",
        *(catalogue.entry(kind, choice["name"]) for kind, choice in members),
    ]


def _data(store: Store, map_source: str) -> str:
    """The hash of all that training sees."""
    seen = store.digest(*SEEN)
    return sha256_text(canonical_json([seen, store.truth_digest()])) if map_source == "truth" else seen


def _samples(store: Store, role: str, map_source: str = "human") -> StoreRows:
    """What training sees of a role; the true causes only if they guide it."""
    causal = store.truth("causal") if map_source == "truth" else None
    return StoreRows(store.images, store.maps, store.has_map, store.labels, store.rows(role), causal)


def _write_history(folder: Path, history: list[Row]) -> None:
    with atomic(folder / HISTORY) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False, lineterminator="\n", float_format="%.10g")


if __name__ == "__main__":
    run_dataset_stage("train", __doc__)
