"""Score images with one trained cell: a CSV, and pictures of what speaks for and against each decision.

    python -m pipeline.predict --model runs/cxr/compact/cyborg/0 images/ --out scores.csv --overlays looked/

Files (PNG, JPEG, WebP, TIFF, BMP, DICOM) or folders, searched in depth, are prepared exactly as the training
images were. Columns, blank where nobody knows:

    file, score          the probability of label 1 (abnormal, attack, synthetic)
    logit_difference     its logit
    threshold, decision  the score that `evaluate` fitted on validation, and 1 where the image's reaches it
    label                the decision by its name
    unlike_training      1 where the image is unlike the training images, so that its score says little
    model, notice        the key of the training, and what must be said of its data

Overlays and the page show the image, and over it what speaks for either label, on one scale for all images.
Unusable files are listed at the end, exit code 1; all others are scored.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from scipy.special import expit

from pipeline.common.cli import exit_with
from pipeline.common.errors import UserError
from pipeline.common.files import write_csv
from pipeline.common.paths import CELLS, MODEL, PREPARED
from pipeline.common.progress import track
from pipeline.data import dicom
from pipeline.data.decoding import Decoded, Recipe, decode_all
from pipeline.data.problems import Problem
from pipeline.data.samples import Sample
from pipeline.data.store import Store, label_names, open_store
from pipeline.grid import records, trainings
from pipeline.model import CamClassifier, Outputs, familiarity, inference
from pipeline.present import sheet

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
BATCH = 32
MOST = 1000  # training images, and as many of validation, that an image is compared with
STRONG = 0.99  # share of validation's cells whose salience is within the scale of overlays


class Known(NamedTuple):
    """What the prepared data tell of a training."""

    title: str
    notice: str  # what must be said of it; blank: nothing
    labels: tuple[str, str]
    familiarity: familiarity.Familiarity
    limit: float  # of the colours of overlays


class Trained(NamedTuple):
    """A cell as it is used: its model, how images are prepared, its operating point if there is one."""

    model: CamClassifier
    recipe: Recipe
    key: str
    threshold: float | None  # of the logit difference
    known: Known | None  # None: the data are not here, or not those of the training


class Looked(NamedTuple):
    """What the model made of one image."""

    path: Path
    salience: np.ndarray  # float32 (h, w): CAM of label 1 minus CAM of label 0
    logit_difference: float
    statistics: np.ndarray  # (2K,): see `familiarity.channel_statistics`


def predict(
    model: Path, inputs: Sequence[Path], out: Path, overlays: Path | None = None, page: Path | None = None
) -> None:
    """Score files into the CSV `out`; raises UserError listing unusable files once the others are scored."""
    files = find(inputs)
    cell = open_cell(model)
    for note in notes(cell):
        print(f"predict: {note}", file=sys.stderr)
    names = sheet.names(files)
    rows, cards = [], []
    problems: list[str] = []
    for looked in track(look(cell, files, problems), "predict", total=len(files)):
        rows.append(describe(cell, looked))
        if overlays is None and page is None:
            continue
        picture = draw(cell, looked, rows[-1])
        if overlays is not None:
            sheet.save(picture, overlays / names[looked.path])
        if page is not None:
            cards.append({**rows[-1], "picture": sheet.embedded(picture)})
    if rows:
        write_csv(out, pd.DataFrame(rows))
        if page is not None:
            sheet.write(page, f"{len(rows)} images, scored by {model}", notes(cell), cards)
        print(f"{count(rows)}; {out}")
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
    threshold = _threshold(folder.resolve(), record["key"])
    return Trained(model, recipe, record["key"], threshold, _known(folder.resolve(), record, model))


def _threshold(folder: Path, key: str) -> float | None:
    """The threshold on the logit difference that `evaluate` fitted for this very training, if it did."""
    if len(folder.parts) < 6 or folder.parts[-5] != str(CELLS["train"]):
        return None
    record = records.read(folder.parents[4] / CELLS["evaluate"] / Path(*folder.parts[-4:]))
    if record is None or record["settings"].get("train") != key:
        return None
    threshold = record["results"]["threshold"]  # null: infinite, so that it decides nothing
    return None if threshold is None else float(threshold)


def _known(folder: Path, record: dict[str, Any], model: CamClassifier) -> Known | None:
    """What the data of the training tell, if they lie where they lay then."""
    if len(folder.parts) < 6 or folder.parts[-5] != str(CELLS["train"]):
        return None
    try:
        store = open_store(folder.parents[4] / PREPARED / record["cell"]["dataset"])
    except UserError:
        return None
    if record["data_hash"] != store.digest("train", "val"):
        return None
    training, validation = (_seen(model, store, role) for role in ("train", "val"))
    near = familiarity.fit(*(np.concatenate([each for each, _ in seen]) for seen in (training, validation)))
    limit = np.quantile(np.abs(np.concatenate([salience for _, salience in validation])), STRONG)
    phantoms = "trained on phantoms, which are drawn: its scores say nothing about real images"
    notice = phantoms if store.info["phantom"] else store.info["notice"] or ""
    return Known(store.info["title"], notice, label_names(store), near, float(limit))


def _seen(model: CamClassifier, store: Store, role: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Channel statistics of images of a role, and their salience, batch by batch."""
    rows = store.rows(role)
    evenly = rows[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(int)]
    batches = inference.look(model, store.images, evenly, BATCH)
    return [(familiarity.channel_statistics(outputs.features), _salience(outputs)) for outputs in batches]


def _salience(outputs: Outputs) -> np.ndarray:
    found: np.ndarray = (outputs.cams[:, 1] - outputs.cams[:, 0]).float().cpu().numpy()
    return found


def notes(cell: Trained) -> list[str]:
    """What must be known of a cell before its scores are read."""
    found = []
    if cell.known is None:
        found.append(
            "the data of this training are not in data/prepared/ beside its runs/: labels have no names, "
            "nothing tells which images are unlike the training images, and each overlay has its own scale"
        )
    elif cell.known.notice:
        found.append(f"{cell.known.title}: {cell.known.notice}")
    if cell.threshold is None:
        found.append(
            "no threshold, so no decisions: this training was not evaluated (`python -m pipeline.evaluate`)"
        )
    return found


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


def _scored(model: CamClassifier, waiting: list[tuple[Path, np.ndarray]]) -> Iterator[Looked]:
    if not waiting:
        return
    squares = np.stack([square for _, square in waiting])
    (outputs,) = inference.look(model, squares, np.arange(len(squares)), len(squares))
    differences = (outputs.logits[:, 1] - outputs.logits[:, 0]).double().tolist()
    statistics = familiarity.channel_statistics(outputs.features)
    parts = zip(waiting, _salience(outputs), differences, statistics, strict=True)
    yield from (Looked(path, *rest) for (path, _), *rest in parts)


def describe(cell: Trained, looked: Looked) -> dict[str, Any]:
    """One row of the CSV."""
    known, threshold = cell.known, cell.threshold
    decision = None if threshold is None else int(looked.logit_difference >= threshold)
    return {
        "file": str(looked.path),
        "score": float(expit(looked.logit_difference)),
        "logit_difference": looked.logit_difference,
        "threshold": "" if threshold is None else float(expit(threshold)),
        "decision": "" if decision is None else decision,
        "label": "" if decision is None or known is None else known.labels[decision],
        "unlike_training": "" if known is None else int(known.familiarity.unlike(looked.statistics[None])[0]),
        "model": cell.key,
        "notice": known.notice if known else "",
    }


def count(rows: Sequence[dict[str, Any]]) -> str:
    """How many images were scored, and what was found of them."""
    labels = Counter(row["label"] or f"label {row['decision']}" for row in rows if row["decision"] != "")
    unlike = sum(row["unlike_training"] == 1 for row in rows)
    found = [f"{len(rows)} images scored", *(f"{number} called {name}" for name, number in labels.items())]
    return ", ".join(found) + (f"; {unlike} unlike the training images" if unlike else "")


def draw(cell: Trained, looked: Looked, row: dict[str, Any]) -> np.ndarray:
    """The picture of one image: itself, and under what speaks for either label; see `sheet.overlay`."""
    negative, positive = cell.known.labels if cell.known else ("label 0", "label 1")
    limit = cell.known.limit if cell.known else float(np.abs(looked.salience).max())
    said = [f"score {row['score']:.3f}"]
    said += [f"called {row['label']}"] if row["label"] else []
    said += ["unlike the training images"] if row["unlike_training"] == 1 else []
    key = sheet.Key(limit, negative, positive)
    return sheet.overlay(
        sheet.shown(looked.path, cell.recipe), looked.salience, key, [looked.path.name, ", ".join(said)]
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("inputs", type=Path, nargs="+", help="image files, or folders of them")
    made.add_argument("--model", type=Path, required=True, help="runs/<dataset>/<backbone>/<method>/<seed>")
    made.add_argument("--out", type=Path, required=True, help="CSV to write")
    made.add_argument("--overlays", type=Path, help="folder for pictures of what the model looks at")
    made.add_argument("--page", type=Path, help="HTML page with all of these pictures")
    made.add_argument("--debug", action="store_true", help="show tracebacks")
    return made


def main() -> None:
    """Command line."""
    args = parser().parse_args()
    exit_with(
        lambda: predict(args.model, args.inputs, args.out, args.overlays, args.page),
        debug=args.debug,
        name="predict",
    )


if __name__ == "__main__":
    main()
