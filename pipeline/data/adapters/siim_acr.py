"""Chest X-rays of the SIIM-ACR pneumothorax challenge of 2019, with masks as run lengths.

    dicom-images-train/<study>/<series>/<ImageId>.dcm       or anywhere below that folder
    train-rle.csv                                           `ImageId, EncodedPixels`, with that space

One row per mask, several of one image are joined; -1 is an image without pneumothorax. A mask is pairs of
(gap, length) over a square of 1024x1024 px, column by column; a gap counts from the end of the run before,
and the first from the first pixel. All of this is from third-party code, which at times forgets the
columns. Some images have no row: nothing is known of them, so they are left out and counted (W_UNLABELLED).
The images are NIH's, but no table says which, so patients are not known; that the release is split by
patient is not known either.
"""

from pathlib import Path

import numpy as np

from pipeline.data.adapters._chest import film, index_files
from pipeline.data.listing import Listing, TableRow, existing_root, read_table
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Runs, Sample

MARK = "dicom-images-train"
NONE = "-1"
SIDE = 1024  # px, of the square that masks refer to


def read(root: Path, *, table: str = "train-rle.csv") -> list[Sample]:
    """One sample per image of the table, label 1 where a pneumothorax is outlined.

    `table` is the file below the root that holds the masks, such as stage_2_train.csv.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_JOIN (two files of one name), E_LABEL_RULE
    (a mask beside -1) and the codes of `listing.read_table`. Some samples carry E_RLE.
    """
    root = existing_root(root, table)
    listing = Listing(root)
    paths = {name: path for name, path in index_files(listing, ".dcm").items() if path.startswith(MARK)}
    images: dict[str, list[TableRow]] = {}
    for row in read_table(root / table, columns=("ImageId", "EncodedPixels")):
        images.setdefault(row.cells["ImageId"], []).append(row)
    samples = []
    for name, rows in images.items():
        where, masks = rows[0].where, [row for row in rows if row.cells["EncodedPixels"] != NONE]
        image = listing.file(paths.get(name, f"{MARK}/{name}.dcm"), where)
        if 0 < len(masks) < len(rows):
            listing.add("E_LABEL_RULE", where, f"{name} has both a mask and {NONE}; keep one of them")
        if image is not None:
            verdict = (1, "pneumothorax") if masks else (0, "no_pneumothorax")
            sample = film(name, image, where, "nih", verdict, group_id=f"siim:{name}")
            _add_masks(sample, masks)
            samples.append(sample)
    for name in sorted(set(paths) - set(images)):
        listing.add("W_UNLABELLED", paths[name], f"image without a row in {table}, left out")
    return listing.finish(samples)


def _add_masks(sample: Sample, masks: list[TableRow]) -> None:
    """The union of an image's masks; a broken one sets the image aside."""
    try:
        parts = tuple(_read_runs(row) for row in masks)
    except UnusableImage as error:
        sample.problem = error.problem
        return
    if parts:
        sample.annotations = [Runs(parts, SIDE, SIDE, "F")]
        sample.annotation_size = (SIDE, SIDE)


def _read_runs(row: TableRow) -> np.ndarray:
    """Lengths of runs, not marked and marked in turn; UnusableImage (E_RLE) if they are no such pairs."""
    words = row.cells["EncodedPixels"].split()
    if not words or len(words) % 2 or not all(word.isdecimal() for word in words):
        message = f"expected pairs of gap and length, or {NONE}; got {len(words)} words"
        raise UnusableImage(Problem("E_RLE", row.where, message))
    return np.array([min(int(word), SIDE * SIDE + 1) for word in words])
