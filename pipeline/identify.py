"""Identify what every trained cell decides by: important regions, recurring concepts, what they are worth.

Reads data/prepared/<dataset> and runs/<dataset>; writes identify/<dataset>/<backbone>/<method>/<seed>/. See
pipeline/measure/identification.py for what the tables hold. Cells that are examined already are skipped.
"""

from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Params
from pipeline.common.paths import PREPARED
from pipeline.data.store import open_store
from pipeline.grid.measuring import measure_all
from pipeline.measure import identification


def identify(params: Params, dataset: str) -> None:
    """Examine all cells of a data set that are not examined yet."""
    store = open_store(PREPARED / dataset)
    settings = {**params.identify.model_dump(), "batch_size": params.evaluate.batch_size}
    measure_all("identify", identification.measure, params, store, settings)


if __name__ == "__main__":
    run_dataset_stage("identify", __doc__)
