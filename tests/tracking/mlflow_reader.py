"""What the tests of the sync work on, and all that MLflow then says about it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from fake_results import params
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

SETTINGS = params(datasets=1, seeds=1, track={"interval": 0.1})
CELL = {"dataset": "toy_0", "backbone": "compact", "method": "cyborg", "seed": 0}


def client() -> MlflowClient:
    return MlflowClient(f"sqlite:///{Path.cwd() / 'mlflow.db'}")


def runs(store: MlflowClient, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """The runs of cells."""
    return [run for run in all_runs(store, view) if "cell_key" in run.data.tags]


def parents(store: MlflowClient, view: int = ViewType.ACTIVE_ONLY) -> dict[str, Run]:
    """The runs above those of seeds, by name."""
    return {run.info.run_name: run for run in all_runs(store, view) if "cell_key" not in run.data.tags}


def all_runs(store: MlflowClient, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    experiment = store.get_experiment_by_name("toy_0")
    return list(store.search_runs([experiment.experiment_id], run_view_type=view))


def content(store: MlflowClient) -> dict[str, Any]:
    """All that a store says about the cells, without ids and addresses."""
    found = {}
    for run in runs(store):
        run_id = run.info.run_id
        found[run.info.run_name] = {
            "metrics": run.data.metrics,
            "params": run.data.params,
            "tags": {name: text for name, text in run.data.tags.items() if name != "mlflow.parentRunId"},
            "status": run.info.status,
            "times": (run.info.start_time, run.info.end_time),
            "curve": [(m.step, m.value) for m in store.get_metric_history(run_id, "train/loss")],
            "curve_times": [m.timestamp for m in store.get_metric_history(run_id, "train/loss")],
            "files": sorted(files(store, run_id)),
        }
    return found


def table(store: MlflowClient, run_id: str, name: str) -> pd.DataFrame:
    """A table that a run shows."""
    path = store.download_artifacts(run_id, f"{name}.json")
    return pd.DataFrame(**json.loads(Path(path).read_text(encoding="utf-8")))


def files(store: MlflowClient, run_id: str, folder: str | None = None) -> Iterator[str]:
    for item in store.list_artifacts(run_id, folder):
        if item.is_dir:
            yield from files(store, run_id, item.path)
        else:
            yield item.path
