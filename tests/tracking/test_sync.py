"""MLflow as a copy: complete, idempotent, repairable, and never in the way of training."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from fake_attacks import PLANNED, write_attacks
from fake_results import params, write_all, write_cell
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from pipeline.common.errors import UserError
from pipeline.grid import checkpoint
from pipeline.tracking import sync as tracking

SETTINGS = params(datasets=1, seeds=1, track={"interval": 0.1})
CELL = {"dataset": "toy_0", "backbone": "compact", "method": "cyborg", "seed": 0}
ATTACKED = params(datasets=1, seeds=1, track={"interval": 0.1}, robustness={"attacks": PLANNED})
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with finished cells and an MLflow store that has all of them."""
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_all(SETTINGS)
        assert tracking.sync(SETTINGS) == (4, 0, 0)
    return folder


@pytest.fixture
def place(grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the cells beside an empty MLflow store, as working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("runs", "evaluate", "identify", "data"):
        shutil.copytree(grid / name, tmp_path / name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def schema(grid: Path, place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tables without rows at the place's store: making them takes seconds, so it is done once."""
    empty = tmp_path_factory.getbasetemp() / "empty.db"
    if not empty.is_file():
        MlflowClient(f"sqlite:///{empty}").search_experiments()
    shutil.copy(empty, place / "mlflow.db")


def client() -> MlflowClient:
    return MlflowClient(f"sqlite:///{Path.cwd() / 'mlflow.db'}")


def runs(store: MlflowClient, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    experiment = store.get_experiment_by_name("toy_0")
    return list(store.search_runs([experiment.experiment_id], run_view_type=view))


def content(store: MlflowClient) -> dict[str, Any]:
    """All that a store says about the cells, without ids and addresses."""
    found = {}
    for run in runs(store):
        run_id = run.info.run_id
        found[run.info.run_name] = {
            "metrics": run.data.metrics,
            "params": run.data.params,
            "tags": run.data.tags,
            "status": run.info.status,
            "times": (run.info.start_time, run.info.end_time),
            "curve": [(m.step, m.value) for m in store.get_metric_history(run_id, "train/loss")],
            "files": sorted(files(store, run_id)),
        }
    return found


def files(store: MlflowClient, run_id: str, folder: str | None = None) -> Iterator[str]:
    for item in store.list_artifacts(run_id, folder):
        if item.is_dir:
            yield from files(store, run_id, item.path)
        else:
            yield item.path


@pytest.mark.usefixtures("schema")
def test_a_run_shows_its_cell(place: Path) -> None:
    tracking.sync(SETTINGS, draw=lambda cell, path: path.write_bytes(b"picture"))
    found = content(client())
    assert sorted(found) == sorted(f"{method}/compact/0" for method in SETTINGS.methods)
    run = found["cyborg/compact/0"]
    record = pd.read_json(place / "runs/toy_0/compact/cyborg/0/record.json", typ="series")
    metrics = pd.read_csv(place / "evaluate/toy_0/compact/cyborg/0/metrics.csv")
    history = pd.read_csv(place / "runs/toy_0/compact/cyborg/0/history.csv")
    unseen = metrics[(metrics["source"] == "site_c") & (metrics["metric"] == "auroc")]["value"].item()
    assert run["metrics"]["held_out/site_c/auroc"] == pytest.approx(unseen)
    assert run["metrics"]["alignment/test_open/truth/difference_salience/cc"] == pytest.approx(0.35)
    assert run["metrics"]["identify/test_open/precision/causal"] == pytest.approx(0.25)
    assert run["curve"] == [
        (e, pytest.approx(v)) for e, v in zip(history["epoch"], history["loss"], strict=True)
    ]
    assert run["params"]["method.loss"] == "cyborg" and run["params"]["seed"] == "0"
    tags = {
        "cell_key": record["key"],
        "git_commit": "0" * 40,
        "data_hash": "d" * 64,
        "dvc_stage": "train@toy_0",
    }
    assert run["tags"].items() >= tags.items()
    assert {"gallery.png", "model/model.safetensors", "model/record.json", "evaluate/metrics.csv"} <= set(
        run["files"]
    )
    about = client().get_experiment_by_name("toy_0").tags
    assert about["phantom"] == "true" and about["mlflow.note.content"].startswith("PHANTOM: Toy 0")
    assert run["status"] == "FINISHED" and run["times"][1] - run["times"][0] == 2000  # total_s of the record


def test_second_sync_adds_nothing(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(grid)
    before = content(client())
    assert tracking.sync(SETTINGS) == (0, 0, 4)
    assert content(client()) == before


@pytest.mark.usefixtures("schema")
def test_a_lost_store_is_rebuilt_the_same(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking.sync(SETTINGS)
    rebuilt = content(client())
    monkeypatch.chdir(grid)
    original = content(client())
    for name, run in rebuilt.items():
        run["tags"]["workspace"] = original[name]["tags"]["workspace"]
    assert rebuilt == original


@pytest.mark.usefixtures("place", "schema")
def test_a_retrained_cell_supersedes_its_old_run() -> None:
    tracking.sync(SETTINGS)
    old = next(run for run in runs(client()) if run.info.run_name == "cyborg/compact/0")
    write_cell(CELL, salt="again")
    assert tracking.sync(SETTINGS) == (1, 0, 3)
    (new,) = [run for run in runs(client()) if run.info.run_name == "cyborg/compact/0"]
    assert new.data.tags["cell_key"] != old.data.tags["cell_key"]
    (deleted,) = runs(client(), ViewType.DELETED_ONLY)
    assert deleted.info.run_id == old.info.run_id
    assert deleted.data.tags["superseded_by"] == new.info.run_id


@pytest.mark.usefixtures("schema")
def test_measurements_are_added_to_the_run_of_their_training(place: Path) -> None:
    shutil.move(place / "evaluate", place / "later")
    tracking.sync(SETTINGS)
    before = {run.info.run_id for run in runs(client())}
    assert all("macro/auroc" not in run.data.metrics for run in runs(client()))
    shutil.move(place / "later", place / "evaluate")
    assert tracking.sync(SETTINGS) == (0, 4, 0)
    assert {run.info.run_id for run in runs(client())} == before
    assert all("macro/auroc" in run.data.metrics for run in runs(client()))


@pytest.fixture
def under_attack(place: Path) -> Path:
    """The place with the records of all planned attacks on the cell, and only on that one."""
    write_attacks(CELL, ATTACKED)
    return place


@pytest.mark.usefixtures("schema")
def test_a_run_shows_the_attacks_on_its_cell(under_attack: Path) -> None:
    assert tracking.sync(ATTACKED) == (4, 0, 0)
    found = content(client())
    run, folder = found["cyborg/compact/0"], under_attack / "robustness/toy_0/compact/cyborg/0"
    values = pd.read_csv(folder / "bounded/values.csv")
    clean, first, *_ = values.loc[values["metric"] == "accuracy_linf", "value"]
    assert run["metrics"]["robustness/bounded/accuracy_linf/0"] == pytest.approx(clean)
    assert run["metrics"]["robustness/bounded/accuracy_linf/0.003922"] == pytest.approx(first)  # 1/255
    assert run["metrics"]["robustness/hoax/cam/pearson_clean"] == pytest.approx(0.15)
    assert run["metrics"]["robustness/smallest/ara_btr"] == pytest.approx(0.02)
    record = pd.read_json(folder / "hoax/record.json", typ="series")
    assert run["tags"]["robustness/hoax_key"] == record["key"]
    assert {f"robustness/{name}/values.csv" for name in PLANNED} <= set(run["files"])
    other = found["cross_entropy/compact/0"]
    assert not [name for name in (*other["metrics"], *other["tags"]) if "robustness" in name]


@pytest.mark.usefixtures("under_attack", "schema")
def test_a_second_sync_of_attacks_adds_nothing() -> None:
    tracking.sync(ATTACKED)
    before = content(client())
    assert tracking.sync(ATTACKED) == (0, 0, 4)
    assert content(client()) == before


@pytest.mark.usefixtures("place", "schema")
def test_attacks_that_come_later_complete_the_run() -> None:
    tracking.sync(ATTACKED)
    write_attacks(CELL, ATTACKED)
    assert tracking.sync(ATTACKED) == (0, 1, 3)
    assert "robustness/hoax/cam/pearson_clean" in content(client())["cyborg/compact/0"]["metrics"]
    assert tracking.sync(ATTACKED) == (0, 0, 4)


@pytest.mark.usefixtures("under_attack", "schema")
def test_an_attack_run_again_makes_a_new_copy() -> None:
    tracking.sync(ATTACKED)
    write_attacks(CELL, ATTACKED, salt="stronger")
    assert tracking.sync(ATTACKED) == (1, 0, 3)
    (deleted,) = runs(client(), ViewType.DELETED_ONLY)
    assert deleted.info.run_name == "cyborg/compact/0"


@pytest.mark.usefixtures("under_attack", "schema")
def test_attacks_on_an_earlier_training_or_no_longer_planned_are_left_out() -> None:
    fewer = params(datasets=1, seeds=1, robustness={"attacks": {"hoax": PLANNED["hoax"]}})
    tracking.sync(fewer)
    run = content(client())["cyborg/compact/0"]
    assert {name.split("/")[1] for name in run["metrics"] if name.startswith("robustness/")} == {"hoax"}
    write_cell(CELL, salt="again")
    assert tracking.sync(fewer) == (1, 0, 3)
    run = content(client())["cyborg/compact/0"]
    assert not [name for name in run["metrics"] if name.startswith("robustness/")]


@pytest.mark.usefixtures("schema")
def test_the_penalty_is_a_curve_where_the_history_has_it(place: Path) -> None:
    older = place / "runs/toy_0/compact/cyborg/0/history.csv"
    pd.read_csv(older).drop(columns="penalty").to_csv(older, index=False)
    tracking.sync(SETTINGS)
    found = {run.info.run_name: run.info.run_id for run in runs(client())}
    penalty = {
        name: [metric.value for metric in client().get_metric_history(run_id, "train/penalty")]
        for name, run_id in found.items()
    }
    history = pd.read_csv(place / "runs/toy_0/compact/cross_entropy/0/history.csv")
    assert penalty["cross_entropy/compact/0"] == pytest.approx(history["penalty"].tolist())
    assert penalty["cyborg/compact/0"] == []


@pytest.mark.usefixtures("place", "schema")
def test_an_interrupted_copy_is_completed_without_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracking._Store, "_files", fail)
        with pytest.raises(KeyboardInterrupt):
            tracking.sync(SETTINGS)
    assert len(runs(client())) == 1 and runs(client())[0].info.status == "RUNNING"
    assert tracking.sync(SETTINGS) == (3, 1, 0)
    assert all(len(run["curve"]) == 4 for run in content(client()).values())


def test_unreachable_server_is_said_in_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE.replace("//", "//me:secret@"))
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            tracking.sync(SETTINGS)
        (line,) = caught.value.problems
        assert "127.0.0.1:9" in line and "again" in line and "secret" not in line


def train_an_epoch(folder: Path, epochs: int, key: str) -> None:
    """What a running cell leaves after each epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").unlink(missing_ok=True)
    columns = ("lr", "loss", "classification", "guidance", "val_loss", "val_auroc")
    rows = [{"epoch": epoch + 1, **dict.fromkeys(columns, 0.5 / (epoch + 1))} for epoch in range(epochs)]
    pd.DataFrame(rows).to_csv(folder / "history.csv", index=False)
    checkpoint.save(folder, key, {"weight": torch.zeros(1)}, {})


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "nothing was copied within 20 s"
        time.sleep(0.05)


@pytest.mark.usefixtures("schema")
def test_running_cells_are_followed_epoch_by_epoch(place: Path) -> None:
    folder = place / "runs/toy_0/compact/cyborg/0"
    finished = {path.name: path.read_bytes() for path in folder.iterdir()}
    key = pd.read_json(folder / "record.json", typ="series")["key"]

    def steps() -> list[int]:
        if client().get_experiment_by_name("toy_0") is None:
            return []
        return [
            m.step
            for run in runs(client())
            for m in client().get_metric_history(run.info.run_id, "train/loss")
        ]

    with tracking.background(SETTINGS, "toy_0"):
        train_an_epoch(folder, 1, key)
        wait_for(lambda: steps() == [1])
        assert [run.info.status for run in runs(client())] == ["RUNNING"]
        train_an_epoch(folder, 3, key)
        wait_for(lambda: steps() == [1, 2, 3])
        for name, data in finished.items():
            (folder / name).write_bytes(data)
        checkpoint.remove(folder)
    (run,) = runs(client())
    assert run.info.status == "FINISHED" and run.data.tags["train_key"] == key
    assert tracking.sync(SETTINGS) == (3, 1, 0)  # the others, and this one's measurements


def test_training_goes_on_without_a_server(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    with tracking.background(SETTINGS, "toy_0"):
        train_an_epoch(place / "runs/toy_0/compact/cyborg/0", 1, "k")
        time.sleep(1)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1 and "training goes on" in warnings[0]


@pytest.mark.usefixtures("place")
def test_there_is_one_writer_at_a_time() -> None:
    with (
        tracking._writing("sqlite:///mlflow.db"),
        pytest.raises(BlockingIOError),
        tracking._writing("sqlite:///mlflow.db", wait=False),
    ):
        raise AssertionError("two writers")


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
    tracking.sync(SETTINGS)
    direct = content(client())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert tracking.sync(SETTINGS) == (4, 0, 0)
    assert content(MlflowClient(server)) == direct
    assert tracking.sync(SETTINGS) == (0, 0, 4)


def test_another_workspace_keeps_its_runs(grid: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(grid / "mlflow.db", place / "shared.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'shared.db'}")
    write_cell(CELL, salt="elsewhere")
    assert tracking.sync(SETTINGS) == (1, 0, 3)
    names = [run.info.run_name for run in runs(MlflowClient(f"sqlite:///{place / 'shared.db'}"))]
    assert names.count("cyborg/compact/0") == 2
