"""Score images with one trained cell: a CSV, and pictures of what speaks for and against each decision.

    python -m pipeline.predict --model runs/cxr/compact/cyborg/0 images/ --out scores.csv --overlays looked/

Files (PNG, JPEG, WebP, TIFF, BMP, DICOM) or folders, searched in depth, are prepared exactly as the training
images were. Columns, blank where nobody knows:

    file                 as it was named here, or lies in a named folder; nothing else of it is told
    score                the probability of label 1 (abnormal, attack, synthetic)
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.cli import exit_with
from pipeline.common.errors import UserError
from pipeline.common.files import write_csv
from pipeline.common.progress import track
from pipeline.common.spreadsheet import as_path, as_text
from pipeline.data import searching
from pipeline.grid.trained import Looked, Trained
from pipeline.present import sheet


def predict(
    model: Path, inputs: Sequence[Path], out: Path, overlays: Path | None = None, page: Path | None = None
) -> None:
    """Score files into the CSV `out`; raises UserError listing unusable files once the others are scored."""
    files = searching.find(inputs)
    cell = Trained(model)
    for note in cell.notes:
        print(f"predict: {note}", file=sys.stderr)
    names = sheet.names(files)
    rows, cards = [], []
    problems: list[str] = []
    for looked in track(cell.look(files, problems), "predict", total=len(files)):
        row = cell.describe(looked)
        rows.append({**row, "file": as_path(row["file"]), "notice": as_text(row["notice"])})
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
            sheet.write(page, f"{len(rows)} images, scored by {model}", cell.notes, cards)
        print(f"{count(rows)}; {out}")
    if problems:
        raise UserError([*problems, f"{len(problems)} of {len(files)} files were skipped"])


def count(rows: Sequence[dict[str, Any]]) -> str:
    """How many images were scored, and what was found of them."""
    called = [row for row in rows if row["decision"] is not None]
    labels = Counter(row["label"] or f"label {row['decision']}" for row in called)
    unlike = sum(row["unlike_training"] == 1 for row in rows)
    found = [f"{len(rows)} images scored", *(f"{number} called {name}" for name, number in labels.items())]
    return ", ".join(found) + (f"; {unlike} unlike the training images" if unlike else "")


def draw(cell: Trained, looked: Looked, row: dict[str, Any]) -> np.ndarray:
    """The picture of one image: itself, and under what speaks for either label; see `sheet.overlay`."""
    limit = cell.known.limit if cell.known else float(np.abs(looked.salience).max())
    said = [f"score {row['score']:.3f}"]
    said += [f"called {row['label']}"] if row["label"] else []
    said += ["unlike the training images"] if row["unlike_training"] == 1 else []
    key = sheet.Key(limit, *cell.labels)
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
