"""Chest X-rays of MIMIC-CXR with the gaze of one radiologist: EGD-CXR, version 1.0.0 of PhysioNet.

    <tables>/master_sheet.csv       one row per image: labels, patient, margins around it on the screen
    <tables>/fixations.csv          one row per fixation, positions in px of the original image
    <images>/files/p99/p99000001/s99000001/<dicom_id>.dcm      MIMIC-CXR, a data set of its own; or .jpg

Column names of both tables are from third-party code; the map is the authors' own (a Gaussian of 150 px
around each fixation, each counted once). The reader saw each image on a canvas of 1920x1024 px; margins
that do not fit the image's shape within 1 % set it aside (E_EGD_CANVAS), since its gaze may have been
placed wrongly. Where gaze was recorded the tracker's software took 1080 rows for the screen: heights can be
wrong by 0.5 to 3 %. Calibration screens have an id that lacks the last five characters; their rows are left
out and counted (W_CALIB). That exactly one of Normal, CHF and pneumonia is 1 is not proved: rows where it
is not are set aside, and more than 5 % of them stop the reading.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from pipeline.common.limits import Positive
from pipeline.data import dicom
from pipeline.data.adapters._chest import film, to_number
from pipeline.data.listing import Listing, TableRow, existing_root, read_table
from pipeline.data.picture_file import read_size
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Fixations, Sample

MARK = "physionet.org/files/egd-cxr"
SIDES = ("top", "bottom", "left", "right")
CLASSES = {"Normal": (0, "normal"), "CHF": (1, "chf"), "pneumonia": (1, "pneumonia")}
FLAGS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}
GAZE = ("DICOM_ID", "FPOGD", "FPOGV", "X_ORIGINAL", "Y_ORIGINAL")
CANVAS = (1920, 1024)  # px that every image was padded to
TOLERANCE = 0.01  # relative difference of two aspect ratios
CUT = 5  # characters that the id of a calibration screen lacks
MOST_UNCLEAR = 0.05  # share of rows without exactly one class


def read(
    root: Path,
    *,
    tables: str = "physionet.org/files/egd-cxr/1.0.0",
    images: str = "physionet.org/files/mimic-cxr/2.0.0",
    suffix: Literal[".dcm", ".jpg"] = ".dcm",
    weight: Literal["duration", "count"] = "duration",
    sigma: Positive = 150.0,
) -> list[Sample]:
    """One sample per row of the master sheet, label 1 for heart failure (CHF) or pneumonia.

    `tables` and `images` are folders below the root; `suffix` says whether the images are those of MIMIC-CXR
    or of MIMIC-CXR-JPG, at the same paths. A map sums Gaussians of `sigma` px of the original image, weighted
    by seconds (`duration`) or each counted once, as the authors do (`count`).

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL (flags), E_LABEL_RULE (too many rows
    without exactly one class), E_SUBJECT, E_JOIN (gaze on an unknown image) and the codes of
    `listing.read_table`. Some samples carry E_LABEL_RULE, E_EGD_CANVAS, E_DECODE or E_FIX.
    """
    root = existing_root(root, f"{tables}/master_sheet.csv")
    listing = Listing(root)
    samples = {}
    rows = read_table(
        root / tables / "master_sheet.csv", columns=("dicom_id", "path", "patient_id", *CLASSES)
    )
    for row in rows:
        sample = _read_row(listing, row, images, suffix)
        if sample is not None:
            samples[row.cells["dicom_id"]] = sample
    unclear = [sample for sample in samples.values() if sample.problem]
    if len(unclear) > MOST_UNCLEAR * len(rows):
        message = (
            f"{len(unclear)} of {len(rows)} rows have not exactly one of {', '.join(CLASSES)}; mend them"
        )
        listing.add("E_LABEL_RULE", "master_sheet.csv", message)
    for row in rows:
        if row.cells["dicom_id"] in samples:
            _check_canvas(samples[row.cells["dicom_id"]], row)
    _add_gaze(listing, samples, {row.cells["dicom_id"] for row in rows}, tables, weight, sigma)
    return listing.finish(list(samples.values()))


def _read_row(listing: Listing, row: TableRow, images: str, suffix: str) -> Sample | None:
    """An image without gaze; None if something is wrong with its row."""
    where, cells = row
    path = PurePosixPath(cells["path"]).with_suffix(suffix) if cells["path"] else PurePosixPath()
    image = listing.file(path.as_posix(), where, folder=images)
    flags = {name: listing.word(FLAGS, cells[name], where, "E_LABEL") for name in CLASSES}
    if image is not None and image.stem != cells["dicom_id"]:
        listing.add("E_JOIN", where, "expected the file at `path` to have the name dicom_id; mend the row")
    if not cells["patient_id"].isdecimal():
        listing.add("E_SUBJECT", where, "expected a number in patient_id")
    if image is None or None in flags.values():
        return None
    told = [name for name, flag in flags.items() if flag]
    verdict = CLASSES[told[0]] if told else (0, "normal")
    facts = {"subject_id": f"mimic:p{cells['patient_id']}", "group_id": f"mimic:{cells['dicom_id']}"}
    sample = film(cells["dicom_id"], image, where, "mimic", verdict, **facts)
    if len(told) != 1:
        message = f"expected exactly one of {', '.join(CLASSES)} to be 1, got {len(told)}"
        sample.problem = Problem("E_LABEL_RULE", where, message)
    return sample


def _check_canvas(sample: Sample, row: TableRow) -> None:
    """Set an image aside whose shape is not that of the place which it took on the reader's screen."""
    names = [next((n for n in (f"image_{s}_pad", f"image_{s}") if n in row.cells), "") for s in SIDES]
    pads = [to_number(row.cells.get(name, "")) for name in names]
    try:
        width, height = _measure(sample.image_path)
    except UnusableImage as error:
        sample.problem = sample.problem or error.problem
        return
    top, bottom, left, right = (np.nan if pad is None else pad for pad in pads)
    shown = (CANVAS[0] - left - right) / max(CANVAS[1] - top - bottom, 1)
    if not abs(width / height / shown - 1) <= TOLERANCE:
        message = (
            f"image of {width}x{height} px, but its margins on the screen leave a shape of {shown:.3f}:1; "
            "expected the same shape within 1 %"
        )
        sample.problem = sample.problem or Problem("E_EGD_CANVAS", sample.where, message)


def _measure(path: Path) -> tuple[int, int]:
    """Width and height of a film by its header; UnusableImage (E_DECODE) if it has none."""
    if path.suffix.lower() != ".dcm":
        return read_size(path)
    header = dicom.read_header(path, ["Rows", "Columns"])
    size = (int(header.get("Columns") or 0), int(header.get("Rows") or 0))
    if 0 in size:
        raise UnusableImage(Problem("E_DECODE", path.name, "no readable film; replace or drop the file"))
    return size


def _add_gaze(
    listing: Listing, samples: dict[str, Sample], known: set[str], tables: str, weight: str, sigma: float
) -> None:
    """Give each image the reader's valid fixations; broken ones set it aside."""
    gaze: dict[str, list[tuple[float, float, float]]] = {}
    stubs = {name[:-CUT] for name in known}
    for where, cells in read_table(listing.root / tables / "fixations.csv", columns=GAZE):
        name, valid = cells["DICOM_ID"], cells["FPOGV"] in ("1", "1.0")
        if name in stubs - known:
            listing.add("W_CALIB", where, "fixation on a calibration screen, left out")
        elif name not in known:
            listing.add("E_JOIN", where, "gaze on an image that master_sheet.csv does not name; mend one")
        elif valid and name in samples:
            x, y, seconds = (to_number(cells[column]) for column in ("X_ORIGINAL", "Y_ORIGINAL", "FPOGD"))
            if x is None or y is None or seconds is None or seconds <= 0:
                message = "expected numbers in X_ORIGINAL and Y_ORIGINAL, and seconds above 0 in FPOGD"
                samples[name].problem = samples[name].problem or Problem("E_FIX", where, message)
            else:
                gaze.setdefault(name, []).append((x, y, seconds))
    for name, fixations in gaze.items():
        x, y, seconds = np.array(fixations).T
        wide = np.full(len(x), sigma)
        counted = seconds if weight == "duration" else np.ones(len(x))
        samples[name].annotations = [Fixations(x, y, wide, wide, counted)]
