"""CheXlocalize: `valid/` in the table and `val/` on disk, sizes as [h, w], another word for one finding."""

import json
from pathlib import Path
from typing import Any

from pipeline.data.adapters.chexlocalize import FINDINGS
from tests.data.adapters.trees import picture, text

COLUMNS = ["No Finding", *FINDINGS, "Support Devices"]


def answers(**told: str) -> str:
    """One row's answers, 0.0 where nothing else is told; words joined by _ name the finding."""
    given = {name.replace("_", " "): answer for name, answer in told.items()}
    return ",".join(given.get(name, "0.0") for name in COLUMNS)


def build(root: Path) -> dict[str, Any]:
    """Validation: a large heart, an uncertain film, a lateral one; test: an opacity, a normal film."""
    val, test = "CheXpert-v1.0/valid/patient", "test/patient"
    for number, name in enumerate(
        (
            "val/patient99001/study1/view1_frontal",
            "val/patient99002/study1/view1_frontal",
            "val/patient99002/study1/view2_lateral",
            "test/patient99003/study1/view1_frontal",
            "test/patient99004/study2/view1_frontal",
        )
    ):
        picture(root / "CheXpert" / f"{name}.jpg", (24, 20), number)
    text(
        root / "CheXpert/val_labels.csv",
        [
            ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *COLUMNS]),
            f"{val}99001/study1/view1_frontal.jpg,Male,50,Frontal,AP,{answers(Cardiomegaly='1.0')}",
            f"{val}99002/study1/view1_frontal.jpg,Female,60,Frontal,PA,{answers(Edema='-1.0')}",
            f"{val}99002/study1/view2_lateral.jpg,Female,60,Lateral,,{answers(Edema='1.0')}",
        ],
    )
    text(
        root / "CheXpert/test_labels.csv",
        [
            ",".join(["Path", *COLUMNS]),
            f"{test}99003/study1/view1_frontal.jpg,{answers(Lung_Opacity='1.0', Support_Devices='1.0')}",
            f"{test}99004/study2/view1_frontal.jpg,{answers(No_Finding='1.0', Edema='')}",
        ],
    )
    heart, opacity = "patient99001_study1_view1_frontal", "patient99003_study1_view1_frontal"
    square = [[2, 4], [11, 4], [11, 13], [2, 13]]
    write(root, "annotations_val", {heart: {"img_size": [20, 24], "Cardiomegaly": [square]}})
    marks = {
        "img_size": [20, 24],
        "Airspace Opacity": [square],
        "Support Devices": [[[0, 0], [1, 0], [1, 1]]],
    }
    write(root, "annotations_test", {opacity: marks})
    # 42 not marked, 3 marked, 17 not marked, 3 marked: rows 2 to 4 of columns 2 and 3
    runs = {"size": [20, 24], "counts": "Z13a00"}
    write(root, "segmentations_val", {heart: {"Cardiomegaly": runs}})
    write(root, "segmentations_test", {opacity: {"Airspace Opacity": runs}})
    return {}


def write(root: Path, name: str, content: Any) -> None:
    path = root / "CheXlocalize" / f"gt_{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
