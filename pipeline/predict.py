"""Score images with one trained cell: a CSV, and pictures of what speaks for and against each decision.

    python -m pipeline.predict --model runs/cxr/compact/cyborg/0 images/ --out scores.csv --overlays looked/

Files (PNG, JPEG, WebP, TIFF, BMP, DICOM) or folders, searched in depth, are prepared exactly as the training
images were. Columns: file; score, the probability of label 1 (abnormal, attack, synthetic);
logit_difference, its logit; decision, 1 where that reaches the threshold that `evaluate` fitted on
validation, blank where the cell was not evaluated. Unusable files are listed at the end, exit code 1; all
others are scored.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import expit

from pipeline.common.cli import exit_with
from pipeline.common.errors import UserError
from pipeline.common.files import atomic, write_csv
from pipeline.common.paths import CELLS, MODEL
from pipeline.common.progress import track
from pipeline.data import dicom
from pipeline.data.decoding import Decoded, Recipe, decode_all
from pipeline.data.problems import Problem
from pipeline.data.samples import Sample
from pipeline.grid import records, trainings
from pipeline.model import CamClassifier, inference
from pipeline.present import pictures

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
BATCH = 32
SIDE = 320  # px of an overlay


class Trained(NamedTuple):
    """A cell as it is used: its model, how images are prepared, its operating point if there is one."""

    model: CamClassifier
    recipe: Recipe
    threshold: float | None


class Looked(NamedTuple):
    """What the model made of one image."""

    path: Path
    square: np.ndarray  # uint8 (C, S, S)
    salience: np.ndarray  # float32 (h, w): CAM of label 1 minus CAM of label 0
    logit_difference: float


def predict(model: Path, inputs: Sequence[Path], out: Path, overlays: Path | None = None) -> None:
    """Score files into the CSV `out`; raises UserError listing unusable files once the others are scored."""
    files = find(inputs)
    cell = open_cell(model)
    places = {path: path.parent.resolve() / path.name for path in files}
    above = os.path.commonpath([place.parent for place in places.values()])
    rows = []
    problems: list[str] = []
    for looked in track(look(cell, files, problems), "predict", total=len(files)):
        decision = "" if cell.threshold is None else int(looked.logit_difference >= cell.threshold)
        scored = {
            "file": str(looked.path),
            "score": expit(looked.logit_difference),
            "logit_difference": looked.logit_difference,
        }
        rows.append({**scored, "decision": decision})
        if overlays is not None:
            draw(looked, overlays / f"{places[looked.path].relative_to(above)}.png")
    if rows:
        write_csv(out, pd.DataFrame(rows))
    if problems:
        raise UserError([*problems, f"{len(problems)} of {len(files)} files were skipped"])


def find(inputs: Sequence[Path]) -> list[Path]:
    """Every image file among files and folders, each once; raises UserError for what is missing or empty."""
    found: dict[Path, Path] = {}
    problems = []
    for given in inputs:
        files = [given] if given.is_file() else sorted(filter(_is_image, given.rglob("*")))
        if not given.exists():
            problems.append(f"{given}: not found; expected an image file or a folder of images")
        elif not files:
            problems.append(f"{given}: no image in this folder; expected DICOM or {', '.join(SUFFIXES)}")
        for path in files:
            found.setdefault(path.resolve(), path)
    if problems:
        raise UserError(problems)
    return list(found.values())


def _is_image(path: Path) -> bool:
    return path.is_file() and (path.suffix.lower() in SUFFIXES or dicom.is_dicom(path))


def open_cell(folder: Path) -> Trained:
    """A trained cell by its folder; raises UserError if it is absent or its model is damaged."""
    record = trainings.find(folder)
    model = inference.open_model(folder / MODEL, "auto")
    sizes = record["settings"]["preprocessing"]
    names = ("image_size", "channels", "crop", "max_megapixels", "max_megabytes")
    recipe = Recipe(**{name: sizes[name] for name in names}, granularity="map", blur=0)
    return Trained(model, recipe, _threshold(folder.resolve(), record["key"]))


def _threshold(folder: Path, key: str) -> float | None:
    """The threshold on the logit difference that `evaluate` fitted for this very training, if it did."""
    if len(folder.parts) < 6 or folder.parts[-5] != str(CELLS["train"]):
        return None
    record = records.read(folder.parents[4] / CELLS["evaluate"] / Path(*folder.parts[-4:]))
    if record is None or record["settings"].get("train") != key:
        return None
    threshold = record["results"]["threshold"]  # null: infinite, so that it decides nothing
    return None if threshold is None else float(threshold)


def look(cell: Trained, files: Sequence[Path], problems: list[str]) -> Iterator[Looked]:
    """Decode and score files batch by batch, in order; unusable ones add a line to `problems`."""
    samples = [_sample(path) for path in files]
    waiting: list[tuple[Path, np.ndarray]] = []
    decoded = decode_all(samples, cell.recipe, joblib.cpu_count())
    for path, result in zip(files, decoded, strict=True):
        if isinstance(result, Decoded):
            waiting.append((path, result.image))
        else:
            problems.append(str(Problem(result.code, str(path), result.message)))
        if len(waiting) == BATCH:
            yield from _scored(cell.model, waiting)
            waiting = []
    yield from _scored(cell.model, waiting)


def _sample(path: Path) -> Sample:
    """An image of which nothing but its file is known."""
    return Sample(path.name, path, 0, "unknown", "unknown", "site", "unknown")


def _scored(model: CamClassifier, images: list[tuple[Path, np.ndarray]]) -> Iterator[Looked]:
    if not images:
        return
    squares = np.stack([square for _, square in images])
    (outputs,) = inference.look(model, squares, np.arange(len(squares)), len(squares))
    differences = (outputs.logits[:, 1] - outputs.logits[:, 0]).double().tolist()
    salience = (outputs.cams[:, 1] - outputs.cams[:, 0]).float().cpu().numpy()
    for (path, square), cam, difference in zip(images, salience, differences, strict=True):
        yield Looked(path, square, cam, difference)


def draw(looked: Looked, path: Path) -> None:
    """Write the image beside itself under its difference salience: red speaks for label 1, blue for 0."""
    plain = pictures.grey_or_colour(looked.square, SIDE)
    over = pictures.overlay(plain, pictures.resize(looked.salience, SIDE))
    with atomic(path) as temporary:
        Image.fromarray(pictures.mosaic([[plain, over]])).save(temporary, format="PNG")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description=__doc__.split("\n")[0])
    parser.add_argument("inputs", type=Path, nargs="+", help="image files, or folders of them")
    parser.add_argument("--model", type=Path, required=True, help="runs/<dataset>/<backbone>/<method>/<seed>")
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    parser.add_argument("--overlays", type=Path, help="folder for pictures of what the model looks at")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    args = parser.parse_args()
    exit_with(
        lambda: predict(args.model, args.inputs, args.out, args.overlays), debug=args.debug, name="predict"
    )


if __name__ == "__main__":
    main()
