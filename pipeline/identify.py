"""Identify what every trained cell decides by: important regions, recurring concepts, what they are worth.

Reads data/prepared/<dataset> and runs/<dataset>; writes identify/<dataset>/<backbone>/<method>/<seed>/. See
pipeline/measure/identification.py for what the tables hold. Cells that are examined already are skipped.
"""

from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Params
from pipeline.common.paths import PREPARED
from pipeline.data.store import Store, open_store
from pipeline.grid import measuring
from pipeline.grid.cells import Task
from pipeline.measure import identification


def identify(params: Params, dataset: str) -> None:
    """Examine all cells of a data set that are not examined yet."""
    store = open_store(PREPARED / dataset)
    measuring.run("identify", tasks(params, store), identification.measure, params)


def tasks(params: Params, store: Store) -> list[Task]:
    """One task per cell, with all that can change its result."""
    settings = {**params.identify.model_dump(), "batch_size": params.evaluate.batch_size}
    return measuring.plan_all("identify", identification.measure, params, store, settings)


if __name__ == "__main__":
    run_dataset_stage("identify", __doc__)
