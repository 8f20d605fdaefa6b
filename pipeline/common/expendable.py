"""Calls in expendable processes: one that dies, hangs or wants too much memory costs its own answer only.

For work that hands files from anywhere to libraries written in C, which may end a process without a word. A
worker is a plain Python process that answers through its standard streams; it stays for further calls, and
ends with the process that started it. Needs a POSIX system, and Linux for the limit of memory.
"""

import atexit
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

START = "import sys; sys.path[:] = sys.argv[1:]; from pipeline.common.expendable import serve; serve()"
# as many threads as there are workers is enough; each of these is read by another library
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
AHEAD = 8  # calls of each worker that may be under way: bounds what waits for a slow one


class Limits(NamedTuple):
    """What one call may take; `megabytes` (1e6 bytes) come on top of what its worker has already."""

    seconds: float
    megabytes: float


class Lost(Exception):
    """A call has no answer, since its worker died on it or went over a limit; `str` says how."""


class _Worker:
    """One process, which does one call at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | ALONE,
        )
        assert self._process.stdin and self._process.stdout
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def call(self, limits: Limits, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """What the function gives, raised if it is an error; Lost if the process ends."""
        try:
            pickle.dump((Path.cwd(), limits, function, arguments), self._requests)
            self._requests.flush()
            good, answer = pickle.load(self._answers)
        except (EOFError, OSError, pickle.UnpicklingError):
            self._process.wait()
            raise Lost(_tell_end(self._process.returncode, limits)) from None
        if not good:
            raise answer
        return answer

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with suppress(OSError):  # what was meant for it can no longer be sent
            self._requests.close()


_idle: list[_Worker] = []


def call(limits: Limits, function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)` in a worker; all must be picklable, and the function's module importable.

    Raises Lost if the worker died, or went over a limit, and whatever the function raises.

    >>> call(Limits(seconds=10, megabytes=100), abs, -3)
    3
    """
    worker = _find_worker()
    try:
        answer = worker.call(limits, function, arguments)
    except Exception:
        _keep(worker)
        raise
    except BaseException:  # interrupted while it works: its answer must never meet another call
        worker.end()
        raise
    _keep(worker)
    return answer


def call_all(
    limits: Limits, function: Callable[..., Any], many: Iterable[tuple[Any, ...]], workers: int
) -> Iterator[Any]:
    """The answers to all arguments, in order, from up to `workers` processes; Lost for a call without one.

    >>> list(call_all(Limits(seconds=10, megabytes=100), pow, [(2, 3), (3, 2)], workers=1))
    [8, 9]
    """

    def answer(arguments: tuple[Any, ...]) -> Any:
        try:
            return call(limits, function, *arguments)
        except Lost as error:
            return error

    threads = ThreadPoolExecutor(workers)
    waiting: deque[Future[Any]] = deque()
    try:
        for arguments in many:
            waiting.append(threads.submit(answer, arguments))
            if len(waiting) == AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def serve() -> None:
    """What a worker does: answer calls until nobody asks any more."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # libraries may print what a file says of a patient
        os.dup2(nowhere, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        try:
            folder, limits, function, arguments = pickle.load(requests)
        except EOFError:
            os._exit(0)
        except Exception as error:  # a module that the function needs does not load
            answer: tuple[bool, Any] = (False, error)
        else:
            os.chdir(folder)
            answer = _answer(limits, function, arguments)
        pickle.dump(answer, answers)
        answers.flush()


def _answer(limits: Limits, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """Whether the function gave an answer, and that, or its error."""
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)  # the system ends the process, whatever it does
    try:
        _limit_memory(limits.megabytes)
        return True, function(*arguments)
    except MemoryError:
        return False, Lost(f"needed more than {limits.megabytes:g} MB of memory")
    except Exception as error:
        return False, error
    finally:
        _limit_memory(None)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit_memory(megabytes: float | None) -> None:
    """Let this process have so much more than it has; None: all it wants."""
    if sys.platform != "linux":
        return
    most = resource.RLIM_INFINITY
    if megabytes is not None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])  # data and stack
        most = pages * resource.getpagesize() + int(megabytes * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))


def _find_worker() -> _Worker:
    while True:
        try:
            worker = _idle.pop()
        except IndexError:
            atexit.unregister(_end_all)
            atexit.register(_end_all)
            return _Worker()
        if worker.is_alive():
            return worker
        worker.end()


def _keep(worker: _Worker) -> None:
    if worker.is_alive():
        _idle.append(worker)
    else:
        worker.end()


def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _tell_end(code: int, limits: Limits) -> str:
    """How a process ended, from its exit code."""
    if code == -signal.SIGALRM:
        return f"took more than {limits.seconds:g} s"
    return f"died ({signal.Signals(-code).name})" if code < 0 else f"died (exit code {code})"
