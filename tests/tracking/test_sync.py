"""MLflow shows the records: complete, idempotent, repairable."""

import getpass
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_results import write_cell
from mlflow import MlflowClient
from mlflow.entities import ViewType

from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file
from pipeline.data.store import open_store
from pipeline.present.quantities import quantities
from pipeline.present.results import gather
from pipeline.tracking.mlflow_store import MlflowStore
from pipeline.tracking.sync import Looks, sync
from tests.tracking.mlflow_reader import CELL, SETTINGS, client, content, parents, runs

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.mark.usefixtures("schema")
def test_a_run_shows_its_cell(place: Path) -> None:
    sync(SETTINGS, looks=Looks(lambda cell, path: path.write_bytes(b"picture")))
    found = content(client())
    assert sorted(found) == sorted(f"{method}/compact/0" for method in SETTINGS.methods)
    run = found["cyborg/compact/0"]
    record = pd.read_json(place / "runs/toy_0/compact/cyborg/0/record.json", typ="series")
    metrics = pd.read_csv(place / "evaluate/toy_0/compact/cyborg/0/metrics.csv")
    history = pd.read_csv(place / "runs/toy_0/compact/cyborg/0/history.csv")
    macro = metrics[(metrics["scope"] == "macro") & (metrics["metric"] == "auroc")]["value"].item()
    assert run["metrics"]["answer/held_out_auroc"] == pytest.approx(macro)
    assert run["metrics"]["maps/difference_salience_cc"] == pytest.approx(0.35)
    assert run["metrics"]["answer/without_cause"] == pytest.approx(0.85)
    strata = pd.read_csv(place / "evaluate/toy_0/compact/cyborg/0/strata.csv").set_index(["scope", "stratum"])
    conflict = strata.loc[("familiar", "conflict"), "auroc"].item()
    assert run["metrics"]["answer/conflict_auroc"] == pytest.approx(conflict)
    assert run["metrics"]["val/alignment"] == pytest.approx(history["val_alignment"].iloc[-1])
    assert run["curve"] == [
        (e, pytest.approx(v)) for e, v in zip(history["epoch"], history["loss"], strict=True)
    ]
    assert run["metrics"]["train/total_s"] == 2 and run["metrics"]["selected/val_auroc"] == 0.85
    assert len(run["metrics"]) <= 40
    assert run["params"]["method.loss.name"] == "cyborg" and run["params"]["seed"] == "0"
    tags = {
        "cell_key": record["key"],
        "mlflow.source.git.commit": "0" * 40,
        "mlflow.source.name": "pipeline/train.py",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": getpass.getuser(),
        "data_hash": "d" * 64,
        "dvc_stage": "train",
    }
    assert run["tags"].items() >= tags.items()
    assert run["files"] == [
        "evaluate/alignment.json",
        "evaluate/counterfactuals.json",
        "evaluate/faithfulness.json",
        "evaluate/metrics.json",
        "evaluate/strata.json",
        "gallery.png",
        "identify/alarm.json",
        "identify/concepts.json",
        "identify/summary.json",
        "train/circumstances.json",
        "train/history.csv",
        "train/record.json",
    ]
    about = client().get_experiment_by_name("toy_0").tags
    assert about["phantom"] == "true" and about["mlflow.note.content"].startswith("PHANTOM: Toy 0")
    start, end = run["times"]
    assert run["status"] == "FINISHED" and end - start == 2000  # total_s of the record
    assert run["curve_times"] == [start + 500 * epoch for epoch in (1, 2, 3, 4)]


@pytest.mark.usefixtures("schema")
def test_headlines_are_the_numbers_of_the_reports_first_table(place: Path) -> None:
    sync(SETTINGS)
    shown = content(client())
    grid, values = gather(SETTINGS, {"toy_0": open_store(place / "data/prepared/toy_0")})
    found = quantities(values, grid)
    assert set(found["quantity"]) >= {"conflict_auroc", "without_cause", "held_out_auroc", "closed_auroc"}
    for row in found.to_dict("records"):
        group = "detection" if row["quantity"] == "closed_auroc" else "answer"
        metrics = shown[f"{row['method']}/{row['backbone']}/{row['seed']}"]["metrics"]
        assert metrics[f"{group}/{row['quantity']}"] == pytest.approx(row["value"]), row


@pytest.mark.usefixtures("schema")
def test_the_manifest_is_the_input_of_a_training(place: Path) -> None:
    sync(SETTINGS)
    digest = sha256_file(place / "data/prepared/toy_0/manifest.csv")
    for run in runs(client()):
        (given,) = run.inputs.dataset_inputs
        assert given.dataset.name == "toy_0" and digest.startswith(given.dataset.digest)
        assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]
        assert json.loads(given.dataset.source)["uri"].endswith("data/prepared/toy_0/manifest.csv")


@pytest.mark.usefixtures("place", "schema")
def test_descriptions_follow_what_was_found() -> None:
    sync(SETTINGS, looks=Looks(say=lambda dataset, method: f"{dataset}: {method} is new."))
    sync(SETTINGS, looks=Looks(say=lambda dataset, method: f"{dataset}: {method} is known."))
    for run in [*runs(client()), *parents(client()).values()]:
        method = run.data.params["method"]
        assert run.data.tags["mlflow.note.content"] == f"toy_0: {method} is known."


@pytest.mark.usefixtures("schema")
def test_of_a_restored_cell_what_is_not_known_is_left_out(place: Path) -> None:
    (place / "runs/toy_0/compact/cyborg/0/circumstances.json").unlink()
    now = 1000 * time.time()
    assert sync(SETTINGS) == (4, 0, 0)
    found = content(client())
    restored, other = found["cyborg/compact/0"], found["cross_entropy/compact/0"]
    timings = {"train/total_s", "train/peak_memory_mb"}
    assert timings <= other["metrics"].keys() and not timings & restored["metrics"].keys()
    assert "selected/val_auroc" in restored["metrics"] and restored["status"] == "FINISHED"
    assert other["tags"].keys() - restored["tags"].keys() == {"mlflow.source.git.commit"}
    assert set(other["files"]) - set(restored["files"]) == {"train/circumstances.json"}
    assert all(now - 1000 <= moment <= now + 60000 for moment in restored["times"])
    assert sync(SETTINGS) == (0, 0, 4)


def test_second_sync_adds_nothing(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(grid)
    before = content(client())
    assert sync(SETTINGS) == (0, 0, 4)
    assert content(client()) == before


@pytest.mark.usefixtures("schema")
def test_a_lost_store_is_rebuilt_the_same(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync(SETTINGS)
    rebuilt = content(client())
    monkeypatch.chdir(grid)
    original = content(client())
    for name, run in rebuilt.items():
        run["tags"]["workspace"] = original[name]["tags"]["workspace"]
    assert rebuilt == original


@pytest.mark.usefixtures("place", "schema")
def test_a_retrained_cell_supersedes_its_old_run() -> None:
    sync(SETTINGS)
    old = next(run for run in runs(client()) if run.info.run_name == "cyborg/compact/0")
    write_cell(CELL, salt="again")
    assert sync(SETTINGS) == (1, 0, 3)
    (new,) = [run for run in runs(client()) if run.info.run_name == "cyborg/compact/0"]
    assert new.data.tags["cell_key"] != old.data.tags["cell_key"]
    (deleted,) = runs(client(), ViewType.DELETED_ONLY)
    assert deleted.info.run_id == old.info.run_id
    assert deleted.data.tags["superseded_by"] == new.info.run_id
    shown = {model.source_run_id for model in client().search_logged_models([new.info.experiment_id])}
    assert new.info.run_id in shown and old.info.run_id not in shown


@pytest.mark.usefixtures("schema")
def test_measurements_are_added_to_the_run_of_their_training(place: Path) -> None:
    shutil.move(place / "evaluate", place / "later")
    sync(SETTINGS)
    before = {run.info.run_id for run in runs(client())}
    assert all("answer/held_out_auroc" not in run.data.metrics for run in runs(client()))
    shutil.move(place / "later", place / "evaluate")
    assert sync(SETTINGS) == (0, 4, 0)
    assert {run.info.run_id for run in runs(client())} == before
    assert all("answer/held_out_auroc" in run.data.metrics for run in runs(client()))


@pytest.mark.usefixtures("schema")
def test_the_penalty_is_a_curve_where_the_history_has_it(place: Path) -> None:
    older = place / "runs/toy_0/compact/cyborg/0/history.csv"
    pd.read_csv(older).drop(columns="penalty").to_csv(older, index=False)
    sync(SETTINGS)
    found = {run.info.run_name: run.info.run_id for run in runs(client())}
    penalty = {
        name: [metric.value for metric in client().get_metric_history(run_id, "train/penalty")]
        for name, run_id in found.items()
    }
    history = pd.read_csv(place / "runs/toy_0/compact/cross_entropy/0/history.csv")
    assert penalty["cross_entropy/compact/0"] == pytest.approx(history["penalty"].tolist())
    assert penalty["cyborg/compact/0"] == []


@pytest.mark.usefixtures("place", "schema")
def test_an_interrupted_sync_is_completed_without_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowStore, "_write_files", fail)
        with pytest.raises(KeyboardInterrupt):
            sync(SETTINGS)
    assert len(runs(client())) == 1 and runs(client())[0].info.status == "RUNNING"
    assert sync(SETTINGS) == (3, 1, 0)
    assert all(len(run["curve"]) == 4 for run in content(client()).values())


def test_unreachable_server_is_said_in_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE.replace("//", "//me:secret@"))
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            sync(SETTINGS)
        (line,) = caught.value.problems
        assert "127.0.0.1:9" in line and "again" in line and "secret" not in line


def test_a_locked_database_is_said_in_one_line(schema: None, place: Path) -> None:
    with sqlite3.connect(place / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError) as caught:
            sync(SETTINGS)
        other.execute("ROLLBACK")
    (line,) = caught.value.problems
    assert "another process keeps the database locked" in line and "SELECT" not in line
    assert sync(SETTINGS) == (4, 0, 0)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("foo://bar", "unsupported URI"),
        ("postgresql://me:secret@127.0.0.1/mlflow", "No module named"),
        ("sqlite://mlflow.db", "Invalid SQLite URL"),
        ("sqlite:///runs", "is a folder"),
        ("sqlite:///data/prepared/toy_0/manifest.csv", "is another kind of file"),
        ("mlruns", "maintenance mode"),
    ],
)
def test_a_wrong_address_is_said_in_one_line_and_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    before = sorted(place.rglob("*"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(UserError) as caught:
        sync(SETTINGS)
    (line,) = caught.value.problems
    assert told in line and "\n" not in line and "secret" not in line
    assert sorted(place.rglob("*")) == before


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of an `mlflow server` on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database, artifacts = f"sqlite:///{tmp_path / 'server.db'}", str(tmp_path / "files")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", database, "--artifacts-destination", artifacts]
    address = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "mlflow server ended"
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
@pytest.mark.usefixtures("place", "schema")
def test_a_server_gets_what_a_file_gets(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sync(SETTINGS)
    direct = content(client())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert sync(SETTINGS) == (4, 0, 0)
    assert len(parents(MlflowClient(server))) == 4
    assert content(MlflowClient(server)) == direct
    assert sync(SETTINGS) == (0, 0, 4)


def test_another_workspace_keeps_its_runs(grid: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(grid / "mlflow.db", place / "shared.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'shared.db'}")
    write_cell(CELL, salt="elsewhere")
    assert sync(SETTINGS) == (1, 0, 3)
    names = [run.info.run_name for run in runs(MlflowClient(f"sqlite:///{place / 'shared.db'}"))]
    assert names.count("cyborg/compact/0") == 2
