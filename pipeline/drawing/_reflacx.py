"""Files in the published REFLACX layout: 12-bit DICOM films, readings as CRLF tables."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from pipeline.common.seeding import derive
from pipeline.drawing._readers import Fixation

IMAGES = Path("physionet.org/files/mimic-cxr/2.0.0/files")
SCREEN = (3840, 2160)  # px, the published set-up
_DX = "1.2.840.10008.5.1.4.1.1.1.1.1"  # digital X-ray image, for presentation
_FULL_SCALE = 4095  # 12 bit

# The words for a finding, and the label columns, changed between the phases of the study.
LABELS = {
    1: {"opacity": "Groundglass opacity", "nodule": "Nodule", "fibrosis": "Fibrosis"},
    2: {
        "opacity": "Groundglass opacity",
        "nodule": "Lung nodule or mass",
        "fibrosis": "Interstitial lung disease",
    },
}
_COMMON = (
    "Atelectasis,Consolidation,Enlarged cardiac silhouette,Groundglass opacity,Pneumothorax,"
    "Pulmonary edema,Support devices"
)
_OF_PHASE = {
    1: "Airway wall thickening,Emphysema,Fibrosis,Fracture,Mass,Nodule,Pleural effusion,Pleural thickening,"
    "Quality issue,Wide mediastinum",
    2: "Abnormal mediastinal contour,Acute fracture,Enlarged hilum,Hiatal hernia,"
    "High lung volume / emphysema,Interstitial lung disease,Lung nodule or mass,Pleural abnormality",
}
_NOT_CERTAINTIES = ("Support devices", "Quality issue")  # booleans


class Study(NamedTuple):
    """One film's identity."""

    site: str
    subject: int  # 99......
    number: int  # of all films, from 0
    split: str  # train, validate or test
    seed: int

    @property
    def dicom_id(self) -> str:
        words = [f"{derive(self.seed, 'dicom_id', self.number, part):016x}"[:8] for part in range(4)]
        return "-".join(["99" + words[0][2:], *words[1:], f"{self.number:08d}"])

    @property
    def path(self) -> Path:
        study = f"s{99_500_000 + self.number}"
        return IMAGES / f"p{str(self.subject)[:2]}" / f"p{self.subject}" / study / f"{self.dicom_id}.dcm"


class PhantomReading(NamedTuple):
    """What one radiologist left behind about one film."""

    phase: int
    finding: str  # blank: normal
    certainty: int  # 0..5
    fixations: list[Fixation] | None  # None: eye tracking was discarded
    marked: np.ndarray  # bool (h, w)
    chest: tuple[int, int, int, int]  # xmin, ymin, xmax, ymax


def label_columns(phase: int) -> list[str]:
    """The label columns of a phase's table, sorted."""
    return sorted(f"{_COMMON},{_OF_PHASE[phase]}".split(","))


def write_film(root: Path, study: Study, film: np.ndarray, rng: np.random.Generator, compress: bool) -> None:
    """Save a film `(h, w)` in [0, 1], 1 dense; whoever follows all tags gets it back."""
    dataset = _make_header(study, film.shape, rng)
    span = int(rng.integers(2600, 3500))  # stored values that the window covers
    low = int(rng.integers(100, _FULL_SCALE - span - 100))
    slope = float(rng.choice([1.0, 1.0, 0.5, 2.0]))
    intercept = float(rng.choice([0.0, 0.0, -1024.0]))
    inverted = rng.random() < 0.4
    stored = np.round(low + span * (1 - film if inverted else film)).astype("<u2")
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "US"
    center, width = slope * (low + span / 2) + intercept + 0.5, slope * span + 1
    several = rng.random() < 0.3  # a second, narrower view that must not be taken
    dataset.WindowCenter = [center, center - 200] if several else center
    dataset.WindowWidth = [width, width / 2] if several else width
    dataset.PixelData = stored.tobytes()
    if compress:
        # by name: pydicom takes another encoder, whose bytes differ, where one is installed
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    target = root / study.path
    target.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(target, enforce_file_format=True)


def _make_header(study: Study, shape: tuple[int, ...], rng: np.random.Generator) -> Dataset:
    """Everything but pixels: invented person, no dates."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = _DX
    for level in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, level, f"2.25.{derive(study.seed, level, study.number)}")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.Modality = str(rng.choice(["DX", "CR"]))
    dataset.Manufacturer, dataset.InstitutionName = "Phantom", study.site
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "", str(study.subject), ""
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "", "", ""
    dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", "invented: drawn by a program"
    dataset.BurnedInAnnotation = "NO"
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", str(rng.choice(["PA", "AP"]))
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    spacing = round(350 / shape[0], 4)  # a film of 35 cm
    dataset.ImagerPixelSpacing = [spacing, spacing]
    return dataset


def reading_row(name: str, study: Study, reading: PhantomReading, shape: tuple[int, ...]) -> dict[str, Any]:
    """One line of metadata_phase_<n>.csv."""
    row: dict[str, Any] = {
        "id": name,
        "split": study.split,
        "eye_tracking_data_discarded": reading.fixations is None,
        "image": study.path.as_posix(),
        "dicom_id": study.dicom_id,
        "subject_id": study.subject,
        "image_size_x": shape[1],
        "image_size_y": shape[0],
    }
    for label in label_columns(reading.phase):
        row[label] = False if label in _NOT_CERTAINTIES else 0
    if reading.finding:
        row[LABELS[reading.phase][reading.finding]] = reading.certainty
    return row


def write_reading(folder: Path, reading: PhantomReading) -> None:
    """The tables of one reading; one without eye tracking has no fixations."""
    folder.mkdir(parents=True, exist_ok=True)
    if reading.fixations is not None:
        rows = _list_fixations(reading.fixations, reading.marked.shape)
        _write_table(folder / "fixations.csv", _FIXATION_COLUMNS, rows)
    labels = [name for name in label_columns(reading.phase) if name not in _NOT_CERTAINTIES]
    ellipses = [_bound_ellipse(reading, labels)] if reading.marked.any() else []
    _write_table(folder / "anomaly_location_ellipses.csv", [*_SIDES, "certainty", *labels], ellipses)
    _write_table(folder / "chest_bounding_box.csv", _SIDES, [reading.chest])


_SIDES = ("xmin", "ymin", "xmax", "ymax")
_FIXATION_COLUMNS = (
    "timestamp_start_fixation",
    "timestamp_end_fixation",
    "x_position",
    "y_position",
    "pupil_area_normalized",
    "angular_resolution_x_pixels_per_degree",
    "angular_resolution_y_pixels_per_degree",
    "window_width",
    "window_level",
    *(f"{side}_shown_from_image" for side in _SIDES),
    *(f"{side}_in_screen_coordinates" for side in _SIDES),
)


def _bound_ellipse(reading: PhantomReading, labels: list[str]) -> list[Any]:
    """The box of an axis-aligned ellipse about what was marked, its certainty and labels."""
    ys, xs = np.nonzero(reading.marked)
    box = [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]
    found = LABELS[reading.phase].get(reading.finding)
    return [*box, reading.certainty, *(label == found for label in labels)]


def _list_fixations(fixations: list[Fixation], shape: tuple[int, ...]) -> list[list[Any]]:
    """The whole film was shown, as high as the screen; 1 degree is about 110 screen px."""
    height, width = shape
    zoom = SCREEN[1] / height
    left = round((SCREEN[0] - width * zoom) / 2)
    degree = round(110 / zoom, 2)
    view = [1.0, degree, degree, 1.0, 0.5, 0, 0, width, height, left, 0, SCREEN[0] - left, SCREEN[1]]
    return [[f.start, f.end, f.x, f.y, *view] for f in fixations]


def write_metadata(root: Path, phase: int, rows: list[dict[str, Any]]) -> None:
    """metadata_phase_<n>.csv, sorted by reading."""
    lines = [list(row.values()) for row in sorted(rows, key=lambda row: str(row["id"]))]
    _write_table(root / "main_data" / f"metadata_phase_{phase}.csv", list(rows[0]), lines)


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")  # as published
        writer.writerow(header)
        writer.writerows(rows)
