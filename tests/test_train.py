"""The train stage on a tiny store: what it writes, skips, resumes, and refuses before it starts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_store
import torch
import yaml

from pipeline import train as stage
from pipeline.common.code import reached
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file
from pipeline.data.store import Store, seal
from pipeline.grid import checkpoint, records
from pipeline.model import load

FILES = ["circumstances.json", "history.csv", "model.safetensors", "record.json"]
RESULTS = FILES[1:3]
SEEN_OF_THE_BEST = ["val_auroc", "val_alignment"]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage.sync, "background", lambda params, datasets: nullcontext())
    tiny_store.write(Path("data/prepared/tiny"))
    return tmp_path


def one_cell(**changes: Any) -> Any:
    """Settings of a single guided cell."""
    methods = {"difference_salience": {"loss": {"name": "difference_salience", "alpha": 0.5}}}
    report = {"baseline": "difference_salience", "confidence": 0.95, "dpi": 110}
    return tiny_store.params(**{"methods": methods, "report": report, **changes})


def folder(method: str = "difference_salience", seed: int = 0) -> Path:
    return Path("runs/tiny/compact") / method / str(seed)


def test_what_a_cell_leaves(workspace: Path) -> None:
    params = one_cell()
    stage.train(params, "tiny")
    assert sorted(path.name for path in folder().iterdir()) == FILES
    record = records.read(folder())
    assert record is not None and record["stage"] == "train"
    results = record["results"]
    assert results["selected_by"] == "alignment"
    assert results.keys() - {"selected_by"} == {"best_epoch", "epochs", "parameters", *SEEN_OF_THE_BEST}
    timings = records.circumstances(folder())["timings"]
    assert timings.keys() == {"total_s", "epoch_s", "epoch_ends_s", "peak_memory_mb"}
    first, last = timings["epoch_ends_s"]
    assert 0 < first < last <= timings["total_s"]
    assert record["settings"]["train"]["epochs"] == 2 and "device" not in record["settings"]["train"]
    assert record["settings"]["preprocessing"]["image_size"] == 32
    history = pd.read_csv(folder() / "history.csv")
    steps = ["epoch", "lr", "loss", "classification", "guidance", "penalty"]
    assert list(history) == [*steps, "val_loss", *SEEN_OF_THE_BEST] and history["epoch"].tolist() == [1, 2]
    best = history.set_index("epoch").loc[results["best_epoch"]]
    assert [results[name] for name in SEEN_OF_THE_BEST] == pytest.approx(best[SEEN_OF_THE_BEST].tolist())
    model = load(folder() / "model.safetensors")
    assert (model.backbone, model.in_channels) == ({"name": "compact"}, 1)


def test_running_again_trains_nothing_and_a_new_method_trains_alone(workspace: Path) -> None:
    stage.train(one_cell(), "tiny")
    before = (folder() / "record.json").stat().st_mtime_ns
    methods = {
        "difference_salience": {"loss": {"name": "difference_salience", "alpha": 0.5}},
        "shuffled": {"loss": {"name": "true_false", "alpha": 0.5}, "map_source": "shuffled"},
    }
    stage.train(one_cell(methods=methods), "tiny")
    assert (folder() / "record.json").stat().st_mtime_ns == before
    assert records.read(folder("shuffled")) is not None


ROBUST = {
    "loss": {"name": "cross_entropy"},
    "weight_decay": 0.01,
    "activation": {"name": "softplus", "beta": 10},
    "regularisers": [{"name": "saliency_adversarial"}, {"name": "lipschitz"}],
}


def robust_cell(**changes: Any) -> Any:
    """Settings of a single robust cell; `changes` are laid over its method."""
    report = {"baseline": "robust", "confidence": 0.95, "dpi": 110}
    return one_cell(methods={"robust": {**ROBUST, **changes}}, report=report, train={"epochs": 1})


def test_a_robust_cell(workspace: Path) -> None:
    stage.train(robust_cell(), "tiny")
    record = records.read(folder("robust"))
    assert record is not None
    assert record["settings"]["method"] == {**ROBUST, "map_source": "human"}
    assert pd.read_csv(folder("robust") / "history.csv")["penalty"].gt(0).all()
    assert load(folder("robust") / "model.safetensors").activation == ROBUST["activation"]


@pytest.mark.parametrize(
    "change",
    [{"weight_decay": 0.02}, {"activation": None}, {"regularisers": [{"name": "lipschitz", "zeta": 0.5}]}],
    ids=str,
)
def test_what_makes_a_method_robust_is_part_of_the_key(workspace: Path, change: dict[str, Any]) -> None:
    keys = []
    for params in (robust_cell(), robust_cell(**change)):
        (cell,) = stage.cells(params, "tiny")
        keys.append(stage._task(params, cell, _store(), {"name": "compact", "weights": None}).key)
    assert keys[0] != keys[1]


PLAIN = {"loss": {"name": "cross_entropy"}, "map_source": "human", "activation": None, "regularisers": []}


def test_a_cells_code_is_its_own_members_alone() -> None:
    """Editing an activation or a regulariser retrains the cells that use it."""
    robust, plain = (
        {
            place.split(":")[0]
            for place in reached(*stage._code({"method": method, "backbone": {"name": "compact"}}))
        }
        for method in ({**ROBUST, "map_source": "human"}, PLAIN)
    )
    members = ("activations.softplus", "regularisers.lipschitz", "regularisers.saliency_adversarial")
    own = {f"pipeline.model.{name}" for name in (*members, "perturbations")}
    assert own <= robust - plain and plain < robust
    assert not any("hessian" in module or "half_huber" in module for module in robust)


def test_a_choice_by_filled_regions_says_so(workspace: Path) -> None:
    rule = {"metric": "counterfactual", "tolerance": 0.1}
    stage.train(one_cell(train={"epochs": 1, "selection": rule}), "tiny")
    record = records.read(folder())
    assert record is not None and record["results"]["selected_by"] == "counterfactual"
    assert pd.read_csv(folder() / "history.csv")["val_counterfactual"].between(-1, 1).all()


def test_without_maps_on_validation_auroc_chooses_and_the_record_says_so(workspace: Path) -> None:
    tiny_store.write(Path("data/prepared/bare"), annotated=False)
    shutil.rmtree("data/prepared/tiny")
    Path("data/prepared/bare").rename("data/prepared/tiny")
    plain = {"plain": {"loss": {"name": "cross_entropy"}}}
    report = {"baseline": "plain", "confidence": 0.95, "dpi": 110}
    stage.train(one_cell(methods=plain, report=report), "tiny")
    record = records.read(folder("plain"))
    assert record is not None and record["results"]["selected_by"] == "auroc"
    assert record["results"]["val_alignment"] is None
    assert pd.read_csv(folder("plain") / "history.csv")["val_alignment"].isna().all()


def test_data_sets_train_in_one_go_and_all_their_problems_are_told_first(workspace: Path) -> None:
    params = one_cell(train={"epochs": 1})
    other = params.model_copy(update={"datasets": dict.fromkeys(("tiny", "more"), params.datasets["tiny"])})
    with pytest.raises(UserError) as caught:
        stage.train(other, "more", "tiny", "none")
    assert [line.split(":")[0] for line in caught.value.problems] == [
        "data/prepared/more",
        "data/prepared/none",
    ]
    assert not Path("runs").exists()
    tiny_store.write(Path("data/prepared/more"), name="more")
    stage.train(other, "tiny", "more")
    there = Path("runs/more/compact/difference_salience/0")
    assert sha256_file(folder() / "model.safetensors") == sha256_file(there / "model.safetensors")


@pytest.mark.parametrize("damaged", ["model.safetensors", "record.json"])
def test_a_damaged_cell_is_trained_again_to_the_same_model(
    workspace: Path, capsys: pytest.CaptureFixture, damaged: str
) -> None:
    params = one_cell(train={"epochs": 1})
    stage.train(params, "tiny")
    digest = sha256_file(folder() / "model.safetensors")
    content = (folder() / damaged).read_bytes()
    (folder() / damaged).write_bytes(content[: len(content) // 2])
    stage.train(params, "tiny")
    assert f"{damaged}: " in (error := capsys.readouterr().err) and "the cell counts as unfinished" in error
    assert sha256_file(folder() / "model.safetensors") == digest


class Killed(BaseException):
    """As sudden as a kill, without losing the test's process."""


def test_an_interrupted_cell_goes_on_and_ends_bit_identical(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = one_cell(train={"epochs": 3})
    stage.train(params, "tiny")
    digests = {name: sha256_file(folder() / name) for name in RESULTS}
    (folder() / "record.json").unlink()
    kept = checkpoint.save
    epochs = []

    def save_and_die(where: Path, key: str, tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
        kept(where, key, tensors, about)
        epochs.append(len(about["history"]))
        if len(epochs) == 2:
            raise Killed

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    with pytest.raises(Killed):
        stage.train(params, "tiny")
    assert checkpoint.NAME in {path.name for path in folder().iterdir()} and records.read(folder()) is None
    stage.train(params, "tiny")
    assert epochs == [1, 2, 3]  # the third epoch came from the checkpoint
    assert {name: sha256_file(folder() / name) for name in RESULTS} == digests
    assert sorted(path.name for path in folder().iterdir()) == FILES


def _store() -> Any:
    return stage.open_store(Path("data/prepared/tiny"))


@pytest.mark.slow
def test_a_killed_process_goes_on_and_ends_bit_identical(workspace: Path) -> None:
    params = one_cell(train={"epochs": 30})
    Path("params.yaml").write_text(yaml.safe_dump(json.loads(params.model_dump_json())))
    command = [sys.executable, "-m", "pipeline.train", "tiny"]
    env = {**os.environ, "PYTHONPATH": str(Path(stage.__file__).parents[1])}
    env["MLFLOW_TRACKING_URI"] = f"sqlite:///{workspace}/mlflow.db"
    process = subprocess.Popen(command, env=env)
    while not (folder() / checkpoint.NAME).exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL and (folder() / checkpoint.NAME).exists()
    subprocess.run(command, env=env, check=True)
    resumed = {name: sha256_file(folder() / name) for name in RESULTS}
    (folder() / "record.json").unlink()
    subprocess.run(command, env=env, check=True)
    assert {name: sha256_file(folder() / name) for name in RESULTS} == resumed


def test_a_full_disk_fails_the_cell_with_one_line_and_half_writes_nothing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError) as caught:
        stage.train(one_cell(train={"epochs": 1}), "tiny")
    (line,) = caught.value.problems
    assert (
        line.startswith("tiny: difference_salience/compact/0: could not read or write ")
        and "No space left" in line
    )
    assert [path.name for path in folder().iterdir()] == ["history.csv"]


def test_a_loss_that_explodes_fails_its_cell(workspace: Path) -> None:
    optimizer = {"name": "sgd", "lr": 1e30, "momentum": 0.9, "weight_decay": 0.0}
    with pytest.raises(
        UserError, match=r"^tiny: difference_salience/compact/0: .* lower train\.optimizer\.lr"
    ):
        stage.train(one_cell(train={"optimizer": optimizer}), "tiny")


def refused(params: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        stage.train(params, "tiny")
    assert not Path("runs").exists()  # before any training
    return caught.value.problems


def test_a_guided_method_without_maps_is_refused_before_any_training(workspace: Path) -> None:
    tiny_store.write(Path("data/prepared/tiny2"), annotated=False).rename("data/prepared/bare")
    Path("data/prepared/tiny").rename("data/prepared/mapped")
    Path("data/prepared/bare").rename("data/prepared/tiny")
    (line,) = refused(tiny_store.params())
    assert line.startswith("methods.difference_salience: difference_salience is guided by human maps")
    assert "no training image of tiny has one" in line and "datasets.tiny.methods" in line


def _give_maps(store: Store, value: int) -> None:
    """A data set of which every map holds one value."""
    np.save(store.folder / "maps.npy", np.full(store.maps.shape, value, np.uint8), allow_pickle=False)
    seal(store.folder, {key: store.info[key] for key in store.info if key not in ("schema", "sha256")})


def test_a_regulariser_that_reads_maps_needs_them_too(workspace: Path) -> None:
    _give_maps(_store(), 0)
    (line,) = refused(robust_cell())
    assert line.startswith("methods.robust: saliency_adversarial is guided by human maps")


def test_a_map_that_is_flat_is_not_usable(workspace: Path) -> None:
    """Rows that claim a map but hold a constant one would silently train cross-entropy."""
    _give_maps(_store(), 255)
    (line,) = refused(one_cell())
    assert "no training image of tiny has" in line


def test_everything_that_is_wrong_is_listed_together(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CAMDIVIDE_WEIGHTS", "nowhere")
    monkeypatch.setenv("TORCH_HOME", str(workspace))
    backbones = {
        "compact": {"name": "compact", "weights": "absent.pth"},
        "resnet50": {"name": "resnet50", "weights": "imagenet"},
    }
    lines = refused(one_cell(backbones=backbones, train={"device": "cuda"}))
    assert len(lines) == 3
    assert lines[0].startswith("train.device: cuda: this machine shows 0 CUDA devices")
    assert lines[1].startswith("backbones.compact.weights: no file absent.pth")
    assert lines[2].startswith("backbones.resnet50.weights: imagenet: no file nowhere/resnet50.safetensors")


def test_weights_are_part_of_the_key_by_their_bytes(workspace: Path) -> None:
    torch.manual_seed(0)
    stage.train(one_cell(train={"epochs": 1}), "tiny")
    (folder() / "model.safetensors").rename("first.safetensors")
    params = one_cell(
        backbones={"compact": {"name": "compact", "weights": "first.safetensors"}}, train={"epochs": 1}
    )
    stage.train(params, "tiny")
    record = records.read(folder())
    assert record is not None
    assert record["settings"]["backbone"]["weights_sha256"] == sha256_file(Path("first.safetensors"))


def test_one_class_in_validation_is_refused(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = stage.Store.rows
    monkeypatch.setattr(
        stage.Store, "rows", lambda self, role: rows(self, role)[::2] if role == "val" else rows(self, role)
    )
    (line,) = refused(one_cell())
    assert line == "tiny: val needs samples of labels 0 and 1, got [0]; check its split"


def test_no_prepared_data(workspace: Path) -> None:
    Path("data/prepared/tiny").rename("elsewhere")
    (line,) = refused(one_cell())
    assert line.endswith("no prepared data here; run python -m pipeline.prepare tiny")
