"""How MLflow is written: by one at a time, and quietly."""

import os
from pathlib import Path

import filelock
import pytest

from pipeline.tracking.address import only_writer
from pipeline.tracking.mlflow_store import ENVIRONMENT, quiet_mlflow


def test_there_is_one_writer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        only_writer("sqlite:///mlflow.db"),
        pytest.raises(filelock.Timeout),
        only_writer("sqlite:///mlflow.db", wait=False),
    ):
        raise AssertionError("two writers")


def test_mlflow_is_quiet_while_it_is_used_and_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    before = dict(os.environ)
    with pytest.raises(KeyError), quiet_mlflow():
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"
        raise KeyError
    assert dict(os.environ) == before
