"""While cells train: epochs arrive as they end, and MLflow is never in the way."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from pipeline.grid import checkpoint
from pipeline.tracking.sync import background, sync
from tests.tracking.mlflow_reader import SETTINGS, client, runs

HISTORY = b"epoch,loss,val_auroc\n1,0.5,0.8\n"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


def train_an_epoch(folder: Path, epochs: int, key: str, whole: bytes = HISTORY) -> None:
    """What a running cell leaves after each epoch: the first rows of its whole history."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").unlink(missing_ok=True)
    (folder / "history.csv").write_bytes(b"".join(whole.splitlines(keepends=True)[: 1 + epochs]))
    ends = [0.5 * (epoch + 1) for epoch in range(epochs)]
    checkpoint.save(folder, key, {"weight": torch.zeros(1)}, {"epoch_ends_s": ends})


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "nothing arrived within 20 s"
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

    with background(SETTINGS, ["toy_0"]):
        train_an_epoch(folder, 1, key, finished["history.csv"])
        wait_for(lambda: steps() == [1])
        (run,) = runs(client())
        assert run.info.status == "RUNNING"
        written = 1000 * (folder / checkpoint.NAME).stat().st_mtime
        began = pytest.approx(written - 500, abs=2)  # not when it was seen
        assert run.info.start_time == began
        train_an_epoch(folder, 3, key, finished["history.csv"])
        wait_for(lambda: steps() == [1, 2, 3])
        for name, data in finished.items():
            (folder / name).write_bytes(data)
        checkpoint.remove(folder)
    (run,) = runs(client())
    assert run.info.status == "FINISHED" and run.data.tags["train_key"] == key
    assert sync(SETTINGS) == (3, 1, 0)  # the others, and this one's measurements
    curve = client().get_metric_history(run.info.run_id, "train/loss")
    times = [(point.step, point.timestamp - run.info.start_time) for point in curve]
    assert times == [(1, 500), (2, 1000), (3, 1500), (4, 2000)]  # each once, when it ended


def test_training_goes_on_without_a_server(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    with background(SETTINGS, ["toy_0"]):
        train_an_epoch(place / "runs/toy_0/compact/cyborg/0", 1, "k")
        time.sleep(1)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1 and "training goes on" in warnings[0]


@pytest.mark.usefixtures("schema")
def test_a_locked_database_costs_a_warning_and_no_epoch(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []

    def warned() -> list[str]:
        told.extend(line for line in capsys.readouterr().err.splitlines() if "warning" in line)
        return told

    with background(SETTINGS, ["toy_0"]):
        with sqlite3.connect(place / "mlflow.db", isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            train_an_epoch(place / "runs/toy_0/compact/cyborg/0", 1, "k")
            wait_for(warned)
            other.execute("ROLLBACK")
        wait_for(lambda: client().get_experiment_by_name("toy_0") and runs(client()))
    assert len(warned()) == 1 and "keeps the database locked" in told[0]
    (run,) = runs(client())
    assert run.data.metrics["train/loss"] == 0.5


def test_whatever_goes_wrong_training_goes_on(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs")
    with background(SETTINGS, ["toy_0"]):
        train_an_epoch(place / "runs/toy_0/compact/cyborg/0", 1, "k")
        time.sleep(0.5)
    (line,) = capsys.readouterr().err.splitlines()
    assert "is a folder; training goes on" in line
