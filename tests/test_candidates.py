"""A loss that lists alphas: each trains by itself, one is kept, and all others meet an ordinary cell."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny_store

from pipeline import train as stage
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file
from pipeline.grid import candidates, checkpoint, records, trainings
from pipeline.model.training import Training

CELL = Path("runs/tiny/compact/guided/0")
OWN = ["candidates.csv", "circumstances.json", "history.csv", "model.safetensors", "record.json"]
ALIGNMENT = {0.9: 0.1, 0.5: 0.3, 0.1: 0.2}  # by alpha, with the rule on validation
AUROC = {0.9: 1.0, 0.5: 0.9, 0.1: 1.0}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trainings of the tiny store whose validation says what stands above."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage.sync, "background", lambda params, datasets: nullcontext())
    tiny_store.write(Path("data/prepared/tiny"))

    def seen(self: Training) -> dict[str, Any]:
        alpha = self.loss.keywords["alpha"]  # type: ignore[attr-defined]
        return {"val_loss": 0.1, "val_auroc": AUROC[alpha], "val_alignment": ALIGNMENT[alpha]}

    monkeypatch.setattr(Training, "_validate", seen)
    return tmp_path


def settings(alpha: Any, tolerance: float = 0.2, seeds: tuple[int, ...] = (0,), **train: Any) -> Any:
    methods = {"guided": {"loss": {"name": "divergence", "alpha": alpha}}}
    report = {"baseline": "guided", "confidence": 0.95, "dpi": 110}
    rule = {"metric": "alignment", "tolerance": tolerance}
    return tiny_store.params(
        methods=methods, report=report, train={"selection": rule, "epochs": 1, "seeds": list(seeds), **train}
    )


def the_record(folder: Path = CELL) -> dict[str, Any]:
    found = records.read(folder)
    assert found is not None
    return found


def written(*folders: Path) -> list[int]:
    return [(folder / "record.json").stat().st_mtime_ns for folder in folders]


def test_what_a_cell_of_several_alphas_leaves(workspace: Path) -> None:
    params = settings([0.9, 0.5, 0.1])
    stage.train(params, "tiny")
    folders = [CELL / f"alpha_{alpha}" for alpha in (0.1, 0.5, 0.9)]
    assert sorted(path for path in CELL.iterdir() if path.is_dir()) == folders
    assert sorted(path.name for path in CELL.iterdir() if path.is_file()) == OWN
    record, best = the_record(), the_record(folders[1])
    assert record["results"] == {"alpha": 0.5, **best["results"]}
    assert record["settings"]["method"]["loss"]["alpha"] == [0.9, 0.5, 0.1]
    assert best["settings"]["method"]["loss"]["alpha"] == 0.5
    for name in ("model.safetensors", "history.csv"):
        assert sha256_file(CELL / name) == sha256_file(folders[1] / name)
    table = pd.read_csv(CELL / "candidates.csv")
    assert list(table) == ["alpha", "best_epoch", "val_auroc", "val_alignment", "chosen"]
    assert table["alpha"].tolist() == [0.9, 0.5, 0.1] and table["chosen"].tolist() == [False, True, False]
    assert table["val_alignment"].tolist() == list(ALIGNMENT.values()) and (table["best_epoch"] == 1).all()
    spent = [records.circumstances(folder)["timings"]["total_s"] for folder in folders]
    assert records.circumstances(CELL)["timings"]["total_s"] == pytest.approx(sum(spent))
    (training,) = trainings.trainings(params, "tiny").values()
    assert training == {"train": record["key"], "model": record["files"]["model.safetensors"]}


@pytest.mark.parametrize(("tolerance", "alpha"), [(0.2, 0.5), (0.05, 0.1)])
def test_alphas_are_chosen_by_the_rule_of_epochs(workspace: Path, tolerance: float, alpha: float) -> None:
    stage.train(settings([0.9, 0.5, 0.1], tolerance), "tiny")
    assert the_record()["results"]["alpha"] == alpha


def test_one_more_alpha_trains_alone_and_a_candidate_is_what_a_cell_with_its_alpha_is(
    workspace: Path,
) -> None:
    stage.train(settings([0.9, 0.1]), "tiny")
    assert the_record()["results"]["alpha"] == 0.1
    folders = [CELL / "alpha_0.9", CELL / "alpha_0.1"]
    before = written(*folders)
    stage.train(settings([0.9, 0.5, 0.1]), "tiny")
    assert written(*folders) == before and the_record()["results"]["alpha"] == 0.5
    alone = stage.tasks(settings(0.5), stage.open_store(Path("data/prepared/tiny")))
    assert alone[0].key == the_record(CELL / "alpha_0.5")["key"]


def test_a_finished_choice_needs_its_candidates_no_more(workspace: Path) -> None:
    stage.train(settings([0.9, 0.5]), "tiny")
    kept = written(CELL)
    for path in (CELL / "alpha_0.9").iterdir():
        path.unlink()
    stage.train(settings([0.9, 0.5]), "tiny")
    assert written(CELL) == kept and not any((CELL / "alpha_0.9").iterdir())


class Killed(BaseException):
    """As sudden as a kill, without losing the test's process."""


def test_interrupted_candidates_go_on_and_end_bit_identical(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = settings([0.9, 0.5], epochs=3)
    stage.train(params, "tiny")
    names = [name for name in OWN if name != "circumstances.json"]
    digests = {name: sha256_file(CELL / name) for name in names}
    for folder in (CELL, CELL / "alpha_0.5"):
        (folder / "record.json").unlink()
    kept, epochs = checkpoint.save, []

    def save_and_die(where: Path, key: str, tensors: Any, about: dict[str, Any]) -> None:
        kept(where, key, tensors, about)
        epochs.append((where.name, len(about["history"])))
        if len(epochs) == 2:
            raise Killed

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    with pytest.raises(Killed):
        stage.train(params, "tiny")
    assert not (CELL / "record.json").exists()
    stage.train(params, "tiny")
    assert epochs == [("alpha_0.5", 1), ("alpha_0.5", 2), ("alpha_0.5", 3)]
    assert {name: sha256_file(CELL / name) for name in names} == digests


def test_a_candidate_that_fails_fails_its_cell_and_no_other(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Training._train

    def explode(self: Training, epoch: int) -> list[float]:
        if self.seed == 1 and self.loss.keywords["alpha"] == 0.5:  # type: ignore[attr-defined]
            raise UserError("the loss became nan")
        return step(self, epoch)

    monkeypatch.setattr(Training, "_train", explode)
    with pytest.raises(UserError, match=r"^tiny: guided/compact/1: alpha 0\.5: the loss became nan$"):
        stage.train(settings([0.9, 0.5], seeds=(0, 1)), "tiny")
    assert the_record()["results"]["alpha"] == 0.5 and not (CELL.with_name("1") / "record.json").exists()
    assert (CELL.with_name("1") / "alpha_0.9/record.json").exists()


def test_one_alpha_has_no_candidates(workspace: Path) -> None:
    (task,) = stage.tasks(settings(0.5), stage.open_store(Path("data/prepared/tiny")))
    assert candidates.of(task) == {}
    stage.train(settings(0.5), "tiny")
    assert "alpha" not in the_record()["results"] and not (CELL / "candidates.csv").exists()
