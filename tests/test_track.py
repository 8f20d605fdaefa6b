"""The stage: one line about what was copied, a real picture in each run, exit code 1 without a server."""

import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_results import GRID, params, write_all
from mlflow import MlflowClient
from PIL import Image

from pipeline.common.cli import run_stage
from pipeline.track import last_words, track

SETTINGS = params(datasets=1, seeds=1, methods={})


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("track")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_all(SETTINGS)
    return folder


def test_two_tracks(grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(grid)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    track(SETTINGS)
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == "mlflow: 4 runs added, 0 completed, 0 kept in sqlite:///mlflow.db"
    track(SETTINGS)
    first, *_, link = capsys.readouterr().out.splitlines()
    assert first == "mlflow: 0 runs added, 0 completed, 4 kept in sqlite:///mlflow.db"

    store = MlflowClient(f"sqlite:///{grid / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("toy_0").experiment_id
    assert (
        "ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1, then http://127.0.0.1:5000/#/" in link
    )
    assert f"experiments=%5B%22{experiment}%22%5D&compareRunsMode=CHART" in link
    run, *_ = store.search_runs([experiment], "tags.cell = 'cyborg/compact/0'")
    local = store.download_artifacts(run.info.run_id, "gallery.png", str(grid))
    picture = np.asarray(Image.open(io.BytesIO(Path(local).read_bytes())))
    assert picture.shape[2] == 3 and picture.std() > 20  # not a blank sheet
    assert picture.shape[0] > GRID * 6


def test_the_last_words_are_the_answer_the_page_and_all_runs(
    grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(grid)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("reports").mkdir(exist_ok=True)
    Path("reports/answer.txt").write_text("All is well.\nOf a: well.\n")
    answer, page, _ = last_words(SETTINGS, "sqlite:///mlflow.db")
    assert (answer, page) == ("Answer:   All is well.", "Read:     reports/index.html")
    shutil.rmtree("reports")
    (link,) = last_words(SETTINGS, "http://tracking.example:80")
    assert link.startswith("All runs: http://tracking.example:80/#/compare-experiments/")


def test_exit_code_and_line_without_a_server(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(grid)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("pipeline.common.cli.load", lambda path: SETTINGS)
    monkeypatch.setattr(sys, "argv", ["track"])
    with pytest.raises(SystemExit) as left:
        run_stage("track", "doc")
    assert left.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("track: error: MLflow at http://127.0.0.1:9 failed")
