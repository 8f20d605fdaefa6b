"""Side-by-side timing: contestants take turns, so that a slow moment of the machine hits them all."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def seconds(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Wall seconds of each contestant in each round, after one warm-up; waits for the GPU if there is one."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for round_number in range(rounds + 1):
        for name, work in contestants.items():
            _synchronize()
            start = time.perf_counter()
            work()
            _synchronize()
            if round_number:
                taken[name].append(time.perf_counter() - start)
    return taken


def ratio(above: list[float], below: list[float]) -> float:
    """Median over rounds of `above / below`, paired by round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
