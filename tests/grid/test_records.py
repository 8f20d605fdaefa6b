"""Records: what they hold, and what counts as finished."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common.files import sha256_file
from pipeline.grid import records
from pipeline.grid.cells import Cell

CELL = Cell("cxr", "compact", "cyborg", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.bin").write_bytes(b"\0\1")
    records.write(
        tmp_path,
        stage="train",
        cell=CELL,
        key="k" * 64,
        settings={"seed": 0},
        data_hash="d",
        code_hash="c",
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
    assert record["versions"]["torch"] and record["hardware"]["cpu"]
    assert record["started"] < record["ended"]


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


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("record.json", truncated, "record.json: not readable as JSON"),
        ("record.json", lambda path: path.write_text("[]"), "record.json: not a record of schema 1"),
        (
            "record.json",
            lambda path: path.write_text('{"schema": 1}'),
            "record.json: not a record of schema 1",
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
    assert said in error and "the cell is run again" in error and error.count("\n") == 1


def test_no_record_is_not_damage(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert records.read(tmp_path) is None and not records.finished(tmp_path, "k")
    assert capsys.readouterr().err == ""


def test_a_record_is_plain_json_with_null_for_nan(tmp_path: Path) -> None:
    records.write(
        tmp_path, stage="evaluate", cell=CELL, key="k", settings={}, data_hash="d", code_hash="c", files=[],
        results={"open_auroc": float("nan")}, timings={},
    )  # fmt: skip
    assert json.loads((tmp_path / "record.json").read_text())["results"] == {"open_auroc": None}
