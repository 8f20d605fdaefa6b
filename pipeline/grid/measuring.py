"""Runs a measurement on trained cells: what makes up its key, and the files that it leaves."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.common.code import code_hash
from pipeline.common.config import Params
from pipeline.common.errors import for_each
from pipeline.common.files import write_csv, write_npz
from pipeline.common.paths import ARRAYS, CELLS, MODEL, PREPARED
from pipeline.data.store import Store, open_store, open_unchanged
from pipeline.grid import engine, records, trainings
from pipeline.grid.cells import Cell, Task, key
from pipeline.measure import Measurement
from pipeline.model import inference

Measure = Callable[..., Measurement]  # (model, store, settings), or without a model
SEEN = ("val", "test_closed", "test_open")  # roles of the samples that a trained cell is measured on


def plan_each(datasets: Iterable[str], plan: Callable[[Store], list[Task]]) -> list[Task]:
    """What `plan` gives for each prepared data set, in order; raises UserError with all problems."""
    return list(chain.from_iterable(for_each(datasets, lambda name: plan(open_unchanged(PREPARED / name)))))


def plan_all(
    stage: str, measure: Measure, params: Params, store: Store, settings: Mapping[str, Any]
) -> list[Task]:
    """One measurement of every cell of a data set; raises UserError listing the untrained cells."""
    code = (f"{measure.__module__}:{measure.__name__}",)
    made_of = {"truth": store.truth_digest(), stage: dict(settings)}
    seen = store.digest(*SEEN)
    return [
        plan(stage, cell, {**training, **made_of}, data_hash=seen, code=code)
        for cell, training in trainings.trainings(params, store.info["dataset"]).items()
    ]


def plan_apart(
    stage: str, measure: Measure, store: Store, settings: Mapping[str, Any], *, folder: str, by: str
) -> Task:
    """A measurement of a data set that needs no cell: `measure(store, settings)`.

    folder: below the data set's. by: what stands for a backbone in its name.
    """
    code = (f"{measure.__module__}:{measure.__name__}",)
    made_of = {"truth": store.truth_digest(), stage: dict(settings)}
    data_hash, program = store.digest("train", *SEEN), code_hash(*code)
    cell = Cell(store.info["dataset"], by, folder, 0)
    place = (CELLS[stage] / cell.dataset / folder).absolute()
    return Task(cell, place, key(made_of, data_hash, program), made_of, data_hash, program, code=code)


def run(
    stage: str,
    tasks: Sequence[Task],
    measure: Measure,
    params: Params,
    unit: str = "cells",
    apart: Measure | None = None,
) -> None:
    """Run the measurements that have no record yet; raises UserError listing those that failed.

    unit: what they are called while they run. apart: of tasks that `plan_apart` made.
    """
    work = partial(measure_cell, stage=stage, measure=measure, apart=apart, root=Path.cwd())
    engine.run(stage, tasks, work, params.engine, device=params.train.device, unit=unit)


def plan(
    stage: str,
    cell: Cell,
    settings: Mapping[str, Any],
    *,
    data_hash: str,
    code: tuple[str, ...],
    part: str = "",
) -> Task:
    """A measurement of one trained cell.

    settings: the training's key, its model's hash, and what else can change the result, of which the
    measurement sees `settings[stage]` and the cell's seed. data_hash: of the samples that it sees; code: the
    entry points that compute it. part: which of several measurements of a cell.
    """
    program = code_hash(*code)
    folder = (cell.folder(CELLS[stage]) / part).absolute()
    made_of = key(settings, data_hash, program)
    return Task(cell, folder, made_of, dict(settings), data_hash, program, part, code)


def measure_cell(
    task: Task, *, stage: str, measure: Measure, apart: Measure | None, device: str, root: Path
) -> None:
    """Measure one cell, write its tables and arrays, then its record; `root` is where the stage runs.

    A task without a trained model is measured by `apart`.
    """
    started = time.perf_counter()
    store = open_store(root / PREPARED / task.cell.dataset)
    settings = {**task.settings[stage], "seed": task.cell.seed}
    if apart is not None and "model" not in task.settings:
        found = apart(store, settings)
    else:
        model = inference.open_model(task.cell.folder(root / CELLS["train"]) / MODEL, device)
        found = measure(model, store, settings)
    records.write(
        task,
        stage=stage,
        files=write(found, task.folder, stage),
        results=found.results,
        timings={"total_s": time.perf_counter() - started},
    )


def write(found: Measurement, folder: Path, stage: str) -> list[str]:
    """Write a measurement's tables as CSV and its arrays as one .npz; gives the files' names."""
    files = [f"{name}.csv" for name in found.tables]
    for name, table in found.tables.items():
        write_csv(folder / f"{name}.csv", table)
    if found.arrays is not None:
        files.append(f"{ARRAYS[stage]}.npz")
        write_npz(folder / files[-1], found.arrays)
    return files
