"""The only way into MLflow: it shows the records, cell by cell, and can be made again from them at any time.

One experiment per data set, one run per cell, named `method/backbone/seed`, and above the seeds of a method
and backbone a parent run with their means and intervals. A run's tag `cell_key` says which training it shows;
`train_key`, `evaluate_key`, `identify_key` and `robustness/<attack>_key` say what is there whole, so a second
`sync` adds nothing and an interrupted one is completed. A cell that was trained, measured or attacked anew
gets a new run; the old run is tagged `superseded_by` and deleted (MLflow keeps deleted runs: its page can
show and restore them). Only runs with this folder's `workspace` tag are superseded, so clones can share a
server. The cell that validation prefers is registered by the data set's name, with the alias `best`.

One writer at a time, by a file lock. MLflow is never read back for results.
"""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import filelock

from pipeline.common.config import Params
from pipeline.common.errors import UserError
from pipeline.common.paths import CELLS, RECORD
from pipeline.common.progress import track
from pipeline.grid.cells import Cell, cells
from pipeline.tracking import registry
from pipeline.tracking.address import MlflowRefusal, only_writer, tracking_uri, without_password
from pipeline.tracking.contents import LAYOUT, CellContents, read_finished, read_running
from pipeline.tracking.families import Family, families
from pipeline.tracking.mlflow_store import Draw, MlflowStore, quiet_mlflow, refusals, this_workspace

if TYPE_CHECKING:
    from mlflow.entities import Run

PATIENCE = 20  # s that the end of a training waits for the last background sync


class Looks(NamedTuple):
    """What `present` makes of results, for MLflow to show."""

    draw: Draw | None = None  # a cell's gallery
    say: Callable[[str, str], str] = lambda dataset, method: ""  # what was found of a method on a data set


class Counts(NamedTuple):
    """What a sync did: cells whose run was added, completed, or found complete."""

    added: int
    completed: int
    kept: int


def sync(params: Params, datasets: Sequence[str] | None = None, looks: Looks | None = None) -> Counts:
    """Bring every finished cell of the given data sets (None: all) that MLflow does not show yet.

    Raises UserError when MLflow cannot be reached or refuses; what arrived stays, and the next sync goes on
    from there.
    """
    address = tracking_uri(params)
    with _refusals_told(address), quiet_mlflow(), only_writer(address):
        store = MlflowStore(address, params.datasets)
        counts = [
            _sync_dataset(store, params, name, looks or Looks()) for name in datasets or params.datasets
        ]
    return Counts(*(sum(column) for column in zip(*counts, strict=True)))


def best_models(params: Params) -> list[str]:
    """`<data set>@best` and which cell that is, by which number; raises UserError."""
    address = tracking_uri(params)
    with _refusals_told(address), quiet_mlflow(), refusals():
        client = MlflowStore(address, params.datasets).client
        found = {name: registry.registered(client, name) for name in params.datasets}
    return [
        f"{name}@{registry.ALIAS} is {version.tags[registry.WHY]}"
        for name, version in found.items()
        if version
    ]


def runs_page(params: Params) -> str:
    """The page with charts of the runs of all data sets, below the server's address; raises UserError."""
    address = tracking_uri(params)
    with _refusals_told(address), quiet_mlflow(), refusals():
        store = MlflowStore(address, params.datasets)
        names = json.dumps([store.experiment(name) for name in params.datasets], separators=(",", ":"))
    view = (
        "compareRunsMode=CHART&workflowType=machine_learning"  # MLflow would open on agents and empty columns
    )
    return f"#/compare-experiments/s?experiments={quote(names)}&{view}"


@contextlib.contextmanager
def _refusals_told(address: str) -> Iterator[None]:
    """Raise UserError with what to do where MLflow refuses."""
    try:
        yield
    except MlflowRefusal as error:
        raise UserError(
            f"MLflow at {without_password(address)} failed: {error}; check the server and "
            "MLFLOW_TRACKING_URI (or track.uri in params.yaml), then run `python -m pipeline.track` again; "
            "no result is lost"
        ) from None


@contextlib.contextmanager
def background(params: Params, datasets: Sequence[str]) -> Iterator[None]:
    """While the block runs, bring new epochs and finished trainings of data sets every track.interval s.

    Training never stops for MLflow: the first failure is one warning line, and `track` makes up for it.
    """
    stop = threading.Event()
    arguments = (stop, params, datasets, time.time())
    worker = threading.Thread(target=_sync_until, args=arguments, daemon=True)
    with quiet_mlflow():
        worker.start()
        try:
            yield
        finally:
            stop.set()
            worker.join(PATIENCE)


def _sync_until(stop: threading.Event, params: Params, datasets: Sequence[str], since: float) -> None:
    """The background thread: one sync per interval, and a last one when told to stop."""
    store, warned, last = None, False, False
    while not last:
        last = stop.wait(params.track.interval)
        try:
            planned = [cell for dataset in datasets for cell in cells(params, dataset)]
            found = [contents for cell in planned if (contents := _read_since(cell, since))]
            if found:
                with only_writer(tracking_uri(params), wait=last):
                    store = store or MlflowStore(tracking_uri(params), params.datasets)
                    runs = {dataset: store.runs(dataset) for dataset in {each.cell.dataset for each in found}}
                    for contents in found:
                        known = runs[contents.cell.dataset].get(contents.cell.name, [])
                        _sync_cell(store, contents, known, None)
        except filelock.Timeout:
            continue  # another process is writing; it, or the next round, brings these epochs
        except Exception as error:  # whatever it is, training goes on
            if not warned:
                where = f"warning: MLflow at {without_password(tracking_uri(params))}"
                print(f"{where}: {error}; training goes on, `track` brings it later", file=sys.stderr)
            store, warned = None, True


def _read_since(cell: Cell, since: float) -> CellContents | None:
    """A cell whose training ended after `since` (s since 1970) or goes on."""
    record = cell.folder(CELLS["train"]) / RECORD
    if record.is_file():
        return read_finished(cell, ("train",)) if record.stat().st_mtime >= since else None
    return read_running(cell, since)


def _sync_dataset(store: MlflowStore, params: Params, dataset: str, looks: Looks) -> Counts:
    runs = store.runs(dataset)
    finished = []
    for cell in cells(params, dataset):
        attacks = params.robustness.planned(dataset, cell.method, cell.seed)
        if contents := read_finished(cell, attacks=attacks):
            finished.append(contents)
    todo = [each for each in finished if not _shown(runs.get(each.name, []), each)]
    added = 0
    for contents in track(todo, f"mlflow {dataset}") if todo else ():
        added += _sync_cell(store, contents, runs.get(contents.name, []), looks.draw)
    if todo:
        runs = store.runs(dataset)
    _sync_families(store, families(finished, params.report.confidence), runs, dataset)
    own = [
        method for method, about in params.methods.items() if not about.is_control and not about.is_ceiling
    ]
    _register_best(store, registry.field(finished, own, params.train.selection), runs, dataset)
    now = store.runs(dataset)  # parents came, and went
    for run in (run for each in now.values() for run in each):
        store.describe(run, looks.say(dataset, run.data.params.get("method", "")))
    return Counts(added, len(todo) - added, len(finished) - len(todo))


def _sync_cell(store: MlflowStore, contents: CellContents, runs: list["Run"], draw: Draw | None) -> bool:
    """Bring one cell to MLflow; whether that took a new run."""
    if _shown(runs, contents):
        return False
    run = next((run for run in runs if _grows_into(run, contents)), None)
    added = run is None
    run = run or store.start(contents.cell.dataset, contents)
    store.fill(run, contents, draw)
    _supersede(store, runs, run)
    return added


def _sync_families(
    store: MlflowStore, planned: list[Family], runs: dict[str, list["Run"]], dataset: str
) -> None:
    """Bring what the seeds of each method and backbone have in common; other seeds take a new run."""
    for family in planned:
        known = runs.get(family.name, [])
        if not _shown(known, family):
            children = [run for each in family.members if (run := _shown(runs.get(each.name, []), each))]
            run = store.start(dataset, family)
            store.fill_family(run, family, children)
            _supersede(store, known, run)


def _supersede(store: MlflowStore, runs: list["Run"], by: "Run") -> None:
    """Delete the runs of this folder that another one now takes the place of."""
    for old in runs:
        if old.info.run_id != by.info.run_id and old.data.tags.get("workspace") == this_workspace():
            store.supersede(old, by)


def _register_best(
    store: MlflowStore, field: registry.Field, runs: dict[str, list["Run"]], dataset: str
) -> None:
    """Register the best cell's model, unless it was chosen from these very cells before."""
    with refusals():
        known = registry.registered(store.client, dataset)
        if not field.cells or (known and known.tags.get(registry.FROM) == field.key):
            return
        best = registry.best(field)
        run = _shown(runs.get(best.contents.name, []), best.contents)
        if run and run.outputs and run.outputs.model_outputs:
            registry.register(
                store.client, best, field, run.outputs.model_outputs[-1].model_id, run.info.run_id
            )


def _shown(runs: list["Run"], contents: CellContents | Family) -> "Run | None":
    """The run that shows all of it: the tags of keys are set after its last file."""
    if isinstance(contents, CellContents) and not contents.finished:
        return None
    wanted = {**contents.key_tags(), "layout": LAYOUT}.items()
    return next((run for run in runs if wanted <= run.data.tags.items()), None)


def _grows_into(run: "Run", contents: CellContents) -> bool:
    """Whether the contents only add to what the run shows."""
    tags = run.data.tags
    if any(tags.get(name) != value for name, value in contents.origin_tags().items()):
        return False
    return all(tags.get(name, key) == key for name, key in contents.key_tags().items())
