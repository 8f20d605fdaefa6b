"""Identify what every trained cell decides by: important regions, recurring concepts, what they are worth.

Reads data/prepared/ and runs/; writes identify/<dataset>/<backbone>/<method>/<seed>/. See
pipeline/measure/identification.py for what the tables hold. Cells that are examined already are skipped.
"""

from functools import partial

from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Params
from pipeline.data.store import Store
from pipeline.grid import measurements, measuring
from pipeline.grid.cells import Task
from pipeline.measure import identification


def identify(params: Params, *datasets: str) -> None:
    """Examine all cells of the data sets that are not examined yet."""
    planned = measuring.plan_each(datasets, partial(tasks, params))
    measuring.run("identify", planned, identification.measure, params)


def tasks(params: Params, store: Store) -> list[Task]:
    """One task per cell, with all that can change its result."""
    settings = measurements.identification(params)
    return measuring.plan_all("identify", identification.measure, params, store, settings)


if __name__ == "__main__":
    run_dataset_stage("identify", __doc__)
