"""A broken rule or a warning, as the line that a user reads; `codes` explains every code."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.common.errors import UserError


@dataclass(frozen=True)
class Problem:
    """What is wrong with a data set or one of its files; `str` of it is one line.

    >>> str(Problem("E_LABEL", "list.csv line 3", "expected 0 or 1, got 2"))
    'E_LABEL list.csv line 3: expected 0 or 1, got 2'
    """

    code: str  # of `codes.CODES`
    where: str  # file, line, column, sample id: whatever leads there
    message: str  # what was expected, what came, what to do

    def __str__(self) -> str:
        return f"{self.code} {self.where}: {self.message}"


class Finding(NamedTuple):
    """One thing that a user should know before believing a result; its code begins with W_."""

    code: str
    where: str
    message: str


def counted(findings: Iterable[Finding]) -> list[Finding]:
    """One finding per code: its first one, and how many there are.

    >>> counted([Finding("W_MISSING", f"list.csv line {line}", "no such file") for line in (4, 9)])
    [Finding(code='W_MISSING', where='list.csv line 4', message='no such file (the first of 2)')]
    """
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    return [
        first if not others else first._replace(message=f"{first.message} (the first of {len(others) + 1})")
        for first, *others in by_code.values()
    ]


class UnusableImage(Exception):
    """An image or annotation that cannot be used; `problem` carries the code and the line to show."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))

    def __reduce__(self) -> tuple[type["UnusableImage"], tuple[Problem]]:
        return type(self), (self.problem,)  # survives the trip back from a worker process


def refuse(problems: list[Problem], limit: int = 20) -> None:
    """Raise UserError with the first `limit` problems, if there are any."""
    if problems:
        lines = [str(problem) for problem in problems[:limit]]
        if len(problems) > limit:
            lines.append(f"... and {len(problems) - limit} more")
        raise UserError(lines)
