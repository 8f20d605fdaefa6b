"""Evaluate every trained cell: scores, errors in known and unseen sources, alignment, faithfulness.

Reads data/prepared/<dataset> and runs/<dataset>; writes evaluate/<dataset>/<backbone>/<method>/<seed>/. See
pipeline/measure/evaluation.py for what the tables hold. Cells that are measured already are skipped.
"""

from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Params
from pipeline.common.paths import PREPARED
from pipeline.data.store import Store, open_store
from pipeline.grid import measuring
from pipeline.grid.cells import Task
from pipeline.measure import evaluation


def evaluate(params: Params, dataset: str) -> None:
    """Measure all cells of a data set that are not measured yet."""
    store = open_store(PREPARED / dataset)
    measuring.run("evaluate", tasks(params, store), evaluation.measure, params)


def tasks(params: Params, store: Store) -> list[Task]:
    """One task per cell, with all that can change its result."""
    settings = {**params.evaluate.model_dump(), "threshold": store.protocol["threshold"]}
    return measuring.plan_all("evaluate", evaluation.measure, params, store, settings)


if __name__ == "__main__":
    run_dataset_stage("evaluate", __doc__)
