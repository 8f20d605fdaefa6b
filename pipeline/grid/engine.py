"""Runs cells on joblib: many at once, each once, and no failure takes the others down."""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pipeline.common.config import Engine
from pipeline.common.errors import UserError
from pipeline.grid import records
from pipeline.grid.backends import parallel, workers
from pipeline.grid.cells import Task
from pipeline.grid.display import Display

ERROR_LOG = "error.log"


Work = Callable[[Task], None]
Outcome = tuple[Task, list[str]]  # a task that ended, and its problems; none: it succeeded


def run(stage: str, tasks: Sequence[Task], work: Work, engine: Engine) -> None:
    """Run `work` on every task that is not finished yet.

    `work` writes the cell's files and, last, its record; it must be picklable. Unfinished tasks lose their
    old record before they start. Raises UserError listing every failed cell after the others are done.
    Ctrl-C stops the workers at once; what is finished stays finished.
    """
    todo = [task for task in tasks if not records.finished(task.folder, task.key)]
    if not todo:
        return
    failed: dict[str, list[str]] = {}
    outcomes = _outcomes(todo, work, engine)
    title = f"{stage} {todo[0].cell.dataset}"
    with Display(title, len(tasks), len(tasks) - len(todo)) as display, contextlib.closing(outcomes):
        display.running(min(workers(engine), len(todo)))
        for task, problems in outcomes:
            if problems:
                failed[task.name] = problems
            display.ended(failed=bool(problems))
    if failed:
        names = [task.name for task in todo if task.name in failed]
        raise UserError([f"{name}: {problem}" for name in names for problem in failed[name]])


def _outcomes(tasks: Sequence[Task], work: Work, engine: Engine) -> Generator[Outcome]:
    """Run tasks and yield them as they end.

    If a worker process dies (out of memory, killed) joblib gives up on all; then the cells that were
    running are tried again one by one, each in a process of its own, and the rest go on together.
    """
    started: list[Task] = []
    waiting = list(tasks)
    try:
        with contextlib.closing(_parallel(tasks, work, engine, started)) as outcomes:
            for task, problems in outcomes:
                waiting.remove(task)
                yield task, problems
    except TerminatedWorkerError:
        if len(tasks) == 1:
            yield tasks[0], ["its worker process died, perhaps for want of memory; try fewer engine.workers"]
            return
        for suspect in [task for task in waiting if task in started]:
            yield from _outcomes([suspect], work, engine)
        rest = [task for task in waiting if task not in started]
        if rest:
            yield from _outcomes(rest, work, engine)


def _parallel(tasks: Sequence[Task], work: Work, engine: Engine, started: list[Task]) -> Generator[Outcome]:
    """Feed a joblib backend one task per free worker, noting in `started` which have been handed over."""

    def calls() -> Iterator[Any]:
        for task in tasks:
            started.append(task)
            yield joblib.delayed(_call)(work, task, engine.threads)

    with parallel(engine, len(tasks)) as pool:
        yield from pool(calls())


def _call(work: Work, task: Task, threads: int) -> Outcome:
    """Run one task in a worker; whatever goes wrong becomes lines of text."""
    import torch

    in_main_thread = threading.current_thread() is threading.main_thread()
    if multiprocessing.parent_process() is not None and in_main_thread:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(threads)
    log = task.folder / ERROR_LOG
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        (task.folder / records.NAME).unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        work(task)
    except UserError as error:
        return task, error.problems
    except OSError as error:
        reason = error.strerror or str(error)
        return task, [f"could not read or write {error.filename or task.folder}: {reason}"]
    except Exception as error:
        with contextlib.suppress(OSError):
            log.write_text(traceback.format_exc(), encoding="utf-8")
        line = " ".join(str(error).split())
        return task, [f"{type(error).__name__}: {line} (traceback in {os.path.relpath(log)})"]
    return task, []
