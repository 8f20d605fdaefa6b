"""The only way into MLflow: a copy of the records, keyed by cell, that can be made again at any time.

One experiment per data set, one run per cell, named `method/backbone/seed`. A run's tag `cell_key` says
which training it shows; `train_key`, `evaluate_key`, `identify_key` and `robustness/<attack>_key` say what
has been copied whole, so a second `sync` adds nothing and an interrupted one is completed. A cell that was
trained, measured or attacked anew gets a new run; the old run is tagged `superseded_by` and deleted (MLflow
keeps deleted runs: its page can show and restore them). Only runs with this folder's `workspace` tag are
superseded, so clones can share a server.

One writer at a time, by a file lock. MLflow is never read back for results.
"""

import contextlib
import fcntl
import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.common.config import Dataset, Params
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_text
from pipeline.common.progress import track
from pipeline.grid import records
from pipeline.tracking import contents as copies
from pipeline.grid.attacked import attacks_of
from pipeline.grid.cells import Cell, cells
from pipeline.tracking.contents import Copy

if TYPE_CHECKING:
    from mlflow.entities import Run

ENVIRONMENT = {  # no telemetry, bars or links, and no minutes of retries when a server is gone
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "GIT_PYTHON_REFRESH": "quiet",
}
MAX_METRICS, MAX_PARAMS = 1000, 100  # of one batch, MLflow's limits
PATIENCE = 20  # s that the end of a training waits for the last background copy

Draw = Callable[[Cell, Path], None]  # writes a cell's CAM gallery to a PNG


class Counts(NamedTuple):
    """What a sync did: runs that were added, completed, or found complete."""

    added: int
    completed: int
    kept: int


class Unreachable(Exception):
    """MLflow did not do what it was asked."""


def sync(params: Params, datasets: Sequence[str] | None = None, draw: Draw | None = None) -> Counts:
    """Copy every finished cell of the given data sets (None: all) that MLflow does not have yet.

    Raises UserError when MLflow cannot be reached or refuses; what was copied stays, and the next sync
    goes on from there.
    """
    try:
        with _writing(uri(params)):
            store = _Store(uri(params), params.datasets)
            counts = [_sync(store, params, name, draw) for name in datasets or params.datasets]
    except Unreachable as error:
        raise UserError(
            f"MLflow at {shown(uri(params))} failed: {error}; check the server and MLFLOW_TRACKING_URI (or "
            "track.uri in params.yaml), then run `python -m pipeline.track` again; no result is lost"
        ) from None
    return Counts(*(sum(column) for column in zip(*counts, strict=True)))


@contextlib.contextmanager
def background(params: Params, dataset: str) -> Iterator[None]:
    """While the block runs, copy new epochs and finished trainings of a data set every track.interval s.

    Training never stops for MLflow: the first failure is one warning line, and `track` makes up for it.
    """
    stop = threading.Event()
    worker = threading.Thread(target=_copy_until, args=(stop, params, dataset, time.time()), daemon=True)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(PATIENCE)


def uri(params: Params) -> str:
    """Where MLflow is: MLFLOW_TRACKING_URI, else track.uri."""
    return os.environ.get("MLFLOW_TRACKING_URI") or params.track.uri


def shown(address: str) -> str:
    """An address without its password.

    >>> shown("http://me:secret@host:5000")
    'http://host:5000'
    """
    return re.sub(r"//[^/@]*@", "//", address)


def _copy_until(stop: threading.Event, params: Params, dataset: str, since: float) -> None:
    """The background thread: one copy per interval, and a last one when told to stop."""
    store, warned, last = None, False, False
    while not last:
        last = stop.wait(params.track.interval)
        try:
            found = [_trained_since(cell, since) for cell in cells(params, dataset)]
            if any(found):
                with _writing(uri(params), wait=last):
                    store = store or _Store(uri(params), params.datasets)
                    runs = store.runs(dataset)
                    for copy in filter(None, found):
                        _copy(store, copy, runs.get(copy.cell.name, []), None)
        except BlockingIOError:
            continue  # another process is writing; it, or the next round, copies these rows
        except (Unreachable, OSError, ValueError) as error:
            if not warned:
                where = f"warning: MLflow at {shown(uri(params))}"
                print(f"{where}: {error}; training goes on, `track` copies later", file=sys.stderr)
            store, warned = None, True


def _trained_since(cell: Cell, since: float) -> Copy | None:
    """A cell that ended after `since` or is in training."""
    record = cell.folder(Path("runs")) / records.NAME
    if record.is_file():
        return copies.read(cell, ("train",)) if record.stat().st_mtime >= since else None
    return copies.read_running(cell, since)


def _sync(store: "_Store", params: Params, dataset: str, draw: Draw | None) -> Counts:
    runs = store.runs(dataset)
    read = [copies.read(cell, attacks=attacks_of(params, cell)) for cell in cells(params, dataset)]
    found = [copy for copy in read if copy]
    todo = [copy for copy in found if not any(_shows(run, copy) for run in runs.get(copy.cell.name, []))]
    added = 0
    for copy in track(todo, f"mlflow {dataset}") if todo else ():
        added += _copy(store, copy, runs.get(copy.cell.name, []), draw)
    return Counts(added, len(todo) - added, len(found) - len(todo))


def _copy(store: "_Store", copy: Copy, runs: list["Run"], draw: Draw | None) -> bool:
    """Bring one cell to MLflow; whether that took a new run."""
    if any(_shows(run, copy) for run in runs):
        return False
    run = next((run for run in runs if _grows_into(run, copy)), None)
    added = run is None
    run = run or store.start(copy)
    store.fill(run, copy, draw)
    for old in runs:
        if old.info.run_id != run.info.run_id and old.data.tags.get("workspace") == _workspace():
            store.supersede(old, run)
    return added


def _shows(run: "Run", copy: Copy) -> bool:
    """Whether a run shows all of a finished cell: the tag of a stage's key is set after its last file."""
    wanted = {f"{stage}_key": key for stage, key in copy.keys.items() if key}
    return copy.finished and all(run.data.tags.get(name) == key for name, key in wanted.items())


def _grows_into(run: "Run", copy: Copy) -> bool:
    """Whether the copy only adds to what the run shows."""
    tags = run.data.tags
    if tags.get("cell_key") != copy.keys["train"]:
        return False
    return all(tags.get(f"{stage}_key", key) == key or not key for stage, key in copy.keys.items())


def _workspace() -> str:
    return str(Path.cwd())


@contextlib.contextmanager
def _writing(address: str, *, wait: bool = True) -> Iterator[None]:
    """Be the one writer; raises BlockingIOError if there is another and `wait` is false."""
    path = _database(address)
    if path is None:
        name = f"camdivide-mlflow-{sha256_text(address)[:16]}.lock"
        lock = Path(tempfile.gettempdir()) / name
    else:
        lock = path.with_name(path.name + ".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _database(address: str) -> Path | None:
    """The file of a SQLite store; None for a server."""
    return Path(address.removeprefix("sqlite:///")).resolve() if address.startswith("sqlite:///") else None


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turn whatever MLflow and its libraries raise into Unreachable with one line."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        line = " ".join(str(error).split())
        raise Unreachable(shown(line if len(line) < 300 else f"{line[:300]}...")) from error


class _Store:
    """MLflow, as far as copies need it."""

    def __init__(self, address: str, datasets: dict[str, Dataset]) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self.database = _database(address)
        if self.database is not None:  # absolute, since MLflow keeps one connection per address
            address = f"sqlite:///{self.database}"
        self.client: MlflowClient = MlflowClient(tracking_uri=address)
        self.datasets = datasets
        self.experiments: dict[str, str] = {}
        self.epochs: dict[str, int] = {}  # run -> last epoch copied by this process

    def runs(self, dataset: str) -> dict[str, list["Run"]]:
        """The runs of a data set's experiment (created if there is none) by the cells' names."""
        with _refusals():
            experiment = self._experiment(dataset)
            found: dict[str, list[Run]] = {}
            for run in self.client.search_runs([experiment], max_results=50000):
                found.setdefault(run.data.tags.get("cell", ""), []).append(run)
            return found

    def _experiment(self, dataset: str) -> str:
        if dataset not in self.experiments:
            known = self.client.get_experiment_by_name(dataset)
            if known is None:
                files = self.database.parent / "mlartifacts" / dataset if self.database else None
                settings = self.datasets[dataset]
                about = f"{'PHANTOM: ' if settings.phantom else ''}{settings.title}. {settings.notice or ''}"
                self.experiments[dataset] = self.client.create_experiment(
                    dataset,
                    artifact_location=files.as_uri() if files else None,
                    tags={"mlflow.note.content": about.strip(), "phantom": str(settings.phantom).lower()},
                )
            else:
                if known.lifecycle_stage == "deleted":
                    self.client.restore_experiment(known.experiment_id)
                self.experiments[dataset] = known.experiment_id
        return self.experiments[dataset]

    def start(self, copy: Copy) -> "Run":
        """A new run that shows nothing yet."""
        with _refusals():
            return self.client.create_run(
                self._experiment(copy.cell.dataset),
                run_name=copy.cell.name,
                start_time=copy.times()[0] if copy.finished else None,
                tags={**copy.origin(), "workspace": _workspace()},
            )

    def fill(self, run: "Run", copy: Copy, draw: Draw | None) -> None:
        """Give a run what the copy has; giving something twice changes nothing.

        Times of metrics follow from the run's start, and MLflow keeps one of equal (metric, step, time).
        """
        from mlflow.entities import Metric, Param, RunTag

        run_id, start = run.info.run_id, run.info.start_time
        last = self.epochs.get(run_id, 0)
        curves = [(name, value, epoch) for name, value, epoch in copy.curves() if epoch > last]
        metrics = [Metric(name, value, start + epoch, epoch) for name, value, epoch in curves]
        if copy.finished:
            metrics += [Metric(name, value, start, 0) for name, value in copy.metrics()]
        parameters = [Param(name, value) for name, value in copy.parameters().items()]
        with _refusals():
            for first in range(0, len(metrics), MAX_METRICS):
                self.client.log_batch(run_id, metrics=metrics[first : first + MAX_METRICS])
            for first in range(0, len(parameters), MAX_PARAMS):
                self.client.log_batch(run_id, params=parameters[first : first + MAX_PARAMS])
            if copy.finished:
                self._files(run_id, copy, draw)
                tags = [RunTag(name, value) for name, value in copy.tags().items()]
                self.client.log_batch(run_id, tags=tags)
                self.client.set_terminated(run_id, end_time=max(start, copy.times()[1]))
        self.epochs[run_id] = max([last, *(epoch for _, _, epoch in curves)])

    def _files(self, run_id: str, copy: Copy, draw: Draw | None) -> None:
        for path, folder in copy.artifacts():
            self.client.log_artifact(run_id, str(path), folder)
        if draw is not None and copy.keys["evaluate"]:
            with tempfile.TemporaryDirectory() as folder:
                picture = Path(folder) / "gallery.png"
                draw(copy.cell, picture)
                self.client.log_artifact(run_id, str(picture))

    def supersede(self, old: "Run", new: "Run") -> None:
        """Delete (restorably) the run of a cell that another run now shows."""
        with _refusals():
            self.client.set_tag(old.info.run_id, "superseded_by", new.info.run_id)
            self.client.delete_run(old.info.run_id)
