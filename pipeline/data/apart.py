"""Files that may be damaged, given to their libraries in expendable processes.

A file that ends, stops or fills up its process costs that file (E_DECODE), never the run.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.common import expendable
from pipeline.data.problems import Problem, UnusableImage

SECONDS = 60  # for one file
MEGABYTES = 1000  # of memory for one file, besides the budget that its header is held to


def limits(max_megabytes: float = 0) -> expendable.Limits:
    """What one call may take, besides a header's budget."""
    return expendable.Limits(SECONDS, MEGABYTES + max_megabytes)


def call_apart(path: Path, max_megabytes: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, which reads the file `path`, in an expendable process; raises what that raises.

    Raises UnusableImage (E_DECODE) if the process is lost; for what can be called see `expendable.call`.
    """
    try:
        return expendable.call(limits(max_megabytes), function, *arguments)
    except expendable.Lost as error:
        raise UnusableImage(tell_lost(path, error)) from None


def tell_lost(path: Path, lost: expendable.Lost) -> Problem:
    """The problem (E_DECODE) of a file whose process was lost."""
    return Problem("E_DECODE", path.name, f"its decoder {lost}; the file is damaged, replace or drop it")
