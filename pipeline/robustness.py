"""Robustness: attacks on what every trained cell shows and decides, and what stands.

Reads data/prepared/ and runs/. Below robustness/<dataset>/<backbone>/<method>/<seed>/ it
writes a folder of each attack that params.yaml plans for the cell: values.csv, pictures.npz (maps and images
before and after) and record.json. Those that have a record of the present training are skipped.
`python -m pipeline.attack` attacks one model.
"""

import sys
from functools import partial

from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Params
from pipeline.common.paths import CELLS
from pipeline.data.store import Store
from pipeline.grid import measurements, measuring, trainings
from pipeline.grid.cells import Task
from pipeline.measure import under_attack


def robustness(params: Params, *datasets: str) -> None:
    """Run the planned attacks that have no record yet; raises UserError listing every one that failed."""
    CELLS["robustness"].mkdir(parents=True, exist_ok=True)
    planned = measuring.plan_each(datasets, partial(tasks, params))
    measuring.run("robustness", planned, under_attack.measure, params, unit="attacks")


def tasks(params: Params, store: Store) -> list[Task]:
    """One task per cell and attack planned for it; none, and a word on it, where nothing can be attacked."""
    dataset = store.info["dataset"]
    if not len(store.rows(under_attack.ROLE)):
        print(f"robustness {dataset}: no test image of a known source; nothing is attacked", file=sys.stderr)
        return []
    seen = store.digest("train", "val", under_attack.ROLE)
    return [
        measuring.plan(
            "robustness",
            cell,
            {**training, "robustness": params.robustness.settings_of(attack)},
            data_hash=seen,
            code=measurements.attack_code(attack, params),
            part=name,
        )
        for cell, training in trainings.trainings(params, dataset).items()
        for name, attack in params.robustness.planned(dataset, cell.method, cell.seed).items()
    ]


if __name__ == "__main__":
    run_dataset_stage("robustness", __doc__)
