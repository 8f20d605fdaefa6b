"""VinDr-CXR as on PhysioNet (`build`) and as on Kaggle (`build_kaggle`)."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import film, text

HEADER = "image_id,rad_id,Cardiomegaly,Nodule/Mass,Pneumonia,{},No finding"
CORNERS = "x_min,y_min,x_max,y_max"


def build(root: Path) -> dict[str, Any]:
    """A film where two of three readers see a large heart, one where one sees pneumonia; a consensus."""
    for number, name in enumerate(("train/inv-a", "train/inv-b", "test/inv-c")):
        film(root / f"{name}.dicom", number)
    text(
        root / "annotations/image_labels_train.csv",
        [
            HEADER.format("Other diseases"),
            "inv-a,R1,1,0,0,0,0",
            "inv-a,R3,1,1,0,0,0",
            "inv-a,R2,0,0,0,0,1",
            "inv-b,R1,0,0,0,0,1",
            "inv-b,R2,0,0,0,0,1",
            "inv-b,R3,0,0,1,0,0",
        ],
    )
    text(
        root / "annotations/annotations_train.csv",
        [
            f"image_id,rad_id,class_name,{CORNERS}",
            "inv-a,R1,Cardiomegaly,2,4,12,14",
            "inv-a,R3,Cardiomegaly,6,8,16,18",
            "inv-a,R3,Nodule/Mass,20,0,24,4",
            "inv-b,R1,No finding,,,,",
        ],
    )
    consensus = HEADER.format("Other disease").replace("rad_id,", "")
    text(root / "annotations/image_labels_test.csv", [consensus, "inv-c,0,0,0,1,0"])
    text(root / "annotations/annotations_test.csv", [f"image_id,class_name,{CORNERS}"])
    return {}


def build_kaggle(root: Path) -> dict[str, Any]:
    """The same training films in one table."""
    for number, name in enumerate(("inv-a", "inv-b")):
        film(root / "train" / f"{name}.dicom", number)
    text(
        root / "train.csv",
        [
            f"image_id,class_name,class_id,rad_id,{CORNERS}",
            "inv-a,Cardiomegaly,3,R1,2,4,12,14",
            "inv-a,No finding,14,R2,,,,",
            "inv-a,Cardiomegaly,3,R3,6,8,16,18",
            "inv-b,No finding,14,R1,,,,",
            "inv-b,No finding,14,R2,,,,",
            "inv-b,Pneumothorax,12,R3,0,0,4,4",
        ],
    )
    return {"layout": "kaggle"}
