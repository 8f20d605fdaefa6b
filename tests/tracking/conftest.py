"""Finished cells, with MLflow stores that have all or none of them."""

import shutil
from pathlib import Path

import pytest
from fake_results import write_all
from mlflow import MlflowClient

from pipeline.tracking.sync import sync
from tests.tracking.mlflow_reader import SETTINGS


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with finished cells and an MLflow store that has all of them."""
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_all(SETTINGS)
        assert sync(SETTINGS) == (4, 0, 0)
    return folder


@pytest.fixture
def place(grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cells beside an empty MLflow store, as working directory."""
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
