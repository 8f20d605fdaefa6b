"""MLflow's side of the sync: its experiments and runs."""

import contextlib
import getpass
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.data_settings import Dataset
from pipeline.common.errors import UserError
from pipeline.common.paths import PREPARED
from pipeline.data.store import Store, open_store
from pipeline.grid.cells import Cell
from pipeline.tracking import packaging, uploads
from pipeline.tracking.address import MlflowRefusal, database, without_password
from pipeline.tracking.contents import CellContents
from pipeline.tracking.families import Family

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Run

ENVIRONMENT = {  # no telemetry, messages, bars or links, and no minutes of retries when a server is gone
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "GIT_PYTHON_REFRESH": "quiet",
}
METRICS, PARAMS = 900, 100  # of one batch, within MLflow's limits
KIND = "mlflow.experimentKind"  # what its page looks like: that of trainings, not that of agents
NOTE = "mlflow.note.content"  # the description of a run

Draw = Callable[[Cell, Path], None]  # writes a cell's CAM gallery to a PNG


@contextlib.contextmanager
def quiet_mlflow() -> Iterator[None]:
    """While the block runs, MLflow is quiet and gives up soon; what the user has set in ENVIRONMENT stays.

    Entered by the main thread before MLflow is imported and before threads or processes start, since some
    of it is read only then, and an environment must not change while another thread hands it on.
    """
    added = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def this_workspace() -> str:
    """The folder whose cells are shown, as a tag of their runs."""
    return str(Path.cwd())


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn whatever MLflow and its libraries raise into MlflowRefusal with one line."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, ImportError) as error:
        line = " ".join(str(error).split()).partition(" [SQL: ")[0]
        if "database is locked" in line:
            line = "another process keeps the database locked; end it, or wait until it is done"
        raise MlflowRefusal(without_password(line if len(line) < 300 else f"{line[:300]}...")) from error


class MlflowStore:
    """MLflow, as far as the sync needs it."""

    def __init__(self, address: str, datasets: dict[str, Dataset]) -> None:
        from mlflow import MlflowClient

        self.database = database(address)
        if self.database is not None:  # absolute, since MLflow keeps one connection per address
            address = f"sqlite:///{self.database}"
        with refusals():
            self.client: MlflowClient = MlflowClient(tracking_uri=address)
        self.datasets = datasets
        self.experiments: dict[str, str] = {}
        self.epochs: dict[str, int] = {}  # run -> last epoch written by this process
        self.prepared: dict[str, Store | None] = {}  # None: not at hand
        self.inputs: dict[str, DatasetInput] = {}  # of prepared data

    def runs(self, dataset: str) -> dict[str, list["Run"]]:
        """The runs of a data set's experiment (created if there is none) by the cells' names."""
        with refusals():
            experiment = self.experiment(dataset)
            found: dict[str, list[Run]] = {}
            for run in self.client.search_runs([experiment], max_results=50000):
                found.setdefault(run.data.tags.get("cell", ""), []).append(run)
            return found

    def experiment(self, dataset: str) -> str:
        """The id of a data set's experiment: found, restored or created."""
        if dataset not in self.experiments:
            known = self.client.get_experiment_by_name(dataset)
            if known is None:
                self.experiments[dataset] = self._create_experiment(dataset)
            else:
                if known.lifecycle_stage == "deleted":
                    self.client.restore_experiment(known.experiment_id)
                self.experiments[dataset] = known.experiment_id
        return self.experiments[dataset]

    def _create_experiment(self, dataset: str) -> str:
        files = self.database.parent / "mlartifacts" / dataset if self.database else None
        settings = self.datasets[dataset]
        about = f"{'PHANTOM: ' if settings.phantom else ''}{settings.title}. {settings.notice or ''}"
        return self.client.create_experiment(
            dataset,
            artifact_location=files.as_uri() if files else None,
            tags={
                NOTE: plain(about.strip()),
                "phantom": str(settings.phantom).lower(),
                KIND: "custom_model_development",
            },
        )

    def start(self, dataset: str, contents: CellContents | Family) -> "Run":
        """A new run that shows nothing yet."""
        times = contents.times()
        with refusals():
            return self.client.create_run(
                self.experiment(dataset),
                run_name=contents.name,
                start_time=times[0] if times else None,
                tags={**contents.origin_tags(), **_user(), "workspace": this_workspace()},
            )

    def fill(self, run: "Run", contents: CellContents, draw: Draw | None) -> None:
        """Give a run the contents of its cell; giving something twice changes nothing.

        Times of metrics follow from the run's start, and MLflow keeps one of equal (metric, step, time).
        Where nobody knows when epochs ended, they are a millisecond apart.
        """
        run_id, start = run.info.run_id, run.info.start_time
        last, ends = self.epochs.get(run_id, 0), [0, *contents.epoch_ends()]
        curves = [(name, value, epoch) for name, value, epoch in contents.curves() if epoch > last]
        rows = [
            (name, value, start + (ends[epoch] if epoch < len(ends) else epoch), epoch)
            for name, value, epoch in curves
        ]
        with refusals():
            self._log(run_id, rows, contents.parameters())
            if contents.finished:
                self._finish_cell(run, contents, start + ends[-1], draw)
        self.epochs[run_id] = max([last, *(epoch for _, _, epoch in curves)])

    def fill_family(self, run: "Run", family: Family, children: Sequence["Run"]) -> None:
        """Give a parent run what its seeds have in common, and make it their parent."""
        run_id, times = run.info.run_id, family.times()
        with refusals(), tempfile.TemporaryDirectory() as folder:
            rows = [
                (name, value, times[1] if times else run.info.start_time, 0)
                for name, value in family.metrics()
            ]
            self._log(run_id, rows, family.parameters())
            shown = uploads.write({"seeds": family.seeds}, [], Path(folder))
            self.client.log_artifacts(run_id, folder)
            for child in children:
                self.client.set_tag(child.info.run_id, "mlflow.parentRunId", run_id)
            self._end(run, {**family.key_tags(), **shown}, times)

    def _log(
        self,
        run_id: str,
        rows: Iterable[tuple[str, float, int, int]],
        parameters: dict[str, str],
        model: str | None = None,
    ) -> None:
        """Write metrics (name, value, time, step) and parameters, in batches that MLflow takes."""
        from mlflow.entities import Metric, Param

        metrics = [Metric(*row, model_id=model) for row in rows]
        params = [Param(name, value) for name, value in parameters.items()]
        while metrics or params:
            self.client.log_batch(run_id, metrics=metrics[:METRICS], params=params[:PARAMS])
            metrics, params = metrics[METRICS:], params[PARAMS:]

    def _finish_cell(self, run: "Run", contents: CellContents, end: int, draw: Draw | None) -> None:
        """Write tables, files, the model and, after all of them, the tags that say that all is there."""
        run_id, cell = run.info.run_id, contents.cell
        shown = self._write_files(run_id, contents, draw)
        store, model = self.data(cell.dataset), None
        if contents.keys["evaluate"]:  # which gives a model its threshold
            experiment = self.experiment(cell.dataset)
            model = packaging.log_model(self.client, experiment, run_id, contents, store)
        self._log(run_id, [(name, value, end, 0) for name, value in contents.metrics], {}, model)
        if cell.dataset in self.inputs:
            self.client.log_inputs(run_id, [self.inputs[cell.dataset]])
        self._end(run, {**contents.final_tags(), **shown}, contents.times())

    def _end(self, run: "Run", tags: dict[str, str], times: tuple[int, int] | None) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        end = max(run.info.start_time, times[1]) if times else None
        self.client.set_terminated(run.info.run_id, end_time=end)

    def _write_files(self, run_id: str, contents: CellContents, draw: Draw | None) -> dict[str, str]:
        with tempfile.TemporaryDirectory() as folder:
            shown = uploads.write(contents.tables, contents.files(), Path(folder))
            if draw is not None and contents.keys["evaluate"]:
                draw(contents.cell, Path(folder) / "gallery.png")
            self.client.log_artifacts(run_id, folder)
        return shown

    def data(self, dataset: str) -> Store | None:
        """The prepared data; None where they are not at hand."""
        if dataset not in self.prepared:
            try:
                found = self.prepared[dataset] = open_store(PREPARED / dataset)
                self.inputs[dataset] = uploads.data_input(found)
            except UserError:
                self.prepared[dataset] = None
        return self.prepared[dataset]

    def describe(self, run: "Run", text: str) -> None:
        """Say something of a run where MLflow shows its description."""
        text = plain(text)
        if text and run.data.tags.get(NOTE) != text:
            with refusals():
                self.client.set_tag(run.info.run_id, NOTE, text)

    def supersede(self, old: "Run", new: "Run") -> None:
        """Delete (restorably) the run of a cell that another run now shows, and its model."""
        with refusals():
            self.client.set_tag(old.info.run_id, "superseded_by", new.info.run_id)
            for output in old.outputs.model_outputs if old.outputs else ():
                self.client.delete_logged_model(output.model_id)
            self.client.delete_run(old.info.run_id)


def plain(text: str) -> str:
    r"""Text as Markdown that shows it as it is: no link, such as of `[low, high] (name)`, no tag, no code.

    >>> plain("<b>* [0, 1]")
    '\\<b>\\* \\[0, 1]'
    """
    return re.sub(r"([\\\[<*`])", r"\\\1", text)


def _user() -> dict[str, str]:
    """Who writes, as MLflow calls it; nothing where the system does not know."""
    try:
        return {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):
        return {}
