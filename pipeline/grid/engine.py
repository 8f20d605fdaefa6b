"""Runs cells on joblib: many at once, each once, and no failure takes the others down."""

import contextlib
import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pipeline.common.config import Engine
from pipeline.common.errors import UserError
from pipeline.grid import records
from pipeline.grid.backends import gpu_count, parallel, worker_count
from pipeline.grid.cells import Task
from pipeline.grid.display import Display
from pipeline.grid.worker import Conditions, Outcome, Slots, Work, run_task


def run(
    stage: str,
    tasks: Sequence[Task],
    work: Work,
    engine: Engine,
    *,
    device: str,
    unit: str = "cells",
) -> None:
    """Run `work` on every task that is not finished yet.

    `work(task, device=...)` writes the task's files and, last, its record; it must be picklable. With several
    GPUs here, `auto` and `cuda` become the worker's own (`cuda:3`); any other `device` is passed on. `unit`
    is what tasks are called while they run.

    Unfinished tasks lose their old record before they start. Raises UserError listing every failed task after
    the others are done. Ctrl-C stops the workers at once; what is finished stays finished.
    """
    todo = [task for task in tasks if not records.finished(task.folder, task.key)]
    if not todo:
        return
    failed: dict[str, list[str]] = {}
    outcomes = _outcomes(todo, work, engine, Conditions(device, engine.threads))
    datasets = {task.cell.dataset for task in tasks}
    title = f"{stage} {datasets.pop()}" if len(datasets) == 1 else stage
    display = Display(title, unit, len(tasks), len(tasks) - len(todo))
    with display, contextlib.closing(outcomes):
        display.running(min(worker_count(engine, gpu_count(device)), len(todo)))
        for task, problems in outcomes:
            if problems:
                failed[task.name] = problems
            display.ended(failed=bool(problems))
    if failed:
        names = [task.name for task in todo if task.name in failed]
        raise UserError([f"{name}: {problem}" for name in names for problem in failed[name]])


def _outcomes(
    tasks: Sequence[Task], work: Work, engine: Engine, conditions: Conditions
) -> Generator[Outcome]:
    """Run tasks and yield them as they end.

    If a worker process dies (out of memory, killed) joblib gives up on all; then the tasks that were
    running are tried again one by one, each in a process of its own, and the rest go on together.
    """
    started: list[Task] = []
    waiting = list(tasks)
    try:
        with contextlib.closing(_parallel(tasks, work, engine, conditions, started)) as outcomes:
            for task, problems in outcomes:
                waiting.remove(task)
                yield task, problems
    except TerminatedWorkerError:
        if len(tasks) == 1:
            yield tasks[0], ["its worker process died, perhaps for want of memory; try fewer engine.workers"]
            return
        for suspect in [task for task in waiting if task in started]:
            yield from _outcomes([suspect], work, engine, conditions)
        rest = [task for task in waiting if task not in started]
        if rest:
            yield from _outcomes(rest, work, engine, conditions)


def _parallel(
    tasks: Sequence[Task], work: Work, engine: Engine, conditions: Conditions, started: list[Task]
) -> Generator[Outcome]:
    """Feed a joblib backend one task per free worker, noting in `started` which have been handed over."""
    gpus = gpu_count(conditions.device)
    workers = worker_count(engine, gpus)

    def calls(here: Conditions) -> Iterator[Any]:
        for task in tasks:
            started.append(task)
            yield joblib.delayed(run_task)(work, task, here)

    with parallel(engine, len(tasks), workers) as pool, tempfile.TemporaryDirectory() as locks:
        spread = engine.backend == "loky" and workers > 1 and gpus > 1
        slots = Slots(Path(locks), workers, gpus) if spread else None
        yield from pool(calls(conditions._replace(slots=slots)))
