"""Chest X-rays of two Vietnamese hospitals with boxes by several radiologists: VinDr-CXR, DICOM.

PhysioNet:
    train/<image_id>.dicom, test/<image_id>.dicom
    annotations/annotations_{train,test}.csv        one row per box; `rad_id` in train alone
    annotations/image_labels_{train,test}.csv       one row per reader (test: per image), 0 or 1 per finding
Kaggle (VinBigData):
    train/<image_id>.dicom
    train.csv                                       one row per box and reader; `No finding` has no box

Three of 17 radiologists read each training image, the test labels are a consensus of five, one row each.
The global label is `Other diseases` in train and `Other disease` in test. Columns and names are from
third-party code; that the test labels are a consensus of five is from memory. Patients are not published.
"""

from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.data.adapters._chest import choose_findings, decide, film, read_boxes
from pipeline.data.listing import SHOWN, Listing, TableRow, existing_root, read_table, slug
from pipeline.data.problems import UnusableImage
from pipeline.data.samples import Sample

CORNERS = ("x_min", "y_min", "x_max", "y_max")
NOTHING = "No finding"
FINDINGS = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Clavicle fracture",
    "Consolidation",
    "COPD",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "ILD",
    "Infiltration",
    "Lung cavity",
    "Lung cyst",
    "Lung Opacity",
    "Lung tumor",
    "Mediastinal shift",
    "Nodule/Mass",
    "Other disease",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumonia",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "Rib fracture",
    "Tuberculosis",
)
WORDS = {name.casefold(): name for name in (*FINDINGS, NOTHING)} | {"other diseases": "Other disease"}
VOTES = {"0": False, "0.0": False, "1": True, "1.0": True}


class Rating(NamedTuple):
    """What one reader says of one image."""

    present: set[str]
    boxes: list[TableRow]


Ratings = dict[str, dict[str, Rating]]  # image -> reader -> rating


def read(
    root: Path,
    *,
    layout: Literal["physionet", "kaggle"] = "physionet",
    sets: list[Literal["train", "test"]] = ["train", "test"],  # noqa: B006  read as a literal, never changed
    findings: list[str] = [],  # noqa: B006
    agreement: Literal["any", "majority", "all"] = "majority",
) -> list[Sample]:
    """One sample per image of the tables, with one annotation per reader.

    An image is label 1 if so many of its readers (`agreement`) see one of the `findings` (none named: any).
    Maps are made of the boxes around these findings: a reader without one counts as zeros. Images of label 0
    have none. `sets` is what to read of the PhysioNet copy; that of Kaggle has train alone.

    Raises UserError: unknown findings, E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL, E_LABEL_ALIAS,
    E_JOIN (a box by somebody who did not read the image) and the codes of `listing.read_table`. Some samples
    carry E_BOX.
    """
    chosen = choose_findings(findings, FINDINGS)
    root = existing_root(root, "train.csv" if layout == "kaggle" else "annotations/image_labels_*.csv")
    listing = Listing(root)
    samples = []
    for part in ["train"] if layout == "kaggle" else sets:
        if layout == "kaggle":
            ratings = _read_kaggle(listing, chosen)
        else:
            ratings = _read_physionet(listing, part, chosen)
        for name, readers in ratings.items():
            where = f"{part} image {name[:SHOWN]}"
            image = listing.file(f"{name}.dicom", where, folder=part)
            if image is not None:
                verdict = _vote(list(readers.values()), chosen, agreement)
                facts = {"group_id": f"vindr:{name}", "native_split": part}
                samples.append(_annotate(film(name, image, where, "vindr", verdict, **facts), readers))
    return listing.finish(samples)


def _read_physionet(listing: Listing, part: str, chosen: frozenset[str]) -> Ratings:
    """All ratings of train or test; test has one per image, the consensus."""
    ratings: Ratings = {}
    names = {"image_id", "rad_id"}
    for row in read_table(listing.root / f"annotations/image_labels_{part}.csv", columns=("image_id",)):
        present = set()
        for column, cell in row.cells.items():
            if column.casefold() in names:
                continue
            finding = listing.word(WORDS, column, row.where.split(" line ")[0])
            if listing.word(VOTES, cell, row.where, "E_LABEL") and finding and finding != NOTHING:
                present.add(finding)
        ratings.setdefault(row.cells["image_id"], {})[_find_reader(row)] = Rating(present, [])
    path = listing.root / f"annotations/annotations_{part}.csv"
    for row in read_table(path, columns=("image_id", "class_name", *CORNERS)):
        finding = listing.word(WORDS, row.cells["class_name"], row.where)
        rating = ratings.get(row.cells["image_id"], {}).get(_find_reader(row))
        if rating is None:
            message = "expected a row of this image and reader among the image labels too; mend one table"
            listing.add("E_JOIN", row.where, message)
        elif finding in chosen:
            rating.boxes.append(row)
    return ratings


def _read_kaggle(listing: Listing, chosen: frozenset[str]) -> Ratings:
    """All ratings of the one table of boxes."""
    ratings: Ratings = {}
    for row in read_table(listing.root / "train.csv", columns=("image_id", "class_name", "rad_id", *CORNERS)):
        finding = listing.word(WORDS, row.cells["class_name"], row.where)
        readers = ratings.setdefault(row.cells["image_id"], {})
        rating = readers.setdefault(_find_reader(row), Rating(set(), []))
        if finding and finding != NOTHING:
            rating.present.add(finding)
        if finding in chosen:
            rating.boxes.append(row)
    return ratings


def _find_reader(row: TableRow) -> str:
    """The reader of a row, blank for the consensus; the column is spelt in several ways."""
    return next((cell for column, cell in row.cells.items() if column.casefold() == "rad_id"), "")


def _vote(
    ratings: list[Rating], chosen: frozenset[str], agreement: Literal["any", "majority", "all"]
) -> tuple[int, str]:
    """Label and class; the class is what most readers see, `disputed` where too few see anything."""
    votes = Counter(finding for rating in ratings for finding in rating.present)
    seen = [bool(rating.present & chosen) for rating in ratings]
    enough = {"any": any(seen), "majority": 2 * sum(seen) > len(seen), "all": all(seen)}[agreement]
    if enough:
        return 1, slug(max(sorted(votes.keys() & chosen), key=lambda finding: votes[finding]))
    return 0, "disputed" if any(seen) else decide(list(votes), chosen)[1]


def _annotate(sample: Sample, readers: dict[str, Rating]) -> Sample:
    """Give an image of label 1 the boxes of each of its readers; broken ones set it aside."""
    try:
        marks = [read_boxes(readers[name].boxes, CORNERS, "xyxy") for name in sorted(readers)]
    except UnusableImage as error:
        sample.problem = error.problem
        return sample
    sample.annotations = [*marks] if sample.label else []
    return sample
