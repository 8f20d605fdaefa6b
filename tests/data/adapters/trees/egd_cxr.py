"""EGD-CXR beside MIMIC-CXR, both as PhysioNet's mirror lays them down; all 59 and 37 columns."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import film, text

TABLES = "physionet.org/files/egd-cxr/1.0.0"
IMAGES = "physionet.org/files/mimic-cxr/2.0.0"
DIAGNOSES = [f"dx{number}{end}" for number in range(1, 10) for end in ("", "_icd")]
FINDINGS = [
    *("consolidation", "enlarged_cardiac_silhouette", "linear__patchy_atelectasis"),
    *("lobar__segmental_collapse", "not_otherwise_specified_opacity___pleural__parenchymal_opacity__"),
    *("pleural_effusion_or_thickening", "pulmonary_edema__hazy_opacity", "normal_anatomically"),
    *("elevated_hemidiaphragm", "hyperaeration", "vascular_redistribution"),
]
CHEXPERT = [f"finding{number}__chx" for number in range(14)]
SHEET = [
    *("dicom_id", "path", "study_id", "patient_id", "stay_id", "gender", "anchor_age"),
    *("image_top_pad", "image_bottom_pad", "image_left_pad", "image_right_pad"),
    *DIAGNOSES,
    *("normal_reports", "Normal", "CHF", "pneumonia"),
    *FINDINGS,
    *CHEXPERT,
    "cxr_exam_indication",
]
GAZE = [
    *(
        "SESSION_ID",
        "MEDIA_ID",
        "DICOM_ID",
        "CNT",
        "Time (in secs)",
        "TIMETICK(f=10000000)",
        "FPOGX",
        "FPOGY",
    ),
    *("FPOGS", "FPOGD", "FPOGID", "FPOGV", "BPOGX", "BPOGY", "BPOGV", "LPCX", "LPCY", "LPD", "LPS", "LPV"),
    *("RPCX", "RPCY", "RPD", "RPS", "RPV", "BKID", "BKDUR", "BKPMIN", "LPMM", "LPMMV", "RPMM", "RPMMV"),
    *("SACCADE_MAG", "SACCADE_DIR", "VID_FRAME", "X_ORIGINAL", "Y_ORIGINAL"),
]


def dicom_id(number: int) -> str:
    return f"00000000-aaaaaaaa-00000000-00000000-{number:08d}"


def path_of(number: int) -> str:
    return f"files/p99/p9900000{number}/s9900000{number}/{dicom_id(number)}.dcm"


def sheet_row(number: int, flags: tuple[str, str, str], pads: str = "85,86,448,448") -> str:
    """One row of the master sheet; its last cell spans two lines and names somebody."""
    start = f"{dicom_id(number)},{path_of(number)},9900000{number},9900000{number},39000001,F,20 - 30,{pads}"
    blanks = "," * len(DIAGNOSES)
    rest = ",".join("0" for _ in FINDINGS + CHEXPERT)
    return f'{start}{blanks},1,{",".join(flags)},{rest},"INVSECRET\r\nand a second line"'


def gaze_row(name: str, seconds: str, x: str, y: str, valid: str = "1") -> str:
    cells = {"DICOM_ID": name, "FPOGD": seconds, "FPOGV": valid, "X_ORIGINAL": x, "Y_ORIGINAL": y}
    return ",".join(cells.get(column, "0") for column in GAZE)


def build(root: Path) -> dict[str, Any]:
    """A normal film and one of heart failure; gaze on both, beside one, and on a calibration screen."""
    for number in (1, 2):
        film(root / IMAGES / path_of(number), number, (240, 200))
    rows = [sheet_row(1, ("1", "0", "0")), sheet_row(2, ("0", "1", "0"))]
    text(root / TABLES / "master_sheet.csv", [",".join(SHEET), *rows], "\r\n")
    gaze = [
        gaze_row(dicom_id(1), "0.35", "120", "100"),
        gaze_row(dicom_id(1), "0.2", "-1", "-1"),
        gaze_row(dicom_id(1)[:-5], "0.2", "5", "5"),
        gaze_row(dicom_id(2), "0.5", "60", "50"),
        gaze_row(dicom_id(2), "0.25", "180", "150"),
        gaze_row(dicom_id(2), "9", "10", "10", valid="0"),
    ]
    text(root / TABLES / "fixations.csv", [",".join(GAZE), *gaze], "\r\n")
    return {}
