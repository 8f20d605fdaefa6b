"""How a running grid looks: one moving line on a terminal, one plain line per piece of work in a log."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.common.progress import duration


class Display:
    """Pieces of work done, running and failed, and the time that is left; drawn on standard error.

    `unit` is the word for many of them, such as `cells`.
    """

    def __init__(self, title: str, unit: str, total: int, done_before: int) -> None:
        self.title, self.unit, self.total, self.done_before = title, unit, total, done_before
        self.ended_now = self.failed = self.slots = 0
        self.started = time.monotonic()
        console = Console(file=sys.stderr)
        self.live = console.is_terminal
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}"))
        self.progress = Progress(*columns, TimeElapsedColumn(), console=console, disable=not self.live)
        self.bar = self.progress.add_task(title, total=total, completed=done_before, counts="")

    def __enter__(self) -> "Display":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def running(self, slots: int) -> None:
        """Say how many run at once."""
        self.slots = slots
        self._show()

    def ended(self, *, failed: bool) -> None:
        """Count one more that has ended."""
        self.ended_now += 1
        self.failed += failed
        self._show()

    def counts(self) -> str:
        """The numbers as text, such as `3/18 cells done, 2 running, 0 failed, 40 s left`."""
        done = self.done_before + self.ended_now - self.failed
        left = self.total - self.done_before - self.ended_now
        running = min(self.slots, left)
        text = f"{done}/{self.total} {self.unit} done, {running} running, {self.failed} failed"
        if self.ended_now and left:
            seconds = (time.monotonic() - self.started) / self.ended_now * left
            text += f", {duration(seconds)} left"
        return text

    def _show(self) -> None:
        if self.live:
            self.progress.update(self.bar, completed=self.done_before + self.ended_now, counts=self.counts())
        else:
            print(f"{self.title}: {self.counts()}", file=sys.stderr, flush=True)
