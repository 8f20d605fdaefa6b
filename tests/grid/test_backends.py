"""Where cells run: how many at once, and what is said when a cluster's package is missing."""

import sys

import pytest
import tiny_store

from pipeline.common.errors import UserError
from pipeline.grid.backends import parallel, workers


@pytest.mark.parametrize(("backend", "package"), [("ray", "ray"), ("dask", "dask")])
def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, backend: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(
            UserError, match=rf"engine\.backend: {backend} needs a package .* 'camdivide\[{backend}\]'"
        ),
        parallel(tiny_store.params(engine={"backend": backend}).engine, tasks=1),
    ):
        pass


@pytest.mark.parametrize(
    ("wanted", "threads", "expected"), [("auto", 1, 8), ("auto", 3, 2), ("auto", 64, 1), (5, 64, 5)]
)
def test_how_many_workers(
    monkeypatch: pytest.MonkeyPatch, wanted: int | str, threads: int, expected: int
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    chosen = tiny_store.params(engine={"workers": wanted, "threads": threads}).engine
    assert workers(chosen) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.5, 4), (2, 1)])
def test_gpus_limit_the_workers(monkeypatch: pytest.MonkeyPatch, share: float, expected: int) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    chosen = tiny_store.params(engine={"workers": "auto", "gpus_per_cell": share}).engine
    assert workers(chosen) == expected


def test_without_a_gpu_its_share_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    chosen = tiny_store.params(engine={"workers": "auto", "gpus_per_cell": 0.25}).engine
    assert workers(chosen) == 16
