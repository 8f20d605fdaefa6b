"""Chest X-rays of the RSNA pneumonia detection challenge of 2018, stage 2, with boxes around lung opacities.

    stage_2_train_images/<patientId>.dcm
    stage_2_train_labels.csv            patientId,x,y,width,height,Target: one row per box, blank for Target 0
    stage_2_detailed_class_info.csv     patientId,class: repeated once per box
    <mapping>                           a list of {subset_img_id, img_id}: which NIH image each one is

`patientId` names an image. Who the patient is stands in the mapping alone (RSNA publishes it as
pneumonia-challenge-dataset-mappings_2018.json): the first 8 digits of the NIH file. File names, columns and
classes are from third-party code; that Target 0 leaves the box blank, and that images are 1024x1024, is
from memory. The test images have no labels and are not read.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline.data.adapters._chest import film, read_boxes
from pipeline.data.listing import Listing, TableRow, existing_root, read_json, read_table, slug
from pipeline.data.problems import UnusableImage
from pipeline.data.samples import Sample

IMAGES, LABELS, CLASSES = (
    "stage_2_train_images",
    "stage_2_train_labels.csv",
    "stage_2_detailed_class_info.csv",
)
CORNERS = ("x", "y", "width", "height")
OPACITY = "Lung Opacity"
WORDS = {word.casefold(): word for word in ("Normal", "No Lung Opacity / Not Normal", OPACITY)}
TARGETS = {"0": 0, "1": 1}


def read(
    root: Path,
    *,
    abnormal: Literal["lung_opacity", "not_normal"] = "lung_opacity",
    mapping: str | None = None,
) -> list[Sample]:
    """One sample per image of the table of labels.

    Label 1 is an opacity that looks like pneumonia (`lung_opacity`), or everything that is not called normal
    (`not_normal`). `mapping` is the JSON file below the root that leads to patients; null: none is known.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL (Target), E_LABEL_ALIAS (class),
    E_LABEL_RULE (rows of one image, or its class and Target, contradict each other), E_JOIN (an image without
    class, or not in the mapping) and the codes of `listing.read_table`. Some samples carry E_BOX.
    """
    root = existing_root(root, LABELS)
    listing = Listing(root)
    classes = _read_classes(listing)
    parents = _read_mapping(listing, mapping) if mapping else {}
    images: dict[str, list[TableRow]] = {}
    for row in read_table(root / LABELS, columns=("patientId", *CORNERS, "Target")):
        images.setdefault(row.cells["patientId"], []).append(row)
    samples = []
    for name, rows in images.items():
        image = listing.file(f"{name}.dcm", rows[0].where, folder=IMAGES)
        told = _read_class(listing, rows, classes.get(name, ""))
        if image is None or told is None:
            continue
        label = int(told != "Normal") if abnormal == "not_normal" else int(told == OPACITY)
        sample = film(name, image, rows[0].where, "nih", (label, slug(told)), group_id=f"rsna:{name}")
        if parents and name not in parents:
            listing.add("E_JOIN", sample.where, f"{name} is not in {mapping}; are both of one release?")
        elif parents:
            sample.group_id, sample.subject_id = f"nih:{parents[name]}", f"nih:{parents[name][:8]}"
        if told == OPACITY:
            _add_boxes(sample, rows)
        samples.append(sample)
    return listing.finish(samples)


def _add_boxes(sample: Sample, rows: list[TableRow]) -> None:
    """One annotator's boxes; broken ones set the image aside."""
    try:
        sample.annotations = [read_boxes(rows, CORNERS, "xywh")]
    except UnusableImage as error:
        sample.problem = error.problem


def _read_classes(listing: Listing) -> dict[str, str | None]:
    """The class of each image, None for an unknown word; rows that say the same are one."""
    found: dict[str, str | None] = {}
    for where, cells in read_table(listing.root / CLASSES, columns=("patientId", "class")):
        told = listing.word(WORDS, cells["class"], where)
        if found.setdefault(cells["patientId"], told) != told:
            message = f"{cells['patientId']} is {told!r} here, {found[cells['patientId']]!r} above; keep one"
            listing.add("E_LABEL_RULE", where, message)
    return found


def _read_class(listing: Listing, rows: list[TableRow], told: str | None) -> str | None:
    """The class of one image if its rows of labels and their boxes agree with it; else None, noted."""
    where = rows[0].where
    targets = {listing.word(TARGETS, row.cells["Target"], row.where, "E_LABEL") for row in rows}
    if None in targets or told is None:
        return None
    if not told:
        listing.add("E_JOIN", where, f"expected this image in {CLASSES} too; are both of one release?")
        return None
    boxed = {int(any(row.cells[column] for column in CORNERS)) for row in rows}
    if targets != {int(told == OPACITY)} or boxed != targets:
        came = (
            f"Target {', '.join(map(str, targets))}, class {told!r}, box {'there' if 1 in boxed else 'blank'}"
        )
        message = f"{came}: expected Target 1 and a box in every row of {OPACITY!r}, else neither"
        listing.add("E_LABEL_RULE", where, message)
        return None
    return told


def _read_mapping(listing: Listing, mapping: str) -> dict[str, str]:
    """The NIH image, without its extension, of each image of the challenge."""
    path = listing.file(mapping, "mapping", "E_LAYOUT")
    entries = read_json(path) if path else []
    known = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    found = {
        str(entry["subset_img_id"]): PurePosixPath(str(entry["img_id"])).stem
        for entry in known
        if {"subset_img_id", "img_id"} <= set(entry)
    }
    if path and not any(name[:8].isdecimal() for name in found.values()):
        message = "expected a list of {subset_img_id, img_id} with NIH file names, such as 00000001_000.png"
        listing.add("E_JOIN", mapping, message)
    return found
