"""Expected mistakes: shown as plain lines without a traceback, with exit code 1."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class UserError(Exception):
    """One or more mistakes that the user can mend.

    Each problem is one line: what was expected, what came, where, and what to do.

    >>> print(UserError(["a", "b"]))
    a
    b
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["UserError"], tuple[list[str]]]:
        return type(self), (self.problems,)  # survives the trip back from a worker process


def for_each(items: Iterable[Item], work: Callable[[Item], Result]) -> list[Result]:
    """What `work` gives for every item, in order; raises one UserError with each problem of any, once.

    >>> for_each([1, 2], lambda item: 10 * item)
    [10, 20]
    """
    results, problems = [], []
    for item in items:
        try:
            results.append(work(item))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(list(dict.fromkeys(problems)))
    return results


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A hint that names the closest allowed word, then all of them.

    >>> nearest("cyborgg", ["cyborg", "divergence"])
    "did you mean 'cyborg'? (one of: cyborg, divergence)"
    """
    choices = sorted(allowed)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    listed = f"one of: {', '.join(choices)}"
    return f"{hint}({listed})" if hint else listed
