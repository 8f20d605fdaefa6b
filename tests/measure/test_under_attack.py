"""The robustness stage on cells that the train stage made, and the command that attacks one model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_cells
import tiny_store
import torch
from tiny_store import NAME

from pipeline.common.code import PACKAGE
from pipeline.common.config import Params
from pipeline.common.errors import UserError
from pipeline.common.paths import MODEL, PREPARED
from pipeline.data.store import open_store
from pipeline.measure import under_attack
from pipeline.model import load
from pipeline.robustness import robustness
from pipeline.train import train

CELL = Path("compact/cross_entropy/0")
OTHER = Path("compact/difference_salience/0")
PGD = {"attack": {"name": "pgd", "linf": [0.02], "l2": [], "steps": 2, "restarts": 1}}
HOAX = {"attack": {"name": "sham", "mode": "closed_form"}, "methods": ["cross_entropy"]}
SECTION = {
    "images": 6,
    "shown": 2,
    "batch_size": 4,
    "explanations": ["cam", "difference_salience"],
    "attacks": {"pgd": PGD, "hoax": HOAX},
}


def settings(**changes: object) -> Params:
    """Two attacks, one of them for one method only."""
    return tiny_store.params(
        train={"epochs": 1, "batch_size": 10},
        evaluate=tiny_cells.settings().evaluate.model_dump(),
        robustness={**SECTION, **changes},
    )


@pytest.fixture(scope="module")
def attacked(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project, attacked; tests only read it."""
    root = tmp_path_factory.mktemp("attacked")
    return tiny_cells.copied(trained_project, root, lambda: robustness(settings(), NAME))


def folder(root: Path, attack: str, cell: Path = CELL) -> Path:
    return root / "robustness" / NAME / cell / attack


def values(where: Path) -> pd.DataFrame:
    return pd.read_csv(
        where / "values.csv", dtype={"explanation": str}, keep_default_na=False, na_values=[""]
    )


def record(where: Path) -> dict:
    return json.loads((where / "record.json").read_text())


def test_every_planned_attack_leaves_values_pictures_and_a_record(attacked: Path) -> None:
    planned = {folder(attacked, "pgd"), folder(attacked, "pgd", OTHER), folder(attacked, "hoax")}
    assert {path.parent for path in (attacked / "robustness").rglob("record.json")} == planned
    training = json.loads((attacked / "runs" / NAME / CELL / "record.json").read_text())
    for where in planned:
        kept = record(where)["files"]
        assert sorted(kept) == ["pictures.npz", "values.csv"]
        assert len(values(where))
    kept = record(folder(attacked, "hoax"))
    assert kept["settings"]["train"] == training["key"]
    assert kept["settings"]["robustness"]["attack"] == HOAX["attack"]
    assert kept["results"]["accuracy_after"] == kept["results"]["accuracy_before"]


def test_accuracy_without_a_perturbation_is_the_models_own(attacked: Path) -> None:
    store = open_store(attacked / PREPARED / NAME)
    model = load(attacked / "runs" / NAME / CELL / MODEL)
    victim, rows = under_attack.victim_of(model, store, {**SECTION, "seed": 0})
    assert set(store.manifest["split"].iloc[rows]) == {"test"}
    assert set(store.manifest["source"].iloc[rows]) == {"site_a"}
    right = (victim.model(victim.images).logits.argmax(1) == victim.labels).float().mean().item()
    assert right == pytest.approx(accuracy_at_equal_errors(attacked, rows))
    found = values(folder(attacked, "pgd"))
    clean = found[(found["metric"] == "accuracy_linf") & (found["budget"] == 0)]
    assert clean["value"].item() == pytest.approx(right)


def accuracy_at_equal_errors(root: Path, rows: np.ndarray) -> float:
    """Of the stored model on some rows, deciding where both error rates on validation come closest."""
    store, network = (
        open_store(root / PREPARED / NAME),
        load(root / "runs" / NAME / CELL / MODEL),
    )
    with torch.no_grad():
        logits = network(torch.tensor(store.images).float() / 255).logits.double().numpy()
    margins, val = logits[:, 1] - logits[:, 0], store.rows("val")
    normal, abnormal = (np.sort(margins[val][store.labels[val] == label]) for label in (0, 1))
    points = np.sort(margins[val])
    between = (points[1:] + points[:-1]) / 2
    gaps = [abs((normal >= point).mean() - (abnormal < point).mean()) for point in between]
    return float(((margins[rows] >= between[np.argmin(gaps)]) == store.labels[rows]).mean())


def test_pictures_say_which_rows_they_show(attacked: Path) -> None:
    store = open_store(attacked / PREPARED / NAME)
    with np.load(folder(attacked, "hoax") / "pictures.npz", allow_pickle=False) as pictures:
        assert len(pictures["index"]) == 2
        assert sorted(store.labels[pictures["index"]]) == [0, 1]
        assert pictures["before_cam"].shape[0] == 2


def test_a_second_run_does_nothing_and_another_setting_its_own_attack_alone(tiny_project: Path) -> None:
    robustness(settings(), NAME)
    before = {path: path.stat().st_mtime_ns for path in Path("robustness").rglob("*.json")}
    robustness(settings(), NAME)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    stronger = {"attack": {**PGD["attack"], "steps": 3}}
    robustness(settings(attacks={"pgd": stronger, "hoax": HOAX}), NAME)
    again = {path.parent.name for path in before if path.stat().st_mtime_ns != before[path]}
    assert again == {"pgd"}


def test_two_runs_give_equal_tables(attacked: Path, tiny_project: Path) -> None:
    robustness(settings(), NAME)
    for attack in ("pgd", "hoax"):
        one, two = (folder(root, attack) / "values.csv" for root in (attacked, tiny_project))
        assert one.read_bytes() == two.read_bytes()


def test_a_failing_attack_is_named_and_the_others_go_on(
    tiny_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **settings: object) -> None:
        raise UserError("no luck")

    monkeypatch.setattr("pipeline.explain.attacks.sham.attack", broken)
    with pytest.raises(UserError, match="cross_entropy/compact/0: hoax: no luck"):
        robustness(settings(), NAME)
    assert {path.parent.name for path in Path("robustness").rglob("record.json")} == {"pgd"}


def test_without_test_images_of_known_sources_nothing_is_attacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_store.write(tmp_path / PREPARED / NAME)
    train(settings(), NAME)
    robustness(settings(), NAME)
    assert not list(Path("robustness").rglob("record.json"))
    assert "no test image of a known source" in capsys.readouterr().err


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(PACKAGE.parent / "params.yaml", "params.yaml")
    call = [sys.executable, "-m", "pipeline.attack", *arguments]
    environment = {"PYTHONPATH": str(PACKAGE.parent), "PATH": "/usr/bin:/bin", "COLUMNS": "120"}
    return subprocess.run(call, capture_output=True, text=True, env=environment, check=False)


def test_ones_own_model_is_attacked_by_one_command(tiny_project: Path) -> None:
    cell = str(Path("runs") / NAME / CELL)
    done = command("--model", cell, "--attack", "manipulation", "--out", "found")
    assert done.returncode == 0, done.stderr
    assert "pearson_clean" in done.stdout
    assert {path.name for path in Path("found").iterdir()} == {"values.csv", "pictures.npz", "picture.png"}
    assert not Path("robustness").exists()


def test_a_model_is_not_attacked_on_data_that_it_was_not_trained_on(tiny_project: Path) -> None:
    kept = Path("runs") / NAME / CELL / "record.json"
    kept.write_text(kept.read_text().replace('"data_hash": "', '"data_hash": "0'))
    done = command("--model", str(kept.parent), "--attack", "pgd")
    assert done.returncode == 1
    assert "trained on other data" in done.stderr.splitlines()[-1]
    assert not Path("attacked").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "runs/tiny/compact/cros_entropy/0", "--attack", "pgd"), "such as runs/tiny/compact/cro"),
        (("--model", f"runs/{NAME}/{CELL}", "--attack", "shamm"), "did you mean 'sham'"),
        (("--model", f"runs/{NAME}/{CELL}"), "the following arguments are required: --attack"),
    ],
)
def test_mistakes_end_in_one_line(tiny_project: Path, arguments: tuple[str, ...], words: str) -> None:
    done = command(*arguments)
    assert done.returncode != 0
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
