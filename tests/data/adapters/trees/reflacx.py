"""Chest X-rays with readings in the REFLACX layout."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.data.adapters.trees import text
from tests.data.dicom_files import write as write_dicom

IMAGES = "physionet.org/files/mimic-cxr/2.0.0/files"
SHARED = [  # metadata columns of every REFLACX phase, as published
    *("id", "split", "eye_tracking_data_discarded", "image", "dicom_id", "subject_id"),
    *("image_size_x", "image_size_y"),
]
PHASE = {
    1: ["Consolidation", "Nodule", "Quality issue", "Support devices"],
    3: ["Consolidation", "Lung nodule or mass", "Other", "Support devices"],
}
SIDES = ("xmin", "ymin", "xmax", "ymax")
FIXATIONS = [
    *("timestamp_start_fixation", "timestamp_end_fixation", "x_position", "y_position"),
    *("pupil_area_normalized", "angular_resolution_x_pixels_per_degree"),
    *("angular_resolution_y_pixels_per_degree", "window_width", "window_level"),
    *(f"{side}_shown_from_image" for side in SIDES),
    *(f"{side}_in_screen_coordinates" for side in SIDES),
]


def build(root: Path) -> dict[str, Any]:
    """The tree of `reflacx` for the settings by default."""
    reflacx(root)
    return {}


def dicom_id(number: int) -> str:
    return f"00000000-bbbbbbbb-00000000-00000000-{number:08d}"


def image_path(number: int) -> str:
    return f"{IMAGES}/p99/p9900000{number}/s99000002/{dicom_id(number)}.dcm"


def reflacx(root: Path, end: str = "\r\n", start: str = "") -> Path:
    """Two films: one read twice in phase 1 (once abnormal), one in phase 3 whose gaze was discarded."""
    for number, site in ((1, "Site A"), (2, "Site B")):
        (root / image_path(number)).parent.mkdir(parents=True)
        stored = np.random.default_rng(number).integers(0, 4096, (20, 24), dtype=np.uint16)
        write_dicom(root / image_path(number), stored, InstitutionName=site)
    first = f"{image_path(1)},{dicom_id(1)},99000001,24,20"
    second = f"{image_path(2)},{dicom_id(2)},99000002,24,20"
    rows = [
        ",".join(SHARED + PHASE[1]),
        f"P101R000001,train,False,{first},0,4,False,True",
        f"P102R000001,train,False,{first},2,0,True,False",
    ]
    text(root / "main_data" / "metadata_phase_1.csv", rows, end, start)
    rows = [
        ",".join(SHARED + [name.upper() for name in PHASE[3]]),
        f'P300R000001,validate,True,{second},2,,"free text, with {SECRET_LINE}",True',
    ]
    text(root / "main_data" / "metadata_phase_3.csv", rows, end)
    shown = "0,0,24,20,660,0,3180,2100"
    gaze = [
        ",".join(FIXATIONS),
        f"-0.5,0.5,12,10,1.0,6,5,1.0,0.5,{shown}",
        f"0.5,0.9,-3,10,1.0,6,5,1.0,0.5,{shown}",
    ]
    for reading in ("P101R000001", "P102R000001"):
        text(root / "main_data" / reading / "fixations.csv", gaze, end, start)
        marks = [",".join([*SIDES, "certainty", "Nodule", "Support devices"])]
        if reading == "P101R000001":
            marks += ["6,5,14,11,4,True,False", "0,0,5,5,5,False,True", "0,0,5,5,2,True,False"]
        text(root / "main_data" / reading / "anomaly_location_ellipses.csv", marks, end, start)
    marks = [",".join([*SIDES, "certainty", "Lung nodule or mass"])]
    text(root / "main_data" / "P300R000001" / "anomaly_location_ellipses.csv", marks, end)
    return root


SECRET_LINE = "INVSECRET\r\nand a second line"
