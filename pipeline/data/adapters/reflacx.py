"""Chest X-rays with radiologists' gaze and ellipses in the REFLACX layout (docs/formats.md).

    main_data/metadata_phase_<n>.csv                    one row per reading
    main_data/<reading>/fixations.csv                   absent where eye tracking was discarded
    main_data/<reading>/anomaly_location_ellipses.csv
    <image>                                             DICOM files, at the metadata's column `image`

All readings of one DICOM are one sample with several annotators. A reading calls an image abnormal if any
finding has a certainty of at least 3 (possibly); support devices and image quality are no findings. The
sample is abnormal if at least half of its readings say so, and its class is the finding they are surest of.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from pipeline.common.errors import nearest
from pipeline.data import dicom
from pipeline.data.adapters._chest import to_number
from pipeline.data.listing import (
    SHOWN,
    SPLITS,
    Listing,
    TableRow,
    existing_root,
    identifier,
    read_table,
    slug,
)
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Ellipses, Fixations, Sample

MARK = "main_data/metadata_phase_*.csv"
CERTAIN, SUREST = 3, 5  # of 0 absent, 1 unlikely .. 5 consistent with
FACTS = ("id", "split", "eye_tracking_data_discarded", "image", "dicom_id", "subject_id")
SIZES = ("image_size_x", "image_size_y")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
GAZE = (
    "timestamp_start_fixation",
    "timestamp_end_fixation",
    "x_position",
    "y_position",
    "angular_resolution_x_pixels_per_degree",
    "angular_resolution_y_pixels_per_degree",
    *(f"{corner}_shown_from_image" for corner in CORNERS),
)
FINDINGS = frozenset(  # of all phases, case-folded
    (
        "abnormal mediastinal contour",
        "acute fracture",
        "airway wall thickening",
        "atelectasis",
        "consolidation",
        "emphysema",
        "enlarged cardiac silhouette",
        "enlarged hilum",
        "fibrosis",
        "fracture",
        "groundglass opacity",
        "hiatal hernia",
        "high lung volume / emphysema",
        "interstitial lung disease",
        "lung nodule or mass",
        "mass",
        "nodule",
        "pleural abnormality",
        "pleural effusion",
        "pleural thickening",
        "pneumothorax",
        "pulmonary edema",
        "wide mediastinum",
    )
)
NO_FINDINGS = frozenset(("support devices", "quality issue", "other", "normal radiograph"))


class Reading(NamedTuple):
    """One radiologist's row of the metadata."""

    where: str
    facts: dict[str, str]
    certainties: dict[str, float]  # finding -> certainty, those of at least CERTAIN

    @property
    def identity(self) -> tuple[str, ...]:
        """What all readings of one DICOM must agree on."""
        return tuple(self.facts[name] for name in ("image", "subject_id", "split", *SIZES))


def read(
    root: Path,
    *,
    annotation: Literal["fixations", "ellipses"] = "fixations",
    source_tag: Literal["InstitutionName", "StationName", "Manufacturer", "ManufacturerModelName"]
    | None = None,
) -> list[Sample]:
    """One sample per DICOM file that was read.

    `annotation` is what guides: gaze (soft maps, also of normal images), or ellipses around findings.
    `source_tag` names the DICOM attribute that tells the site; null: everything is `mimic`.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS (label columns), E_LABEL
    (certainties), E_DIMS, E_ENUM (split), E_JOIN, E_SOURCE, E_DECODE (no header to take the site from) and
    the codes of `listing.read_table`. Samples with broken annotations carry E_ANN_MISSING, E_FIX, E_SHAPE or
    E_LABEL.
    """
    root = existing_root(root, MARK)
    listing = Listing(root)
    readings: dict[str, list[Reading]] = {}
    for path in sorted(root.glob(MARK)):
        for row in read_table(path, columns=(*FACTS, *SIZES)):
            readings.setdefault(row.cells["dicom_id"], []).append(_read_row(listing, row))
    samples = []
    for dicom_id, group in sorted(readings.items()):
        if len({reading.identity for reading in group}) > 1:
            message = "readings of one DICOM differ in image, subject, split or size; mend the tables"
            listing.add("E_JOIN", group[-1].where, message)
            continue
        sample = _merge_readings(listing, dicom_id, group)
        if sample is not None:
            if source_tag:
                _take_source(listing, sample, source_tag)
            _annotate(root, sample, group, annotation)
            samples.append(sample)
    return listing.finish(samples)


def _read_row(listing: Listing, row: TableRow) -> Reading:
    """A row with its findings; label columns differ by phase and in case."""
    certainties = {}
    for column, cell in row.cells.items():
        name = column.casefold()
        if column in FACTS or column in SIZES or name in NO_FINDINGS:
            continue
        if name not in FINDINGS:
            message = f"label column {column[:SHOWN]!r} is not known; {nearest(name, FINDINGS)}"
            listing.add("E_LABEL_ALIAS", row.where.split(" line ")[0], message)
            continue
        certainty = to_number(cell or "0")
        if certainty is None or not 0 <= certainty <= SUREST:
            listing.add("E_LABEL", row.where, f"column {column!r}: expected a certainty of 0 to 5")
        elif certainty >= CERTAIN:
            certainties[name] = certainty
    if Path(row.cells["id"]).name != row.cells["id"]:
        message = f"id {row.cells['id'][:SHOWN]!r}: expected the name of a folder of main_data"
        listing.add("E_PATH_ESCAPE", row.where, message)
    return Reading(row.where, row.cells, certainties)


def _merge_readings(listing: Listing, dicom_id: str, group: list[Reading]) -> Sample | None:
    """The readings' common image with its label, still without source and annotations."""
    where, facts = group[0].where, group[0].facts
    split = listing.word(SPLITS, facts["split"], where, "E_ENUM")
    image = listing.file(facts["image"], where)
    size = [to_number(facts[name]) for name in SIZES]
    if None in size:
        listing.add("E_DIMS", where, f"expected numbers in {', '.join(SIZES)}")
    if split is None or image is None or None in size:
        return None
    abnormal = 2 * sum(bool(reading.certainties) for reading in group) >= len(group)
    names = sorted({name for reading in group for name in reading.certainties})
    sureness = {name: sum(r.certainties.get(name, 0) for r in group) / len(group) for name in names}
    return Sample(
        native_id=identifier(dicom_id),
        image_path=image,
        label=int(abnormal),
        class_name=slug(max(sureness, key=lambda name: sureness[name])) if abnormal else "normal",
        source="mimic",
        source_kind="site",
        modality="cxr",
        subject_id=f"mimic:p{facts['subject_id']}" if facts["subject_id"] else "",
        group_id=f"mimic:{dicom_id}",
        native_split=split,
        size=(int(size[0] or 0), int(size[1] or 0)),
        where=where,
    )


def _take_source(listing: Listing, sample: Sample, source_tag: str) -> None:
    """The site from the image's header; what is wrong with it is noted in the listing."""
    name = sample.image_path.name
    try:
        header = dicom.read_header(sample.image_path, ["Rows", source_tag])
    except UnusableImage as error:
        listing.add(error.problem.code, sample.where, f"{name}: {error.problem.message}")
        return
    sample.source = slug(str(header.get(source_tag, "")))
    if "Rows" not in header:
        listing.add("E_DECODE", sample.where, f"{name}: not a DICOM image; replace or drop the file")
    elif not sample.source:
        message = f"the DICOM attribute {source_tag} is blank; choose another source_tag"
        listing.add("E_SOURCE", sample.where, f"{name}: {message}")


def _annotate(root: Path, sample: Sample, group: list[Reading], annotation: str) -> None:
    """Add one annotation per reading that has one; a broken one makes the sample a problem."""
    gaze = annotation == "fixations"
    try:
        for reading in group:
            folder = root / "main_data" / Path(reading.facts["id"]).name  # another was noted as a problem
            if not gaze:
                sample.annotations.append(_read_ellipses(folder / "anomaly_location_ellipses.csv"))
            elif not _is_true(reading.facts["eye_tracking_data_discarded"]):
                sample.annotations.append(_read_fixations(folder / "fixations.csv"))
    except UnusableImage as error:
        sample.problem = sample.problem or error.problem


def _read_fixations(path: Path) -> Fixations:
    """A reader's fixations: Gaussians of one degree of visual angle, weighted by seconds."""
    start, end, x, y, sigma_x, sigma_y, *shown = _to_columns(path, GAZE, _read_own_table(path, GAZE), "E_FIX")
    return Fixations(x, y, sigma_x, sigma_y, weight=end - start, shown=np.stack(shown, axis=1))


def _read_ellipses(path: Path) -> Ellipses:
    """A reader's ellipses around findings of at least CERTAIN."""
    names = (*CORNERS, "certainty")
    rows = _read_own_table(path, names)
    *corners, certainty = _to_columns(path, names, rows, "E_SHAPE")
    if not ((certainty >= 0) & (certainty <= SUREST)).all():
        where = f"{path.parent.name}/{path.name}"
        raise UnusableImage(Problem("E_LABEL", where, f"expected certainties of 0 to {SUREST}"))
    marked = [
        any(name.casefold() in FINDINGS and _is_true(c) for name, c in row.cells.items()) for row in rows
    ]
    keep = (certainty >= CERTAIN) & np.array(marked, dtype=bool)
    return Ellipses(np.stack(corners, axis=1)[keep])


def _read_own_table(path: Path, names: tuple[str, ...]) -> list[TableRow]:
    """A reading's table; UnusableImage (E_ANN_MISSING) if it is absent."""
    if not path.is_file():
        message = "expected this table of a reading, there is none; restore it or drop the reading"
        raise UnusableImage(Problem("E_ANN_MISSING", f"{path.parent.name}/{path.name}", message))
    return read_table(path, columns=names)


def _to_columns(path: Path, names: tuple[str, ...], rows: list[TableRow], code: str) -> list[np.ndarray]:
    """Columns of a reading's table, one float array each; UnusableImage (`code`) if a cell is no number."""
    try:
        numbers = [[float(row.cells[name]) for name in names] for row in rows]
    except ValueError:
        where = f"{path.parent.name}/{path.name}"
        raise UnusableImage(Problem(code, where, f"expected numbers in {', '.join(names)}")) from None
    return list(np.array(numbers, dtype=float).reshape(-1, len(names)).T)


def _is_true(text: str) -> bool:
    return text.casefold() in ("true", "1", "1.0")
