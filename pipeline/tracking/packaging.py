"""A trained cell as a model that MLflow can load: made from code, with weights and settings as they are."""

import contextlib
import functools
import importlib.metadata
import io
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from pipeline.common.code import PACKAGE
from pipeline.common.files import write_json
from pipeline.common.paths import CELLS, MODEL, RECORD
from pipeline.data.store import Store, label_names
from pipeline.grid import records
from pipeline.grid.cells import Cell
from pipeline.tracking.contents import CellContents

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

SCRIPT = PACKAGE / "present" / "served.py"  # its text goes into every model
SETTINGS = "settings.json"
SCALE_IMAGES, STRONG = 8, 0.99  # of validation; share of their cells whose salience is within the scale
PACKAGES = ("imagecodecs", "mlflow", "monai", "numpy", "pandas", "pillow", "pydicom", "safetensors",
            "scikit-learn", "scipy", "torch")  # fmt: skip


def log_model(
    client: "MlflowClient", experiment: str, run_id: str, contents: CellContents, store: Store | None
) -> str:
    """Give a run its model, once; returns the model's id.

    The weights are a hard link to those in runs/ where MLflow keeps files on the same disk.
    """
    from mlflow.entities import LoggedModelOutput

    known = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    for model in known:
        if model.status == "READY":
            return str(model.model_id)
        client.delete_logged_model(model.model_id)  # of a sync that was interrupted
    model = client.create_logged_model(experiment, contents.name.replace("/", "-"), source_run_id=run_id)
    weights = contents.cell.folder(CELLS["train"]) / MODEL
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        _save(place, weights.resolve(), settings_of(contents, store), model.model_id, run_id)
        client.log_model_artifacts(model.model_id, str(place))
    _link(weights, model.artifact_location)
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def about(cells: Sequence[Cell]) -> str:
    """How many models cells have, how large they are, and whether MLflow keeps copies, in words."""
    evaluated = [cell for cell in cells if (cell.folder(CELLS["evaluate"]) / RECORD).is_file()]
    found = [path.stat() for cell in evaluated if (path := cell.folder(CELLS["train"]) / MODEL).is_file()]
    size = sum(each.st_size for each in found) / 1e6
    linked = sum(each.st_nlink > 1 for each in found)
    how = "hard links to runs/: nothing is stored twice" if linked == len(found) else "copied by MLflow"
    return f"{len(found)} with {size:.1f} MB of weights, {how}"


def settings_of(contents: CellContents, store: Store | None) -> dict[str, Any]:
    """What a model needs beside its weights.

    preprocessing   how an image becomes the square that the network sees
    threshold       of the logit difference; None where `evaluate` fitted none
    labels, notice  as the data have them
    limit           of an overlay's colours, from validation; None: of each image its own

    `store`: the data of the training; None where they are not at hand.
    """
    sizes = contents.record["settings"].get("preprocessing", {})
    names = ("image_size", "channels", "crop", "max_megapixels", "max_megabytes")
    evaluation = records.read(contents.cell.folder(CELLS["evaluate"])) or {"results": {}}
    known = store is not None and contents.record["data_hash"] == store.digest("train", "val")
    phantoms = "trained on phantoms, which are drawn: its scores say nothing about real images"
    return {
        "key": contents.record["key"],
        "preprocessing": {name: sizes[name] for name in names if name in sizes},
        "threshold": evaluation["results"].get("threshold"),
        "labels": label_names(store) if store else ("label 0", "label 1"),
        "notice": "" if store is None else phantoms if store.info["phantom"] else store.info["notice"] or "",
        "limit": _limit(contents, store) if store and known else None,
    }


def _limit(contents: CellContents, store: Store) -> float:
    """The salience that nearly no cell of validation's maps exceeds."""
    from pipeline.model import inference  # brings torch, which an idle sync does without

    rows = store.rows("val")
    evenly = rows[np.linspace(0, len(rows) - 1, min(SCALE_IMAGES, len(rows))).astype(int)]
    model = inference.open_model(contents.cell.folder(CELLS["train"]) / MODEL, "auto")
    with threadpool_limits(1):  # so few images are done before threads have met
        found = [
            (outputs.cams[:, 1] - outputs.cams[:, 0]).abs().float().cpu().numpy()
            for outputs in inference.look(model, store.images, evenly, SCALE_IMAGES)
        ]
    return float(np.quantile(np.concatenate(found), STRONG))


def _save(place: Path, weights: Path, settings: dict[str, Any], model_id: str, run_id: str) -> None:
    """Write MLflow's folder of a model."""
    import mlflow.pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice for whoever writes such a model by hand
        about = Path(folder) / SETTINGS
        write_json(about, settings)
        mlflow.pyfunc.save_model(
            str(place),
            python_model=str(SCRIPT),
            artifacts={"model": str(weights), "settings": str(about)},
            signature=_signature(),
            input_example=_example(settings["preprocessing"].get("image_size", 64)),
            pip_requirements=[f"{name}=={_version(name)}" for name in PACKAGES],
            metadata={"needs": f"an environment with camdivide {_version('camdivide')}"},
            mlflow_model=Model(model_id=model_id, run_id=run_id),
        )


_version = functools.cache(importlib.metadata.version)


def _signature() -> "ModelSignature":
    """What goes in and comes out; see present/served.py."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    given: list[ColSpec | TensorSpec] = [
        ColSpec("string", "path", required=False),
        ColSpec("binary", "image", required=False),
    ]
    score, notice = ColSpec("double", "score"), ColSpec("string", "notice")
    known = {"threshold": "double", "decision": "long", "label": "string", "overlay": "string"}
    optional = [ColSpec(kind, name, required=False) for name, kind in known.items()]
    return ModelSignature(
        Schema(given),
        Schema([score, *optional, notice]),
        ParamSchema([ParamSpec("overlay", "boolean", False)]),
    )


def _example(side: int) -> Any:
    """A drawn image, since real ones may not be passed on."""
    import pandas as pd

    buffer = io.BytesIO()
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    Image.fromarray(np.minimum.outer(ramp, ramp)).save(buffer, "PNG")
    return pd.DataFrame({"image": [buffer.getvalue()]})


def _link(weights: Path, location: str) -> None:
    """Put a hard link in place of MLflow's copy of the weights; a copy stays where that cannot be done."""
    address = urlparse(location)
    copy = Path(unquote(address.path)) / "artifacts" / MODEL
    if address.scheme != "file" or not copy.is_file():
        return
    beside = copy.with_name(f".{MODEL}.link")
    with contextlib.suppress(OSError):
        os.link(weights, beside)
        beside.replace(copy)
