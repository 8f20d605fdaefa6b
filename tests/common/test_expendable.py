"""Expendable processes: whatever happens to one costs its own call, and says so."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import expendable
from pipeline.common.errors import UserError
from pipeline.common.expendable import Limits, Lost, call, call_all

LIMITS = Limits(seconds=30, megabytes=200)
FATAL: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "abort": (os.abort, (), "died (SIGABRT)"),
    "exit": (os._exit, (7,), "died (exit code 7)"),
    "hang": (time.sleep, (60,), "took more than 0.5 s"),
    "an answer that cannot travel": (open, (os.devnull,), "died (exit code 1)"),
}


def _raise(number: int) -> None:
    if number:
        signal.raise_signal(signal.Signals(number))


def _refuse(told: str) -> None:
    raise UserError(told)


def test_answers_and_errors_come_back() -> None:
    assert call(LIMITS, pow, 2, 10) == 1024
    with pytest.raises(ZeroDivisionError):
        call(LIMITS, divmod, 1, 0)
    with pytest.raises(UserError, match="all of it"):
        call(LIMITS, _refuse, "all of it")
    assert call(LIMITS, print, "noise") is None  # what is printed does not mix with answers


@pytest.mark.parametrize("case", FATAL)
def test_a_process_that_is_lost_costs_its_call(case: str) -> None:
    function, arguments, told = FATAL[case]
    with pytest.raises(Lost) as caught:
        call(LIMITS._replace(seconds=0.5), function, *arguments)
    assert str(caught.value) == told
    assert call(LIMITS, abs, -1) == 1


def test_order_is_kept_around_lost_calls() -> None:
    signals = [0, signal.SIGKILL, 0, 0, signal.SIGABRT]  # 0 is none
    found = list(call_all(LIMITS, _raise, [(number,) for number in signals], workers=2))
    assert [str(answer) for answer in found] == ["None", "died (SIGKILL)", "None", "None", "died (SIGABRT)"]


def test_memory_is_limited_and_given_back() -> None:
    assert len(call(LIMITS, bytes, 100_000_000)) == 100_000_000
    with pytest.raises(Lost, match="needed more than 200 MB of memory"):
        call(LIMITS, bytes, 300_000_000)
    assert len(call(LIMITS._replace(megabytes=400), bytes, 300_000_000)) == 300_000_000


def test_a_worker_that_ended_between_calls_is_replaced() -> None:
    one = call(LIMITS, os.getpid)
    assert one != os.getpid()
    assert call(LIMITS, os.getpid) == one
    os.kill(one, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while expendable._idle[-1].is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert call(LIMITS, os.getpid) not in (one, os.getpid())


def test_relative_paths_mean_what_they_mean_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(LIMITS, Path.cwd) == Path.cwd()
    monkeypatch.chdir(tmp_path)
    assert call(LIMITS, Path.cwd) == tmp_path
