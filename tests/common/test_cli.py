"""The command line: expected mistakes are plain lines, never tracebacks, and never exit 0."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import cli
from pipeline.common.cli import exit_with, run_dataset_stage
from pipeline.common.errors import UserError, for_each

PARAMS = str(Path(__file__).parents[2] / "params.yaml")


def failing(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (UserError(["first", "second"]), 1, "stage: error: first\nstage: error: second\n"),
        (
            OSError(28, "No space left on device", "runs/a"),
            1,
            "stage: error: No space left on device (runs/a)\n",
        ),
        (KeyboardInterrupt(), 130, "stage: stopped; finished work is kept\n"),
    ],
)
def test_expected_mistakes(
    error: BaseException, code: int, lines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        exit_with(failing(error), debug=False, name="stage")
    assert caught.value.code == code
    assert capsys.readouterr().err == lines


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(UserError):
        exit_with(failing(UserError("x")), debug=True, name="stage")


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_with(failing(ZeroDivisionError()), debug=False, name="stage")


@pytest.mark.parametrize(
    ("given", "meant"),
    [([], ("cxr", "iris", "face")), (["iris"], ("iris",)), (["face", "cxr", "face"], ("face", "cxr"))],
)
def test_a_stage_works_on_the_data_sets_that_are_named_or_on_all(
    given: list[str], meant: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[Any] = []
    monkeypatch.setattr(cli, "_stage", lambda name: lambda params, *datasets: came.append(datasets))
    monkeypatch.setattr("sys.argv", ["train", "--params", PARAMS, *given])
    run_dataset_stage("train", "doc")
    assert came == [meant]


def test_all_unknown_data_sets_are_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_stage", lambda name: failing(AssertionError("ran")))
    monkeypatch.setattr("sys.argv", ["train", "--params", PARAMS, "irys", "cxr", "nose"])
    with pytest.raises(SystemExit) as caught:
        run_dataset_stage("train", "doc")
    first, second = capsys.readouterr().err.splitlines()
    assert caught.value.code == 1
    assert "'irys' is not in" in first and "did you mean 'iris'?" in first
    assert "'nose' is not in" in second


def test_what_is_wrong_with_several_items_is_told_together() -> None:
    def work(item: int) -> int:
        if item % 2:
            raise UserError([f"{item} is odd", "odd ones are no pairs"])
        return item

    assert for_each([2, 4], work) == [2, 4]
    with pytest.raises(UserError) as caught:
        for_each([1, 2, 3], work)
    assert caught.value.problems == ["1 is odd", "odd ones are no pairs", "3 is odd"]  # each once


@pytest.mark.parametrize(
    ("stage", "named", "asked"),
    [
        ("train", [], ["cxr", "iris", "face"]),
        ("train@iris", [], ["iris"]),
        ("a@b/dvc.yaml:train@face", [], ["face"]),
        ("a@b/dvc.yaml:train", [], ["cxr", "iris", "face"]),
        ("train@iris", ["cxr"], ["cxr"]),
    ],
)
def test_dvc_says_which_data_set_it_runs(
    monkeypatch: pytest.MonkeyPatch, stage: str, named: list[str], asked: list[str]
) -> None:
    found: list[str] = []
    monkeypatch.setattr(cli, "_stage", lambda name: lambda params, *datasets: found.extend(datasets))
    monkeypatch.setattr("sys.argv", ["train", "--params", PARAMS, *named])
    monkeypatch.setenv("DVC_STAGE", stage)
    run_dataset_stage("train", "doc")
    assert found == asked
