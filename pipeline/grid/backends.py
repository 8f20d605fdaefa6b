"""Where cells run: processes of this machine, or a Ray or Dask cluster; all through joblib."""

import contextlib
from collections.abc import Iterator
from typing import Any

import joblib

from pipeline.common.config import Engine
from pipeline.common.errors import UserError
from pipeline.grid import worker


def gpu_count(device: str) -> int:
    """How many GPUs of this machine cells may use: none on the CPU, one if it is named by its number."""
    if device == "cpu":
        return 0
    import torch

    there = torch.cuda.device_count()
    return min(there, 1) if ":" in device else there


def worker_count(engine: Engine, gpus: int) -> int:
    """How many cells run at once.

    `auto` is one per `threads` cores of this machine, and no more than its GPUs, if it has any, take at
    `gpus_per_cell`.
    """
    if engine.workers != "auto":
        return engine.workers
    count = max(1, joblib.cpu_count() // engine.threads)
    if engine.gpus_per_cell > 0 and gpus:
        count = min(count, int(gpus / engine.gpus_per_cell))
    return max(1, count)


@contextlib.contextmanager
def parallel(engine: Engine, tasks: int, workers: int) -> Iterator[joblib.Parallel]:
    """A joblib Parallel of so many workers that hands out one task at a time, for so many tasks.

    Results are handed back in the order in which they come, by Ray only when all are there. Raises
    UserError if the backend's package is not installed.
    """
    returned = "list" if engine.backend == "ray" else "generator_unordered"
    with contextlib.ExitStack() as stack:
        try:
            if engine.backend == "loky":
                apart = max(2, tasks)  # with more workers than one even a single task has its own process
                _enter_loky(stack, engine, min(workers, apart))
            elif engine.backend == "ray":
                _enter_ray(stack, engine, workers)
            else:
                _enter_dask(stack, engine, workers)
        except ImportError as error:
            raise UserError(
                f"engine.backend: {engine.backend} needs a package that is not installed ({error.name}); "
                f"run `.venv/bin/pip install -e '.[{engine.backend}]'` in the project's root, or use loky"
            ) from None
        yield joblib.Parallel(return_as=returned, pre_dispatch="n_jobs", batch_size=1)


def _enter_loky(stack: contextlib.ExitStack, engine: Engine, count: int) -> None:
    """Start processes here; for one worker joblib stays in this process."""
    settings: dict[str, Any] = {"inner_max_num_threads": engine.threads, "initializer": worker.start}
    stack.enter_context(joblib.parallel_config("loky", n_jobs=count, **settings))


def _enter_ray(stack: contextlib.ExitStack, engine: Engine, count: int) -> None:
    """Join the cluster at `address`, or start one here."""
    import ray
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(address=engine.address, ignore_reinit_error=True, logging_level="warning")
    stack.callback(ray.shutdown)
    gpus = engine.gpus_per_cell if ray.cluster_resources().get("GPU") else 0
    remote: dict[str, Any] = {"num_cpus": engine.threads, "num_gpus": gpus}
    stack.enter_context(joblib.parallel_config("ray", n_jobs=count, ray_remote_args=remote))


def _enter_dask(stack: contextlib.ExitStack, engine: Engine, count: int) -> None:
    """Join the scheduler at `address` and use all its workers, or start `workers` processes here."""
    from dask.distributed import Client

    client = Client(engine.address) if engine.address else Client(n_workers=count, threads_per_worker=1)
    stack.enter_context(client)
    jobs = -1 if engine.address else count
    stack.enter_context(joblib.parallel_config("dask", n_jobs=jobs, client=client))
