"""A worker process: what it does before its first task, which GPU is its own, and how it runs a task."""

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import filelock

from pipeline.common.errors import UserError
from pipeline.common.paths import RECORD
from pipeline.grid.cells import Task

ERROR_LOG = "error.log"
WATCH = 1.0  # s between looks at whether the parent lives
OPTIONAL = ("mlflow", "matplotlib", "pandas", "scipy", "sklearn", "nibabel", "skimage", "tensorboard", "PIL")

Work = Callable[..., None]  # (task, device=...): writes the task's files and, last, its record
Outcome = tuple[Task, list[str]]  # a task that ended, and its problems; none: it succeeded


class Slots(NamedTuple):
    """The places of one run's worker processes, spread evenly over the GPUs.

    A process keeps the first place that is free for as long as it lives, by a file lock in `folder`: one
    that takes over from a dead process takes its place too, and no GPU serves more of them than planned.
    """

    folder: Path
    workers: int
    gpus: int

    def device(self) -> str:
        """The GPU of this process, such as `cuda:3`."""
        return f"cuda:{_claim_slot(self.folder, self.workers)[0] % self.gpus}"


class Conditions(NamedTuple):
    """What all tasks of a run have in common."""

    device: str  # as in params.yaml
    threads: int
    slots: Slots | None = None  # None: the device as it is named


def start() -> None:
    """Make this process a worker: it ends with its parent, leaves Ctrl-C to it, and has MONAI at hand."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    import_monai()


def import_monai() -> None:
    """Import MONAI without the optional packages that it would bring along where they are installed.

    MLflow, matplotlib, pandas and the like cost a worker 1 to 2 s and 60 to 210 MB, for networks that need
    only torch. They are hidden while MONAI is imported, and can be imported afterwards as ever.
    """
    import torch  # noqa: F401  # before anything is hidden

    hidden = [name for name in OPTIONAL if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        importlib.import_module("monai.networks.nets")
    finally:
        for name in hidden:
            del sys.modules[name]


def run_task(work: Work, task: Task, conditions: Conditions) -> Outcome:
    """Run one task; whatever goes wrong becomes lines of text.

    The members of catalogues that the work loads by name are imported before it, so that the clock of the
    worker's first task does not count that.
    """
    import torch

    torch.set_num_threads(conditions.threads)
    device = conditions.slots.device() if conditions.slots else conditions.device
    log = task.folder / ERROR_LOG
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        (task.folder / RECORD).unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        for half_written in task.folder.glob(".*"):  # by a process that was killed; see `files.atomic`
            half_written.unlink()
        for entry in task.code:
            importlib.import_module(entry.partition(":")[0])
        work(task, device=device)
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


def _end_with(parent: int) -> None:
    """End this process soon after `parent` has ended, however that came about.

    Linux could do so by itself (PR_SET_PDEATHSIG), but when the thread that started the worker ends.
    """
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(1)


@cache  # the lock is held until the process ends
def _claim_slot(folder: Path, count: int) -> tuple[int, filelock.BaseFileLock]:
    while True:
        for number in range(count):
            lock = filelock.FileLock(folder / f"{number}.lock")
            with contextlib.suppress(filelock.Timeout):
                lock.acquire(blocking=False)
                return number, lock
        time.sleep(0.1)  # the process whose place this one takes has not quite ended
