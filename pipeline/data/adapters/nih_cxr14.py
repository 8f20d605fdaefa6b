"""Chest X-rays of the NIH Clinical Center with the boxes of 984 findings: ChestX-ray14, also called CXR8.

    images_001/images/*.png .. images_012/images/*.png      or all in one folder, anywhere below the root
    Data_Entry_2017*.csv                                    one row per image, findings joined by `|`
    BBox_List_2017*.csv                                     one row per box, px of the images of 1024x1024
    train_val_list.txt, test_list.txt                       the official split, by patient

Headers and rows of both tables were read in copies of the published ones, commas in the header and nameless
last columns included. That all images with boxes stand in the official test list is from memory, and so is
their number. Labels were mined from reports. RSNA and SIIM-ACR are made of these images: ids begin with
`nih:`, so that no patient comes into two splits.
"""

from pathlib import Path
from typing import Literal

from pipeline.data.adapters._chest import (
    choose_findings,
    decide,
    film,
    index_files,
    only_file,
    read_boxes,
    set_marks,
)
from pipeline.data.listing import Listing, TableRow, existing_root, read_table
from pipeline.data.problems import UnusableImage
from pipeline.data.samples import Sample

MARK = "Data_Entry_2017*.csv"
BOXES = "BBox_List_2017*.csv"
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
CORNERS = ("Bbox [x", "y", "w", "h]")  # the header is `Bbox [x,y,w,h],,,`, with commas that nobody quoted
REFERENCE = (1024, 1024)  # px of the published images, to which boxes refer
NOTHING = "No Finding"
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
WORDS = {name.casefold(): name for name in (*FINDINGS, NOTHING)} | {"infiltrate": "Infiltration"}


def read(
    root: Path,
    *,
    findings: list[str] = [],  # noqa: B006  read as a literal, never changed
    views: list[Literal["PA", "AP"]] = ["PA", "AP"],  # noqa: B006
    boxes: bool = True,
    split_lists: bool = True,
    missing: Literal["refuse", "skip"] = "refuse",
) -> list[Sample]:
    """One sample per row of the table of entries.

    `findings` make label 1 (none named: any); all other images are label 0. Films in other `views` are left
    out and counted (W_VIEW), absent ones too where `missing` is `skip` (W_MISSING). `boxes` and `split_lists`
    say whether the box list and the two official lists are there.

    Raises UserError: unknown findings, E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS, E_LABEL_RULE
    (a finding beside `No Finding`), E_SUBJECT, E_ENUM (views), E_JOIN and the codes of `listing.read_table`.
    Some samples carry E_BOX or E_LABEL_CONFLICT.
    """
    chosen = choose_findings(findings, FINDINGS)
    root = existing_root(root, MARK)
    listing = Listing(root)
    paths, splits = index_files(listing, ".png"), _read_splits(listing) if split_lists else {}
    columns = ("Image Index", "Finding Labels", "Patient ID", "View Position")
    samples = []
    for row in read_table(only_file(root, MARK), columns=columns):
        stem = row.cells["Image Index"].removesuffix(".png")
        if not _is_wanted(listing, row, views):
            continue
        if missing == "skip" and stem not in paths:
            listing.add("W_MISSING", row.where, "image is absent, left out")
            continue
        sample = _read_row(listing, row, paths, chosen)
        if sample is not None:
            sample.native_split = splits.get(stem, "")
            samples.append(sample)
    if boxes:
        _add_boxes(listing, samples, chosen)
    return listing.finish(samples)


def _read_splits(listing: Listing) -> dict[str, str]:
    """The official split of each image by its name without extension; one in both lists is E_JOIN."""
    found: dict[str, str] = {}
    for name, split in LISTS.items():
        for where, cells in read_table(listing.root / name, names=["image"]):
            stem = cells["image"].removesuffix(".png")
            if found.setdefault(stem, split) != split:
                listing.add("E_JOIN", where, f"{stem} is in both official lists; take them as published")
    return found


def _is_wanted(listing: Listing, row: TableRow, views: list[Literal["PA", "AP"]]) -> bool:
    table = {"pa": "PA", "ap": "AP"}
    view = listing.word(table, row.cells["View Position"], row.where, "E_ENUM")
    if view is not None and view not in views:
        listing.add("W_VIEW", row.where, "film in another view, left out")
    return view in views


def _read_row(
    listing: Listing, row: TableRow, paths: dict[str, str], chosen: frozenset[str]
) -> Sample | None:
    """An image without split and boxes; None if something is wrong with its row."""
    name = row.cells["Image Index"]
    stem = name.removesuffix(".png")
    present = _read_findings(listing, row)
    image = listing.file(paths.get(stem, name), row.where)
    if image is None or present is None:
        return None
    facts = {"subject_id": f"nih:{_read_patient(listing, row)}", "group_id": f"nih:{stem}"}
    return film(stem, image, row.where, "nih", decide(present, chosen), **facts)


def _read_findings(listing: Listing, row: TableRow) -> list[str] | None:
    """The findings of an image, none for `No Finding`; None, a problem noted, if the words are wrong."""
    words = [listing.word(WORDS, word, row.where) for word in row.cells["Finding Labels"].split("|")]
    if None in words:
        return None
    if NOTHING in words and len(words) > 1:
        listing.add("E_LABEL_RULE", row.where, f"{NOTHING!r} stands beside a finding; keep one of them")
        return None
    return [word for word in words if word and word != NOTHING]


def _read_patient(listing: Listing, row: TableRow) -> str:
    """The patient: the first 8 characters of the file's name, and as a number a column of the table."""
    patient, told = row.cells["Image Index"][:8], row.cells["Patient ID"]
    if not (patient.isdecimal() and told.isdecimal() and int(patient) == int(told)):
        message = "expected the Patient ID to be the first 8 digits of the file's name; mend the table"
        listing.add("E_SUBJECT", row.where, message)
    return patient


def _add_boxes(listing: Listing, samples: list[Sample], chosen: frozenset[str]) -> None:
    """Boxes around the chosen findings, one annotator; broken ones set their image aside."""
    path = only_file(listing.root, BOXES)
    marked: dict[str, list[TableRow]] = {}
    rows = read_table(path, columns=("Image Index", "Finding Label", *CORNERS))
    for row in rows:
        if listing.word(WORDS, row.cells["Finding Label"], row.where) in chosen:
            marked.setdefault(row.cells["Image Index"], []).append(row)
    if rows and not {row.cells["Image Index"] for row in rows} & {f"{s.native_id}.png" for s in samples}:
        listing.add("E_JOIN", path.name, "the box list names none of the images; are both of one release?")
    for sample in samples:
        found = marked.get(f"{sample.native_id}.png", [])
        try:
            set_marks(sample, [read_boxes(found, CORNERS, "xywh")] if found else [])
        except UnusableImage as error:
            sample.problem = error.problem
        sample.annotation_size = REFERENCE
