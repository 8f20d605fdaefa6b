"""The command line: expected mistakes are plain lines, never tracebacks, and never exit 0."""

from collections.abc import Callable

import pytest

from pipeline.common.cli import exit_with
from pipeline.common.errors import UserError


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
