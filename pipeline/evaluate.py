"""Evaluate every trained cell: scores, errors in known and unseen sources, what decides, alignment.

Reads data/prepared/ and runs/; writes evaluate/<dataset>/<backbone>/<method>/<seed>/, and
evaluate/<dataset>/floors/: what models without a network score on the same images. See
pipeline/measure/evaluation.py for what the tables hold. What is measured already is skipped.
"""

from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Params
from pipeline.common.paths import FLOORS
from pipeline.data.store import Store
from pipeline.grid import measurements, measuring
from pipeline.grid.cells import Task
from pipeline.measure import evaluation, floors


def evaluate(params: Params, *datasets: str) -> None:
    """Measure all cells of the data sets, and their floors, that are not measured yet."""
    planned = measuring.plan_each(datasets, lambda store: [*tasks(params, store), floors_task(params, store)])
    measuring.run("evaluate", planned, evaluation.measure, params, apart=floors.measure)


def tasks(params: Params, store: Store) -> list[Task]:
    """One task per cell, with all that can change its result."""
    return measuring.plan_all(
        "evaluate", evaluation.measure, params, store, measurements.evaluation(params, store)
    )


def floors_task(params: Params, store: Store) -> Task:
    """The measurement of the data set's floors."""
    given = measurements.evaluation(params, store)
    return measuring.plan_apart("evaluate", floors.measure, store, given, folder=FLOORS, by="scikit-learn")


if __name__ == "__main__":
    run_dataset_stage("evaluate", __doc__)
