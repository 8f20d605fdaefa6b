"""The model that MLflow loads and serves: images in; scores, decisions and overlays out.

`track` gives MLflow this file's text with a cell's weights and settings beside it, so nothing is pickled. An
image comes as `path`, a file that the serving machine can read, or as `image`, the bytes of a PNG, JPEG or
DICOM file (base64 over HTTP); it is prepared exactly as the training images were. Columns of the answer:

    score              the probability of label 1
    threshold          the score that `evaluate` fitted on validation; missing where it fits none
    decision, label    1 where the score reaches it, and that label's name
    notice             what must be said of the training's data; blank: nothing
    overlay            PNG as base64, if the parameter `overlay` asks: what speaks for either label
"""

import base64
import io
import json
import tempfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel
from PIL import Image
from scipy.special import expit

from pipeline.data.decoding import Decoded, Recipe, decode_all
from pipeline.data.samples import Sample
from pipeline.model import inference
from pipeline.present import sheet


class Served(PythonModel):
    """A trained cell as MLflow uses it."""

    def load_context(self, context: Any) -> None:
        """Read the weights and the settings, see `tracking.packaging.settings_of`."""
        self.settings = json.loads(Path(context.artifacts["settings"]).read_text(encoding="utf-8"))
        self.recipe = Recipe(**self.settings["preprocessing"], granularity="map", blur=0)
        self.model = inference.open_model(Path(context.artifacts["model"]), "auto")

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A row per image; raises MlflowException listing every image that cannot be used."""
        overlays = bool((params or {}).get("overlay"))
        given = model_input
        rows, problems = [], []
        with tempfile.TemporaryDirectory() as folder:
            for place, asked in enumerate(given.to_dict("records")):
                try:
                    path = _file(asked, Path(folder) / f"image_{place}")
                    rows.append(self._describe(path, self._decode(path), overlays))
                except ValueError as error:
                    problems.append(f"row {place}: {error}")
        if problems:
            raise MlflowException("; ".join(problems), error_code=INVALID_PARAMETER_VALUE)
        return pd.DataFrame(rows)

    def _decode(self, path: Path) -> np.ndarray:
        """The square that the network sees, uint8 (C, S, S)."""
        sample = Sample(path.name, path, 0, "unknown", "unknown", "site", "unknown")
        (found,) = decode_all([sample], self.recipe, workers=1)
        if not isinstance(found, Decoded):
            raise ValueError(str(found))
        return found.image

    def _describe(self, path: Path, square: np.ndarray, overlay: bool) -> dict[str, Any]:
        """One row of the answer."""
        (outputs,) = inference.look(self.model, square[None], np.arange(1), 1)
        difference = float((outputs.logits[0, 1] - outputs.logits[0, 0]).double())
        threshold = self.settings["threshold"]
        decision = None if threshold is None else int(difference >= threshold)
        row = {
            "score": float(expit(difference)),
            "threshold": None if threshold is None else float(expit(threshold)),
            "decision": decision,
            "label": None if decision is None else self.settings["labels"][decision],
            "notice": self.settings["notice"],
        }
        if overlay:
            salience = (outputs.cams[0, 1] - outputs.cams[0, 0]).float().cpu().numpy()
            row["overlay"] = self._draw(path, salience, row)
        return row

    def _draw(self, path: Path, salience: np.ndarray, row: dict[str, Any]) -> str:
        """The picture that `predict --overlays` writes, as base64."""
        limit = self.settings["limit"] or float(np.abs(salience).max())
        said = f"score {row['score']:.3f}" + (f", called {row['label']}" if row["label"] else "")
        key = sheet.Key(limit, *self.settings["labels"])
        picture = sheet.overlay(sheet.shown(path, self.recipe), salience, key, [said])
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        return base64.b64encode(buffer.getvalue()).decode()


def _file(asked: Mapping[Hashable, Any], place: Path) -> Path:
    """The image of one row as a file; bytes are written to `place`."""
    path, data = asked.get("path"), asked.get("image")
    if isinstance(data, bytes) and not isinstance(path, str):
        place.write_bytes(data)
        return place
    if isinstance(path, str) and not isinstance(data, bytes):
        return Path(path)
    raise ValueError("expected either `path`, a file, or `image`, the bytes of one (base64 over HTTP)")


set_model(Served())
