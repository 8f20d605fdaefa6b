"""Every evaluated cell is a model that MLflow loads and serves, and one of a data set is called its best."""

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import tiny_cells
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from PIL import Image

from pipeline.common.config import Params
from pipeline.evaluate import evaluate
from pipeline.predict import predict
from pipeline.tracking.sync import best_models, sync

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tracked(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose cells are trained, evaluated and in MLflow, and an image of another size."""
    root = tmp_path_factory.mktemp("tracked")

    def run() -> None:
        settings = tiny_cells.settings()
        evaluate(settings, "tiny")
        sync(settings)
        shades = np.linspace(20, 230, 48 * 40).reshape(48, 40).astype(np.uint8)
        Image.fromarray(shades).save("film.png")

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return tiny_cells.copied(trained_project, root, run)


@pytest.fixture
def settings(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The project's settings; it is the working directory."""
    monkeypatch.chdir(tracked)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked / 'mlflow.db'}")
    return tiny_cells.settings()


@pytest.fixture
def client(settings: Params) -> Iterator[MlflowClient]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    yield MlflowClient()
    mlflow.set_tracking_uri(before)


def cell_of_the_best(client: MlflowClient) -> Path:
    method, backbone, seed = client.get_model_version_by_alias("tiny", "best").tags["cell"].split("/")
    return Path("runs/tiny") / backbone / method / seed


def test_a_loaded_model_says_what_predict_says(client: MlflowClient) -> None:
    predict(cell_of_the_best(client), [Path("film.png")], Path("scores.csv"))
    told = pd.read_csv("scores.csv").iloc[0]
    model = mlflow.pyfunc.load_model("models:/tiny@best")
    data = Path("film.png").read_bytes()
    for asked in ({"path": ["film.png"]}, {"image": [data]}, {"path": [None], "image": [data]}):
        (row,) = model.predict(pd.DataFrame(asked)).to_dict("records")
        assert "overlay" not in row
        assert row["score"] == pytest.approx(told["score"], abs=1e-6)
        assert row["threshold"] == pytest.approx(told["threshold"])
        assert (row["decision"], row["label"], row["notice"]) == (
            told["decision"],
            told["label"],
            told["notice"],
        )


@pytest.mark.usefixtures("client")
def test_an_overlay_is_drawn_when_it_is_asked_for() -> None:
    model = mlflow.pyfunc.load_model("models:/tiny@best")
    found = model.predict(pd.DataFrame({"path": ["film.png"]}), params={"overlay": True})
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["overlay"][0])))).astype(int)
    assert picture.shape[2] == 3
    assert np.abs(picture[..., 0] - picture[..., 2]).max() > 30  # coloured


@pytest.mark.usefixtures("client")
def test_every_unusable_image_is_named() -> None:
    model = mlflow.pyfunc.load_model("models:/tiny@best")
    asked = pd.DataFrame({"path": ["film.png", "nowhere.png", None], "image": [None, None, b"no image"]})
    with pytest.raises(MlflowException, match=r"row 1: E_IMAGE_MISSING.*row 2: E_DECODE"):
        model.predict(asked)
    with pytest.raises(MlflowException, match="row 0: expected either"):
        model.predict(pd.DataFrame({"path": ["film.png"], "image": [b"and another"]}))


def test_models_are_made_without_pickle_and_stored_once(client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("tiny").experiment_id
    found = client.search_logged_models([experiment])
    assert len(found) == 2
    for model in found:
        folder = Path(model.artifact_location.removeprefix("file://"))
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        assert not [name for name in files if name.endswith(".pkl")]
        run = client.get_run(model.source_run_id)
        cell = Path("runs/tiny/compact") / run.data.params["method"] / run.data.params["seed"]
        assert files["artifacts/model.safetensors"].samefile(cell / "model.safetensors")
        loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
        assert (
            loaded.metadata.signature is not None
            and loaded.predict(loaded.input_example)["score"].notna().all()
        )
        assert model.metrics and run.outputs.model_outputs[0].model_id == model.model_id


def test_the_best_is_chosen_by_validation_and_registered_once(client: MlflowClient, settings: Params) -> None:
    results = {
        path.parent: json.loads(path.read_text())["results"] for path in Path("runs").rglob("record.json")
    }
    near = max(each["val_auroc"] for each in results.values()) - settings.train.selection.tolerance
    able = {path: each for path, each in results.items() if each["val_auroc"] >= near}
    best = max(able, key=lambda path: able[path]["val_alignment"])
    assert cell_of_the_best(client) == best
    version = client.get_model_version_by_alias("tiny", "best")
    assert f"val_alignment {able[best]['val_alignment']:.3f}" in version.description
    assert best_models(settings) == [f"tiny@best is {version.tags['chosen_by']}"]
    sync(settings)
    assert len(client.search_model_versions("name = 'tiny'")) == 1


def test_another_choice_moves_the_name(
    tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tracked, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    old = cell_of_the_best(client)
    (other,) = {path.parent for path in Path("runs").rglob("record.json")} - {old}
    for cell, alignment in ((old, 0.1), (other, 0.9)):
        record = json.loads((cell / "record.json").read_text())
        record["results"] |= {"val_auroc": 0.9, "val_alignment": alignment}
        (cell / "record.json").write_text(json.dumps(record))
    settings = tiny_cells.settings()
    rule = settings.train.selection.model_copy(update={"tolerance": 0.2})
    sync(settings.model_copy(update={"train": settings.train.model_copy(update={"selection": rule})}))
    assert cell_of_the_best(client) == other


@pytest.fixture
def served(client: MlflowClient) -> Iterator[str]:
    """The address of `mlflow models serve` with the best model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/tiny@best"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--env-manager", "local"]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": str(REPOSITORY),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    address = f"http://127.0.0.1:{port}"
    with Path("serve.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            wait_for(address, process)
            yield address
        finally:
            process.terminate()
            process.wait(30)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, Path("serve.log").read_text()
            assert time.monotonic() < deadline, Path("serve.log").read_text()
            time.sleep(0.3)


def ask(address: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


def test_a_served_model_answers_over_http(served: str, client: MlflowClient) -> None:
    predict(cell_of_the_best(client), [Path("film.png")], Path("scores.csv"))
    told = pd.read_csv("scores.csv").iloc[0]
    image = base64.b64encode(Path("film.png").read_bytes()).decode()
    (row,) = ask(served, {"dataframe_records": [{"image": image}], "params": {"overlay": True}})
    assert row["score"] == pytest.approx(told["score"], abs=1e-6) and row["label"] == told["label"]
    assert base64.b64decode(row["overlay"]).startswith(b"\x89PNG")
    (row,) = ask(served, {"dataframe_records": [{"path": str(Path("film.png").resolve())}]})
    assert row["score"] == pytest.approx(told["score"], abs=1e-6) and "overlay" not in row
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(served, {"dataframe_records": [{"path": "nowhere.png"}]})
    assert refused.value.code == 400 and "E_IMAGE_MISSING" in refused.value.read().decode()
