"""What a user sees of a running grid."""

import pytest

from pipeline.grid import display
from pipeline.grid.display import Display


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return now


def test_counts_and_time_left(clock: list[float], capsys: pytest.CaptureFixture) -> None:
    with Display("robustness cxr", "attacks", total=18, done_before=12) as shown:
        shown.running(2)
        clock[0] = 10
        shown.ended(failed=False)
        clock[0] = 20
        shown.ended(failed=True)
        for _ in range(4):
            shown.ended(failed=False)
    assert capsys.readouterr().err.splitlines() == [
        "robustness cxr: 12/18 attacks done, 2 running, 0 failed",
        "robustness cxr: 13/18 attacks done, 2 running, 0 failed, 50 s left",
        "robustness cxr: 13/18 attacks done, 2 running, 1 failed, 40 s left",
        "robustness cxr: 14/18 attacks done, 2 running, 1 failed, 20 s left",
        "robustness cxr: 15/18 attacks done, 2 running, 1 failed, 10 s left",
        "robustness cxr: 16/18 attacks done, 1 running, 1 failed, 4 s left",
        "robustness cxr: 17/18 attacks done, 0 running, 1 failed",
    ]


def test_on_a_terminal_it_is_one_moving_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Display("train cxr", "cells", total=2, done_before=0) as shown:
        shown.running(2)
        shown.ended(failed=False)
    assert (
        "train cxr" in (error := capsys.readouterr().err) and "1/2 cells done, 1 running, 0 failed" in error
    )
