"""Small invented data sets in the published layouts; ids start with 99 or `inv`."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.common.errors import UserError
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


def picture(path: Path, size: tuple[int, int] = (64, 48), seed: int = 0) -> Path:
    """A small grey picture, or a colour one for JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(pixels).convert("RGB" if path.suffix == ".jpg" else "L").save(path)
    return path


def text(path: Path, lines: list[str], end: str = "\n", start: str = "") -> Path:
    """A text file; `end` closes each line, `start` may be a byte order mark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((start + "".join(line + end for line in lines)).encode())
    return path


def edit(path: Path, old: str, new: str) -> None:
    """Change a text file that must hold `old`."""
    content = path.read_bytes().decode()
    assert old in content
    path.write_bytes(content.replace(old, new).encode())


def codes(error: UserError) -> set[str]:
    """The codes of all problems."""
    return {line.split()[0] for line in error.problems}


def cvrl(root: Path, **how: Any) -> Path:
    """Two live and two attack images in folders of their sources; one has a map."""
    for source, stem in (("live_a", "99001L_1"), ("print", "99002R_1"), ("doll", "99003_1")):
        picture(root / "images" / source / f"{stem}.png", (640, 480))
    picture(root / "99004.bmp", (640, 480))
    picture(root / "heatmaps" / "99002R_1.png", (640, 480))
    lines = [
        "train,Live,/images/live_a/99001L_1.png",
        "train,Spoof,images/print/99002R_1.png",
        "TEST,attack,images/doll/99003_1.png",
        "test,live,99004.bmp",
    ]
    text(root / "list.csv", lines, **how)
    return root


def cyborg(root: Path, **how: Any) -> Path:
    """One real and one fake training face with heat maps, validation and test faces."""
    listed = {
        "/train/original_data/0_real/p1_1_real.png": "train,Real",
        "/train/original_data/1_fake/p1_1_fake.png": "train,Synthetic",
        "/val/1_fake/synth_face_0001.jpg": "test,Synthetic",
        "/val/0_real/99001d12.jpg": "test,real",
        "/val/1_fake/MW1_99002d3.png": "test,Synthetic",
    }
    for number, path in enumerate(listed):
        picture(root / "Data" / path[1:], (224, 224), number)
    for stem in ("p1_1_real", "p1_1_fake"):
        picture(root / "Data" / "train" / "heatmaps" / f"{stem}.png", (224, 224))
    text(root / "csvs" / "original.csv", [f"{words},{path}" for path, words in listed.items()], **how)
    for name in ("progan", "stylegan-ada"):
        path = f"/test/1_fake/{name}_aligned/inv_{name}.png"
        picture(root / "Data" / path[1:], (224, 224), len(name))
        text(root / "csvs" / "gan_test_sets" / f"{name}.csv", [f"test,Synthetic,{path}"], **how)
    return root


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
