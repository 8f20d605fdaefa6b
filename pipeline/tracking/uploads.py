"""Files and data sets in the forms that MLflow shows: tables, and the prepared manifest as a run's input."""

import json
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.data.store import Store

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

DIGEST = 32  # characters; MLflow takes 36
TRAINING = "train"  # folder of a training's own files


def write(tables: Mapping[str, pd.DataFrame], files: Iterable[Path], folder: Path) -> dict[str, str]:
    """Write tables as `log_table` does, `<name>.json`, and files as they are.

    Returns the tag by which MLflow knows the tables. `log_table` itself takes one after the other, and
    appends to one that is there.
    """
    for name, table in tables.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_json(path, orient="split", index=False, date_format="iso")
    for path in files:
        (folder / TRAINING).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / TRAINING)
    shown = [{"path": f"{name}.json", "type": "table"} for name in tables]
    return {"mlflow.loggedArtifacts": json.dumps(shown)} if shown else {}


def data_input(store: Store) -> "DatasetInput":
    """The prepared manifest as what a training saw, known by its digest."""
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import Dataset, DatasetInput, InputTag

    path = store.folder / "manifest.csv"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on columns of whole numbers
        manifest = from_pandas(
            store.manifest,
            source=str(path.resolve()),
            name=store.info["dataset"],
            digest=store.info["sha256"]["manifest.csv"][:DIGEST],
        )
        about = manifest.to_dict()
    return DatasetInput(Dataset(**about), [InputTag("mlflow.data.context", "training")])
