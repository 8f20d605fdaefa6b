"""Where cells run: how many at once, and what is said when a cluster's package is missing."""

import sys

import pytest
import tiny_store

from pipeline.common.errors import UserError
from pipeline.grid.backends import gpu_count, parallel, worker_count


@pytest.mark.parametrize("backend", ["ray", "dask"])
def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setitem(sys.modules, backend, None)
    chosen = tiny_store.params(engine={"backend": backend}).engine
    said = rf"engine\.backend: {backend} needs a package .* `\.venv/bin/pip install -e '\.\[{backend}\]'`"
    with pytest.raises(UserError, match=said), parallel(chosen, tasks=1, workers=1):
        pass


@pytest.mark.parametrize(
    ("wanted", "threads", "expected"), [("auto", 1, 8), ("auto", 3, 2), ("auto", 64, 1), (5, 64, 5)]
)
def test_how_many_workers(
    monkeypatch: pytest.MonkeyPatch, wanted: int | str, threads: int, expected: int
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    chosen = tiny_store.params(engine={"workers": wanted, "threads": threads}).engine
    assert worker_count(chosen, gpus=0) == expected


@pytest.mark.parametrize(
    ("share", "gpus", "expected"), [(0.5, 2, 4), (2, 2, 1), (0.25, 1, 4), (0.25, 0, 16), (0, 2, 16)]
)
def test_gpus_limit_the_workers(
    monkeypatch: pytest.MonkeyPatch, share: float, gpus: int, expected: int
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    chosen = tiny_store.params(engine={"workers": "auto", "threads": 1, "gpus_per_cell": share}).engine
    assert worker_count(chosen, gpus) == expected


@pytest.mark.parametrize(
    ("device", "there", "expected"),
    [("auto", 4, 4), ("cuda", 4, 4), ("cuda:3", 4, 1), ("auto", 0, 0), ("cuda:0", 0, 0), ("cpu", 4, 0)],
)
def test_gpus_that_cells_may_use(
    monkeypatch: pytest.MonkeyPatch, device: str, there: int, expected: int
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: there)
    assert gpu_count(device) == expected
