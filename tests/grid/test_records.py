"""Records: what they hold, and what counts as finished."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common.files import sha256_file
from pipeline.grid import records
from pipeline.grid.cells import Cell, Task

CELL = Cell("cxr", "compact", "cyborg", 0)


def task(folder: Path) -> Task:
    return Task(CELL, folder, "k" * 64, {"seed": 0}, data_hash="d", code_hash="c")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.bin").write_bytes(b"\0\1")
    records.write(
        task(tmp_path),
        stage="train",
        files=["b.bin", "a.csv"],
        results={"val_auroc": 0.75},
        timings={"total_s": 60.0},
    )
    return tmp_path


def test_a_record_reads_back(folder: Path) -> None:
    record = records.read(folder)
    assert record is not None
    assert record["cell"] == {"dataset": "cxr", "backbone": "compact", "method": "cyborg", "seed": 0}
    assert record["files"] == {name: sha256_file(folder / name) for name in ("a.csv", "b.bin")}
    assert record["results"] == {"val_auroc": 0.75} and record["settings"] == {"seed": 0}
    assert record["key"] == "k" * 64 and (record["data_hash"], record["code_hash"]) == ("d", "c")


def test_what_may_differ_between_machines_lies_beside_the_record(folder: Path) -> None:
    found = records.circumstances(folder)
    assert found["versions"]["torch"] and found["hardware"]["cpu"]
    assert found["started"] < found["ended"] and found["timings"] == {"total_s": 60.0}
    record = records.read(folder)
    assert record is not None and not found.keys() & record.keys()
    (folder / "circumstances.json").unlink()
    assert records.circumstances(folder) == {}
    assert records.finished(folder, "k" * 64)


def test_equal_results_are_equal_bytes_whenever_they_were_made(folder: Path) -> None:
    before = (folder / "record.json").read_bytes()
    records.write(
        task(folder),
        stage="train",
        files=["a.csv", "b.bin"],
        results={"val_auroc": 0.75},
        timings={"total_s": 7},
    )
    assert (folder / "record.json").read_bytes() == before


def test_the_commit_is_that_of_the_package() -> None:
    command = ["git", "-C", str(Path(records.__file__).parent), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert records.git_commit() == (done.stdout.strip() or None)


def test_outside_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PACKAGE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert records.git_commit.__wrapped__() is None


def test_finished_means_this_key_and_these_bytes(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert records.finished(folder, "k" * 64)
    assert not records.finished(folder, "other")
    assert capsys.readouterr().err == ""  # other settings are not damage


def truncated(path: Path) -> None:
    path.write_text(path.read_text()[:-20])


def retyped(field: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), field: ["other"]}))

    return damage


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("record.json", truncated, "record.json: not readable as JSON"),
        ("record.json", lambda path: path.write_text("[]"), "record.json: not a record of schema 2"),
        (
            "record.json",
            lambda path: path.write_text('{"schema": 2}'),
            "record.json: not a record of schema 2",
        ),
        *(
            ("record.json", retyped(field), "record.json: not a record of schema 2")
            for field in records.FIELDS
        ),
        ("record.json", lambda path: path.write_bytes(b"\xff\xfe"), "record.json: not readable as JSON"),
        ("b.bin", lambda path: path.write_bytes(b"\0\2"), "b.bin: differs from its record"),
        ("b.bin", lambda path: path.unlink(), "b.bin: missing"),
    ],
)
def test_damage_is_said_and_the_cell_is_not_finished(
    folder: Path, capsys: pytest.CaptureFixture, name: str, damage: Callable[[Path], None], said: str
) -> None:
    damage(folder / name)
    assert not records.finished(folder, "k" * 64)
    error = capsys.readouterr().err
    assert said in error and "the cell counts as unfinished" in error and error.count("\n") == 1


def test_no_record_is_not_damage(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert records.read(tmp_path) is None and not records.finished(tmp_path, "k")
    assert capsys.readouterr().err == ""


def test_a_record_is_plain_json_with_null_for_nan(tmp_path: Path) -> None:
    records.write(
        task(tmp_path), stage="evaluate", files=[], results={"open_auroc": float("nan")}, timings={}
    )
    assert json.loads((tmp_path / "record.json").read_text())["results"] == {"open_auroc": None}
