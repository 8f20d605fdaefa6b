"""Where cells run: processes of this machine, or a Ray or Dask cluster; all through joblib."""

import contextlib
from collections.abc import Iterator
from typing import Any

import joblib

from pipeline.common.config import Engine
from pipeline.common.errors import UserError


def workers(engine: Engine) -> int:
    """How many cells run at once.

    `auto` is one per `threads` cores of this machine, and no more than its GPUs, if it has any, take at
    `gpus_per_cell`.
    """
    if engine.workers != "auto":
        return engine.workers
    count = max(1, joblib.cpu_count() // engine.threads)
    if engine.gpus_per_cell > 0:
        import torch

        gpus = torch.cuda.device_count()
        count = min(count, int(gpus / engine.gpus_per_cell)) if gpus else count
    return max(1, count)


@contextlib.contextmanager
def parallel(engine: Engine, tasks: int) -> Iterator[joblib.Parallel]:
    """A joblib Parallel that hands out one task at a time, for so many tasks.

    Results are handed back in the order in which they come, by Ray only when all are there. Raises
    UserError if the backend's package is not installed.
    """
    count = workers(engine)
    returned = "list" if engine.backend == "ray" else "generator_unordered"
    with contextlib.ExitStack() as stack:
        try:
            if engine.backend == "loky":
                # With one worker joblib stays in this process; with more, even a single task is kept apart.
                here = {"n_jobs": min(count, max(2, tasks)), "inner_max_num_threads": engine.threads}
                stack.enter_context(joblib.parallel_config("loky", **here))
            elif engine.backend == "ray":
                _enter_ray(stack, engine, count)
            else:
                _enter_dask(stack, engine, count)
        except ImportError as error:
            raise UserError(
                f"engine.backend: {engine.backend} needs a package that is not installed ({error.name}); "
                f"pip install 'camdivide[{engine.backend}]', or use loky"
            ) from None
        yield joblib.Parallel(return_as=returned, pre_dispatch="n_jobs", batch_size=1)


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
