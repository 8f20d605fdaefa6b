"""A trained cell as it is used on new images: from Python, and by `python -m pipeline.predict`.

    from pipeline import load

    model = load("runs/iris/compact/transplant/0")
    model.predict(["images/"])                              # one row per image
    model.explain("eye.png", "difference_salience")         # a map on the image's own grid
    model.regions("eye.png")                                # where the decision comes from

Images are files (PNG, JPEG, WebP, TIFF, BMP, DICOM), prepared exactly as the training images were.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import expit

from pipeline.common.errors import UserError
from pipeline.common.paths import CELLS, MODEL, PREPARED
from pipeline.data import images, searching
from pipeline.data.decoding import Decoded, Recipe, decode_all, load_apart
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Sample
from pipeline.data.store import Store, label_names, open_store
from pipeline.explain.explanations import explain
from pipeline.grid import records, trainings
from pipeline.measure.survey import look_at_batch
from pipeline.model import CamClassifier, Outputs, familiarity, inference

AnyImage = str | PathLike[str] | Image.Image | np.ndarray

BATCH = 32
MOST = 1000  # training images, and as many of validation, that an image is compared with
STRONG = 0.99  # share of validation's cells whose salience is within the scale of overlays
REGION = ["region", "x", "y", "width", "height", "area", "sign", "importance"]


class Known(NamedTuple):
    """What the prepared data tell of a training."""

    title: str
    notice: str  # what must be said of it; blank: nothing
    labels: tuple[str, str]
    familiarity: familiarity.Familiarity
    limit: float  # of the colours of overlays


class Looked(NamedTuple):
    """What the network made of one image."""

    path: Path
    salience: np.ndarray  # float32 (h, w): CAM of label 1 minus CAM of label 0
    logit_difference: float
    statistics: np.ndarray  # (2K,): see `familiarity.channel_statistics`


class Trained:
    """A trained cell: its network, how images are prepared, its operating point if there is one.

    network: the classifier, in eval mode; its forward takes float images (N, C, S, S) in [0, 1]
    recipe: how an image becomes the square that the network sees
    key: of the training
    threshold: of the logit difference, as `evaluate` fitted it on validation; None where it did not
    """

    def __init__(self, folder: Path) -> None:
        """The cell in `runs/<dataset>/<backbone>/<method>/<seed>`.

        Raises UserError if there is none, or its model is damaged.
        """
        self._record = trainings.find(folder)
        self._folder = folder.resolve()
        self.network = inference.open_model(folder / MODEL, "auto")
        self.recipe = Recipe(**self._record["settings"]["preprocessing"], granularity="map", blur=0)
        self.key = str(self._record["key"])
        self.threshold = _threshold(self._folder, self.key)

    @cached_property
    def known(self) -> Known | None:
        """What the data of the training tell, if they lie where they lay then; looks at them when asked."""
        return _known(self._folder, self._record, self.network)

    @property
    def labels(self) -> tuple[str, str]:
        """What labels 0 and 1 are called."""
        return self.known.labels if self.known else ("label 0", "label 1")

    @property
    def notes(self) -> list[str]:
        """What must be known of the cell before its scores are read."""
        found = []
        if self.known is None:
            found.append(
                "the data of this training are not in data/prepared/ beside its runs/: labels have no names, "
                "nothing tells which images are unlike the training images, and each overlay has its own "
                "scale"
            )
        elif self.known.notice:
            found.append(f"{self.known.title}: {self.known.notice}")
        if self.threshold is None:
            found.append(
                "no threshold, so no decisions: this training was not evaluated "
                "(`python -m pipeline.evaluate`)"
            )
        return found

    def predict(self, paths: str | PathLike[str] | Sequence[str | PathLike[str]]) -> pd.DataFrame:
        """Score image files, and those in folders, one row each: the columns that `camdivide predict` writes.

        Raises UserError listing every file that is missing or cannot be used. `notes` says what must be known
        of the scores.
        """
        given = [paths] if isinstance(paths, str | PathLike) else paths
        files = searching.find([Path(path) for path in given])
        problems: list[str] = []
        rows = [self.describe(looked) for looked in self.look(files, problems)]
        if problems:
            raise UserError(problems)
        return pd.DataFrame(rows)

    def explain(self, image: AnyImage, explanation: str, label: int | None = None) -> np.ndarray:
        """What an explanation shows of one image: a map on the image's own grid, float32 (H, W).

        image: a file, a Pillow image, or an array (H, W) or (H, W, 3) of uint8, uint16 or bool, or of floats
        in [0, 1]. explanation: a file of pipeline/explain/explanations, which says what its values mean.
        label: 0 or 1, the one that is explained; None: the one with the larger logit. The map is resized
        bilinearly, and is 0 where a crop hides the image from the network.

        Raises UserError for an unknown name or label, and for an image that cannot be used.
        """
        if label not in (None, 0, 1):
            raise UserError(f"label {label!r}: expected 0, 1, or None for the one with the larger logit")
        square, (height, width) = self._read(image)
        batch = inference.load_images(self.network, square[None], np.arange(1))
        differences = inference.logit_differences(self.network, batch, 1)
        classes = (differences > 0).long() if label is None else differences.new_tensor([label]).long()
        maps = explain(explanation, self.network, batch, classes)
        values = maps[0].float().cpu().numpy()
        return images.from_square(values, width=width, height=height, crop=self.recipe.crop)

    def regions(self, image: AnyImage, important_share: float = 0.2) -> pd.DataFrame:
        """The regions of one image that make up its decision, as `identify` finds them; may have no row.

        One row each, those for the class with the larger logit first, the most important of them on top: x, y
        (left, top), width and height as shares of the side, and area, of the square that the network sees;
        sign, 1 for that class and -1 against it; importance, its part of the margin; share of the margin.
        image: as in `explain`. important_share: top share of positive difference salience, 0..1.

        Raises UserError for an image that cannot be used.
        """
        square, _ = self._read(image)
        (outputs,) = inference.look(self.network, square[None], np.arange(1), 1)
        found = look_at_batch(self.network, outputs, {}, important_share)
        margin = found.samples["margin"].iloc[0] or np.nan  # of a tie, nothing is a share
        return found.regions[REGION].assign(share=found.regions["importance"] / margin)

    def look(self, files: Sequence[Path], problems: list[str]) -> Iterator[Looked]:
        """Decode and score files batch by batch, in order; unusable ones add a line to `problems`."""
        samples = [_sample(path) for path in files]
        waiting: list[tuple[Path, np.ndarray]] = []
        decoded = decode_all(samples, self.recipe, joblib.cpu_count())
        for path, result in zip(files, decoded, strict=True):
            if isinstance(result, Decoded):
                waiting.append((path, result.image))
            else:
                problems.append(str(Problem(result.code, str(path), result.message)))
            if len(waiting) == BATCH:
                yield from _scored(self.network, waiting)
                waiting = []
        yield from _scored(self.network, waiting)

    def describe(self, looked: Looked) -> dict[str, Any]:
        """One row of `predict`; None or blank where nobody knows."""
        known, threshold = self.known, self.threshold
        decision = None if threshold is None else int(looked.logit_difference >= threshold)
        return {
            "file": str(looked.path),
            "score": float(expit(looked.logit_difference)),
            "logit_difference": looked.logit_difference,
            "threshold": None if threshold is None else float(expit(threshold)),
            "decision": decision,
            "label": "" if decision is None or known is None else known.labels[decision],
            "unlike_training": None
            if known is None
            else int(known.familiarity.unlike(looked.statistics[None])[0]),
            "model": self.key,
            "notice": known.notice if known else "",
        }

    def _read(self, image: AnyImage) -> tuple[np.ndarray, tuple[int, int]]:
        """The square that the network sees, uint8 (C, S, S), and the image's height and width."""
        recipe = self.recipe
        try:
            if isinstance(image, str | PathLike):
                pixels = load_apart(Path(image), recipe.limits).pixels
            else:
                pixels = images.from_memory(image)
        except UnusableImage as error:
            raise UserError(str(error.problem)) from None
        square = images.to_square(
            pixels, roi="", crop=recipe.crop, image_size=recipe.image_size, channels=recipe.channels
        )
        return square, (pixels.shape[0], pixels.shape[1])


def _threshold(folder: Path, key: str) -> float | None:
    """The threshold on the logit difference that `evaluate` fitted for this very training, if it did."""
    if not _lies_in_runs(folder):
        return None
    record = records.read(folder.parents[4] / CELLS["evaluate"] / Path(*folder.parts[-4:]))
    if record is None or record["settings"].get("train") != key:
        return None
    threshold = record["results"]["threshold"]  # null: infinite, so that it decides nothing
    return None if threshold is None else float(threshold)


def _known(folder: Path, record: dict[str, Any], network: CamClassifier) -> Known | None:
    if not _lies_in_runs(folder):
        return None
    try:
        store = open_store(folder.parents[4] / PREPARED / record["cell"]["dataset"])
    except UserError:
        return None
    if record["data_hash"] != store.digest("train", "val"):
        return None
    training, validation = (_seen(network, store, role) for role in ("train", "val"))
    near = familiarity.fit(*(np.concatenate([each for each, _ in seen]) for seen in (training, validation)))
    limit = np.quantile(np.abs(np.concatenate([salience for _, salience in validation])), STRONG)
    phantoms = "trained on phantoms, which are drawn: its scores say nothing about real images"
    notice = phantoms if store.info["phantom"] else store.info["notice"] or ""
    return Known(store.info["title"], notice, label_names(store), near, float(limit))


def _lies_in_runs(folder: Path) -> bool:
    return len(folder.parts) >= 6 and folder.parts[-5] == str(CELLS["train"])


def _seen(network: CamClassifier, store: Store, role: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Channel statistics of images of a role, and their salience, batch by batch."""
    rows = store.rows(role)
    evenly = rows[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(int)]
    batches = inference.look(network, store.images, evenly, BATCH)
    return [(familiarity.channel_statistics(outputs.features), _salience(outputs)) for outputs in batches]


def _salience(outputs: Outputs) -> np.ndarray:
    found: np.ndarray = (outputs.cams[:, 1] - outputs.cams[:, 0]).float().cpu().numpy()
    return found


def _sample(path: Path) -> Sample:
    """An image of which nothing but its file is known."""
    return Sample(path.name, path, 0, "unknown", "unknown", "site", "unknown")


def _scored(network: CamClassifier, waiting: list[tuple[Path, np.ndarray]]) -> Iterator[Looked]:
    if not waiting:
        return
    squares = np.stack([square for _, square in waiting])
    (outputs,) = inference.look(network, squares, np.arange(len(squares)), len(squares))
    differences = (outputs.logits[:, 1] - outputs.logits[:, 0]).double().tolist()
    statistics = familiarity.channel_statistics(outputs.features)
    parts = zip(waiting, _salience(outputs), differences, statistics, strict=True)
    yield from (Looked(path, *rest) for (path, _), *rest in parts)
