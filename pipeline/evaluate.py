"""Evaluate every trained cell: scores, errors in known and unseen sources, alignment, faithfulness.

Reads data/prepared/<dataset> and runs/<dataset>; writes evaluate/<dataset>/<backbone>/<method>/<seed>/. See
pipeline/measure/evaluation.py for what the tables hold. Cells that are measured already are skipped.
"""

from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Params
from pipeline.common.paths import PREPARED
from pipeline.data.store import open_store
from pipeline.grid.measuring import measure_all
from pipeline.measure import evaluation


def evaluate(params: Params, dataset: str) -> None:
    """Measure all cells of a data set that are not measured yet."""
    store = open_store(PREPARED / dataset)
    settings = {**params.evaluate.model_dump(), "threshold": store.protocol["threshold"]}
    measure_all("evaluate", evaluation.measure, params, store, settings)


if __name__ == "__main__":
    run_dataset_stage("evaluate", __doc__)
