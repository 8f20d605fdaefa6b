"""The proof of reproduction: equal bytes, equal digits, or a difference and exit code 1."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline import verify
from pipeline.common.code import PACKAGE
from pipeline.common.config import load
from pipeline.common.errors import UserError
from pipeline.common.files import write_csv, write_json
from pipeline.grid.cells import cells

CELLS = ["compact/cyborg/0", "compact/cyborg/1"]


def write_record(root: Path, stage: str, cell: str, results: dict[str, Any], key: str = "k") -> None:
    where = {"train": "runs"}.get(stage, stage)
    made_of = {"cell": {}, "settings": {}, "data_hash": "d", "code_hash": "c", "files": {}}
    record = {"schema": 2, "stage": stage, "key": key, "results": results, **made_of}
    write_json(root / where / "toy" / cell / "record.json", record)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, cell in enumerate(CELLS):
        write_record(tmp_path, "train", cell, {"val_auroc": 0.9 + number / 100})
    write_record(tmp_path, "robustness", f"{CELLS[0]}/hoax", {"accuracy": 0.5, "unbroken": None})
    return tmp_path


def verdicts(
    root: Path, edit: dict[str, Any], cell: str = CELLS[0], stage: str = "train"
) -> list[tuple[str, float]]:
    expected = verify.present(root)
    write_record(root, stage, cell, **edit)
    return [(each.verdict, each.largest) for each in verify.compare(expected, verify.present(root))]


SAME = ("identical", 0.0)


def test_the_same_bytes_are_identical(root: Path) -> None:
    assert verdicts(root, {"results": {"val_auroc": 0.9}}) == [SAME] * 3


def test_a_cell_without_results_is_read_back_as_such(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record alone may differ: that is equal."""
    monkeypatch.chdir(root)
    write_record(root, "robustness", f"{CELLS[1]}/hoax", {})
    write_csv(verify.REFERENCE, verify.present())
    write_record(root, "robustness", f"{CELLS[1]}/hoax", {}, key="other")
    found = [each.verdict for each in verify.compare(verify._read_reference(), verify.present())]
    assert found == ["identical"] * 3 + ["equal"]


def test_another_key_with_the_same_numbers_is_equal(root: Path) -> None:
    assert verdicts(root, {"results": {"val_auroc": 0.9}, "key": "other"}) == [("equal", 0.0), SAME, SAME]


def test_a_difference_that_no_table_shows_is_equal(root: Path) -> None:
    (found, *others) = verdicts(root, {"results": {"val_auroc": 0.90003}})
    assert found == ("equal", pytest.approx(3e-5)) and others == [SAME] * 2


def test_a_difference_that_tables_show_is_different(root: Path) -> None:
    (found, *others) = verdicts(root, {"results": {"val_auroc": 0.902}})
    assert found == ("different", pytest.approx(0.002)) and others == [SAME] * 2


def test_another_word_is_different(root: Path) -> None:
    results = {"val_auroc": 0.9, "selected_by": "alignment"}
    write_record(root, "train", CELLS[0], results)
    assert verdicts(root, {"results": results, "key": "other"})[0] == ("equal", 0.0)
    (verdict, _), *others = verdicts(root, {"results": {**results, "selected_by": "auroc"}})
    assert verdict == "different" and others == [SAME] * 2


def test_other_numbers_and_numbers_that_came_or_went_are_different(root: Path) -> None:
    hoax = f"{CELLS[0]}/hoax"
    for results in ({"accuracy": 0.5}, {"accuracy": 0.5, "unbroken": 0.1}, {"other": 0.5, "unbroken": None}):
        found = verdicts(root, {"results": results}, hoax, "robustness")
        assert found[-1][0] == "different" and found[:2] == [SAME] * 2
        write_record(root, "robustness", hoax, {"accuracy": 0.5, "unbroken": None})


def test_a_cell_that_came_or_went_is_different(root: Path) -> None:
    expected = verify.present(root)
    shutil.rmtree(root / "runs" / "toy" / CELLS[0])
    write_record(root, "evaluate", CELLS[1], {"auroc": 1.0})
    found = {(each.stage, each.cell): each.verdict for each in verify.compare(expected, verify.present(root))}
    assert found == {
        ("train", CELLS[0]): "different",
        ("train", CELLS[1]): "identical",
        ("robustness", f"{CELLS[0]}/hoax"): "identical",
        ("evaluate", CELLS[1]): "different",
    }


def test_the_reference_reads_back_as_it_was_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    write_csv(verify.REFERENCE, verify.present())
    assert [each.verdict for each in verify.compare(verify._read_reference(), verify.present())] == [
        "identical"
    ] * 3


def lock(**hashes: str) -> dict[str, Any]:
    return {
        "stages": {name: {"outs": [{"path": name, "md5": md5}]} for name, md5 in hashes.items()}
        | {"track": {}}
    }


def test_stages_are_compared_by_the_hashes_of_their_outputs() -> None:
    before, after = lock(train="a", report="b", gone="c"), lock(train="a", report="x")
    assert verify.changed_stages(before, after) == {"train": True, "report": False, "gone": False}


def test_verify_ends_with_1_only_where_something_differs(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    write_csv(verify.REFERENCE, verify.present())
    committed = lock(**{"prepare@toy": "p", "train@toy": "a"})
    monkeypatch.setattr(verify, "_committed_lock", lambda: committed)
    verify.LOCK.write_text(yaml.safe_dump(lock(**{"prepare@toy": "p", "train@toy": "b"})))
    write_record(root, "train", CELLS[1], {"val_auroc": 0.91 + 1e-5})
    verify.verify()  # other bytes, the same digits
    assert "train@toy" in capsys.readouterr().out
    write_record(root, "train", CELLS[1], {"val_auroc": 0.95})
    with pytest.raises(UserError, match="different from the reference: 1 of 3 cells"):
        verify.verify()
    write_record(root, "train", CELLS[1], {"val_auroc": 0.91})
    verify.LOCK.write_text(yaml.safe_dump(lock(**{"prepare@toy": "other", "train@toy": "a"})))
    with pytest.raises(UserError, match="the bytes of prepare@toy"):
        verify.verify()


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """A project of one stage that DVC has run, and whose lock is therefore fresh."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    (tmp_path / "pipeline" / "data").mkdir(parents=True)
    (tmp_path / "pipeline" / "data" / "read.py").write_text("x = 1\n")
    (tmp_path / "params.yaml").write_text("prepare: {size: 1}\n")
    stage = {"cmd": "echo 1 > out", "deps": ["pipeline/data"], "params": ["prepare"], "outs": ["out"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"prepare": stage}}))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def test_a_lock_that_is_older_than_code_settings_or_stages_is_refused(
    small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_project)
    verify.check_lock()
    for name, old, new in (
        ("pipeline/data/read.py", "1", "2"),
        ("params.yaml", "1", "2"),
        ("dvc.yaml", "echo 1", "echo 2"),
    ):
        path = Path(name)
        text = path.read_text()
        path.write_text(text.replace(old, new))
        with pytest.raises(UserError, match=f"dvc.lock is older than {name.replace('/read.py', '')}"):
            verify.check_lock()
        path.write_text(text)
    verify.check_lock()


def test_without_a_reference_there_is_one_line(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(PACKAGE.parent), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "pipeline.verify"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "verify: error: reference.csv: not found; run from the project's root folder"
    ]


def test_the_committed_reference_is_of_the_planned_cells() -> None:
    params = load(PACKAGE.parent / "params.yaml")
    planned = {
        (name, f"{cell.backbone}/{cell.method}/{cell.seed}")
        for name in params.datasets
        for cell in cells(params, name)
    }
    reference = pd.read_csv(PACKAGE.parent / verify.REFERENCE, dtype=str)
    for stage in ("train", "evaluate", "identify"):
        mine = reference[reference["stage"] == stage]
        floors = {(name, "floors") for name in params.datasets if stage == "evaluate"}
        assert set(zip(mine["dataset"], mine["cell"], strict=True)) == planned | floors
