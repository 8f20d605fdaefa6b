"""Chest X-rays of CheXpert's validation and test sets, outlined by radiologists: CheXlocalize.

    CheXpert/val_labels.csv, CheXpert/test_labels.csv       Path and 14 columns: 1, 0, -1 uncertain, blank
    CheXpert/{val,test}/patientNNNNN/studyN/viewN_*.jpg     `Path` says `valid/` where the folder is `val/`
    CheXlocalize/gt_annotations_{val,test}.json     {image: {img_size: [h, w], finding: [outline of [x, y]]}}
    CheXlocalize/gt_segmentations_{val,test}.json   {image: {finding: {size: [h, w], counts: run lengths}}}

Read in the authors' code and sample: names, keys (the parts of `Path` joined by `_`), the order of sizes,
that JSON and code say `Airspace Opacity` where the tables say `Lung Opacity`, that only images with a
finding are outlined, ten findings of fourteen, and that the masks of an image are ten, empty where nothing
is outlined. There is no training set here: divide by subject, or join another data set.
"""

from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from pipeline.data.adapters._chest import choose_findings, decide, film, set_marks
from pipeline.data.coco_runs import decode_counts
from pipeline.data.listing import Listing, TableRow, existing_root, read_json, read_table
from pipeline.data.problems import Problem, refuse
from pipeline.data.samples import Annotation, Polygons, Runs, Sample

MARK = "CheXlocalize/gt_*.json"
FINDINGS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
)
DEVICES = "Support Devices"  # outlined too, but no finding
WORDS = {name.casefold(): name for name in (*FINDINGS, DEVICES)} | {"airspace opacity": "Lung Opacity"}
ANSWERS = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "": 0, "-1": -1, "-1.0": -1}  # blank: not mentioned
FOLDERS = {"valid": "val", "val": "val", "test": "test"}


def read(
    root: Path,
    *,
    annotation: Literal["annotations", "segmentations"] = "annotations",
    sets: list[Literal["val", "test"]] = ["val", "test"],  # noqa: B006  read as a literal, never changed
    findings: list[str] = [],  # noqa: B006
    views: list[Literal["frontal", "lateral"]] = ["frontal"],  # noqa: B006
    uncertain: Literal["leave_out", "refuse"] = "leave_out",
) -> list[Sample]:
    """One sample per image of the tables of labels, by one annotator.

    The `findings` make label 1 (none named: any); devices and `No Finding` are none. An image of which no
    chosen finding is sure but one uncertain is left out and counted (W_UNCERTAIN), or refused. Films in other
    `views` are left out and counted (W_VIEW). `annotation` is what maps are made of: outlines, or masks.

    Raises UserError: unknown findings, E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL, E_LABEL_ALIAS (a
    word of the JSON), E_ENUM (folder or view), E_JOIN (JSON that names none of the images) and the codes of
    `listing.read_table`. Some samples carry E_SHAPE, E_RLE or E_LABEL_CONFLICT.
    """
    chosen = choose_findings(findings, FINDINGS)
    root = existing_root(root, "CheXpert/*_labels.csv")
    listing = Listing(root)
    samples = []
    for part in sets:
        marked = _read_marks(root / f"CheXlocalize/gt_{annotation}_{part}.json")
        found = []
        for row in read_table(root / f"CheXpert/{part}_labels.csv", columns=("Path", *FINDINGS)):
            sample = _read_row(listing, row, chosen, views, uncertain)
            if sample is not None:
                found.append(sample)
        _add_marks(listing, found, marked, chosen, f"gt_{annotation}_{part}.json")
        samples += found
    return listing.finish(samples)


def _read_row(
    listing: Listing,
    row: TableRow,
    chosen: frozenset[str],
    views: list[Literal["frontal", "lateral"]],
    uncertain: Literal["leave_out", "refuse"],
) -> Sample | None:
    """An image without marks; None if it is left out or something is wrong with it."""
    parts = PurePosixPath(row.cells["Path"]).parts
    start = next((i for i, part in enumerate(parts) if part in FOLDERS), None)
    view = row.cells["Path"].rsplit("_", 1)[-1].split(".")[0]
    if start is None or len(parts) != start + 4 or view not in ("frontal", "lateral"):
        message = "expected a Path such as CheXpert-v1.0/valid/patient00001/study1/view1_frontal.jpg"
        listing.add("E_ENUM", row.where, message)
        return None
    if view not in views:
        listing.add("W_VIEW", row.where, "film in another view, left out")
        return None
    answers = {name: listing.word(ANSWERS, row.cells[name], row.where, "E_LABEL") for name in FINDINGS}
    present = [name for name, answer in answers.items() if answer == 1]
    if not chosen & set(present) and any(answers[name] == -1 for name in chosen):
        if uncertain == "leave_out":
            listing.add("W_UNCERTAIN", row.where, "the label is uncertain (-1), left out")
        else:
            listing.add("E_LABEL", row.where, "a finding is uncertain (-1); set uncertain: leave_out")
        return None
    split, (patient, study, name) = FOLDERS[parts[start]], parts[start + 1 :]
    image = listing.file("/".join((split, patient, study, name)), row.where, folder="CheXpert")
    if image is None:
        return None
    key = "_".join((patient, study, PurePosixPath(name).stem))
    facts = {"subject_id": f"chexpert:{patient}", "native_split": split, "group_id": f"chexpert:{key}"}
    return film(key, image, row.where, "chexpert", decide(present, chosen), **facts)


def _read_marks(path: Path) -> dict[str, dict[str, Any]]:
    """Image -> finding -> what is outlined, as the JSON file has it."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(marks, dict) for marks in content.values()):
        message = "expected {image: {finding: ...}}; is it the file of CheXlocalize?"
        refuse([Problem("E_ROW_SHAPE", path.name, message)])
    return content


def _add_marks(
    listing: Listing, samples: list[Sample], marked: dict[str, Any], chosen: frozenset[str], name: str
) -> None:
    """Give each image the union of what is outlined of the chosen findings; broken ones set it aside."""
    keys = {sample.native_id: sample for sample in samples}
    if marked and samples and not keys.keys() & marked.keys():
        listing.add("E_JOIN", name, "names none of the images of the table; are both of one set?")
    for key in keys.keys() & marked.keys():
        sample, marks = keys[key], marked[key]
        size = marks.pop("img_size", None)
        told = {word: listing.word(WORDS, word, f"{name} {key}") for word in marks}
        found = [marks[word] for word, finding in told.items() if finding in chosen]
        try:
            sample.size = None if size is None else _read_size(size)
            set_marks(sample, [_to_runs(found) if size is None else _to_outlines(found)] if found else [])
        except (KeyError, TypeError, ValueError, OverflowError):
            message = (
                f"what {name} says of {key} cannot be read; expected outlines of [x, y], or size and counts"
            )
            sample.problem = Problem("E_SHAPE", sample.where, message)


def _to_outlines(marks: list[Any]) -> Annotation:
    """Outlines of several findings; ValueError or TypeError if they are no pairs of numbers."""
    rings = [np.array(ring, dtype=float) for mark in marks for ring in mark]
    if any(ring.ndim != 2 or ring.shape[1] != 2 for ring in rings):
        raise ValueError("no pairs")
    return Polygons(tuple(rings))


def _to_runs(marks: list[Any]) -> Annotation:
    """Masks of several findings without the empty ones; ValueError, KeyError, TypeError if they are none."""
    width, height = _read_size(marks[0]["size"])
    if any(mark["size"] != marks[0]["size"] for mark in marks):
        raise ValueError("masks of several sizes")
    parts = [decode_counts(mark["counts"]) for mark in marks]
    return Runs(tuple(part for part in parts if part[1::2].any()), height, width, "F")


def _read_size(size: Any) -> tuple[int, int]:
    """Width and height of `[height, width]`."""
    height, width = (int(length) for length in size)
    return width, height
