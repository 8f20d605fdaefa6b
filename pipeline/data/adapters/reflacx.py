"""Chest X-rays with radiologists' gaze and ellipses in the REFLACX layout (`formats.md` section 1.3).

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
from pipeline.data import listing as tables
from pipeline.data.loaded import UnusableImage
from pipeline.data.samples import Annotation, Ellipses, Fixations, Problem, Sample

METADATA = "main_data/metadata_phase_*.csv"
CERTAIN = 3  # of 0 absent, 1 unlikely .. 5 consistent with
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
    (certainties), E_ENUM (split), E_JOIN, E_SOURCE, E_DECODE (no header to take the site from) and the
    codes of `tables.read`. Samples with broken annotations carry E_ANN_MISSING, E_FIX or E_SHAPE, those of
    another size than listed E_DIMS.
    """
    root = tables.existing_root(root, METADATA)
    listing = tables.Listing(root)
    readings: dict[str, list[Reading]] = {}
    for path in sorted(root.glob(METADATA)):
        for row in tables.read(path, columns=(*FACTS, *SIZES)):
            readings.setdefault(row.cells["dicom_id"], []).append(_reading(listing, row))
    samples = []
    for dicom_id, group in sorted(readings.items()):
        if len({reading.identity for reading in group}) > 1:
            message = "readings of one DICOM differ in image, subject, split or size; mend the tables"
            listing.add("E_JOIN", group[-1].where, message)
            continue
        sample = _sample(listing, dicom_id, group)
        if sample is not None:
            _look_into_file(listing, sample, group[0], source_tag)
            _annotate(root, sample, group, annotation)
            samples.append(sample)
    return listing.finish(samples)


def _reading(listing: tables.Listing, row: tables.Row) -> Reading:
    """A row with its findings; label columns differ by phase and in case."""
    certainties = {}
    for column, cell in row.cells.items():
        name = column.casefold()
        if column in FACTS or column in SIZES or name in NO_FINDINGS:
            continue
        if name not in FINDINGS:
            message = f"label column {column[: tables.SHOWN]!r} is not known; {nearest(name, FINDINGS)}"
            listing.add("E_LABEL_ALIAS", row.where.split(" line ")[0], message)
            continue
        certainty = _number(cell or "0")
        if certainty is None:
            listing.add("E_LABEL", row.where, f"column {column!r}: expected a certainty of 0 to 5")
        elif certainty >= CERTAIN:
            certainties[name] = certainty
    return Reading(row.where, row.cells, certainties)


def _sample(listing: tables.Listing, dicom_id: str, group: list[Reading]) -> Sample | None:
    """The readings' common image with its label, still without source and annotations."""
    where, facts = group[0].where, group[0].facts
    split = listing.word(tables.SPLITS, facts["split"], where, "E_ENUM")
    image = listing.file(facts["image"], where)
    if split is None or image is None:
        return None
    abnormal = 2 * sum(bool(reading.certainties) for reading in group) >= len(group)
    names = sorted({name for reading in group for name in reading.certainties})
    sureness = {name: sum(r.certainties.get(name, 0) for r in group) / len(group) for name in names}
    return Sample(
        native_id=tables.identifier(dicom_id),
        image_path=image,
        label=int(abnormal),
        native_label="|".join(f"{name}={value:.3g}" for name, value in sureness.items()) or "normal",
        class_name=tables.slug(max(sureness, key=lambda name: sureness[name])) if abnormal else "normal",
        source="mimic",
        source_kind="site",
        modality="cxr",
        subject_id=f"mimic:p{facts['subject_id']}" if facts["subject_id"] else "",
        group_id=f"mimic:{dicom_id}",
        native_split=facts["split"],
        split=split,
        site="mimic",
        where=where,
    )


def _look_into_file(
    listing: tables.Listing, sample: Sample, reading: Reading, source_tag: str | None
) -> None:
    """Check the image's size, to which gaze refers, and take the site from its header."""
    tags = ["Rows", "Columns", *([source_tag] if source_tag else [])]
    try:
        header = dicom.read_header(sample.image_path, tags)
        size = f"{int(header.Columns)}x{int(header.Rows)}"
    except (UnusableImage, AttributeError, TypeError, ValueError):
        message = "not a DICOM image: no size in its header; replace or drop the file"
        sample.problem = Problem("E_DECODE", sample.where, f"{sample.image_path.name}: {message}")
        if source_tag:  # the source is needed before files are decoded
            listing.add(sample.problem.code, sample.problem.where, sample.problem.message)
        return
    listed = "x".join(reading.facts[name] for name in SIZES)
    if size != listed:
        message = f"the file has {size} px, the table says {listed}; gaze refers to the original, use that"
        sample.problem = Problem("E_DIMS", sample.where, message)
    if source_tag:
        sample.source = sample.site = tables.slug(str(header.get(source_tag, "")))
        if not sample.source:
            message = f"the DICOM attribute {source_tag} is blank; choose another source_tag"
            listing.add("E_SOURCE", sample.where, f"{sample.image_path.name}: {message}")


def _annotate(root: Path, sample: Sample, group: list[Reading], annotation: str) -> None:
    """Add one annotation per reading that has one; a broken one makes the sample a problem."""
    gaze = annotation == "fixations"
    try:
        for reading in group:
            folder = root / "main_data" / reading.facts["id"]
            if not gaze:
                sample.annotations.append(_ellipses(folder / "anomaly_location_ellipses.csv"))
            elif not _true(reading.facts["eye_tracking_data_discarded"]):
                sample.annotations.append(_fixations(folder / "fixations.csv"))
    except UnusableImage as error:
        sample.problem = sample.problem or error.problem
    if sample.annotations:
        sample.ann_kind, sample.ann_scope = ("soft_map", "gaze") if gaze else ("mask", "finding")
        sample.ann_weight = "duration" if gaze else "none"
        sample.ann_sigma_px = f"{_mean_sigma(sample.annotations):.4g}" if gaze else ""


def _fixations(path: Path) -> Fixations:
    """A reader's fixations: Gaussians of one degree of visual angle, weighted by seconds."""
    start, end, x, y, sigma_x, sigma_y, *shown = _numbers(path, GAZE, _table(path, GAZE), "E_FIX")
    return Fixations(x, y, sigma_x, sigma_y, weight=end - start, shown=np.stack(shown, axis=1))


def _ellipses(path: Path) -> Ellipses:
    """A reader's ellipses around findings of at least CERTAIN."""
    names = (*CORNERS, "certainty")
    rows = _table(path, names)
    *corners, certainty = _numbers(path, names, rows, "E_SHAPE")
    marked = [any(name.casefold() in FINDINGS and _true(c) for name, c in row.cells.items()) for row in rows]
    keep = (certainty >= CERTAIN) & np.array(marked, dtype=bool)
    return Ellipses(np.stack(corners, axis=1)[keep])


def _table(path: Path, names: tuple[str, ...]) -> list[tables.Row]:
    """A reading's table; UnusableImage (E_ANN_MISSING) if it is absent."""
    if not path.is_file():
        message = "expected this table of a reading, there is none; restore it or drop the reading"
        raise UnusableImage(Problem("E_ANN_MISSING", f"{path.parent.name}/{path.name}", message))
    return tables.read(path, columns=names)


def _numbers(path: Path, names: tuple[str, ...], rows: list[tables.Row], code: str) -> list[np.ndarray]:
    """Columns of a reading's table, one float array each; UnusableImage (`code`) if a cell is no number."""
    try:
        numbers = [[float(row.cells[name]) for name in names] for row in rows]
    except ValueError:
        where = f"{path.parent.name}/{path.name}"
        raise UnusableImage(Problem(code, where, f"expected numbers in {', '.join(names)}")) from None
    return list(np.array(numbers, dtype=float).reshape(-1, len(names)).T)


def _mean_sigma(annotations: list[Annotation]) -> float:
    sigmas = [gaze.sigma_x for gaze in annotations if isinstance(gaze, Fixations)]
    return float(np.mean(np.concatenate(sigmas)))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _true(text: str) -> bool:
    return text.casefold() in ("true", "1", "1.0")
