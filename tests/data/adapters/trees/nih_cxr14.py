"""ChestX-ray14 as published: commas in headers that nobody quoted, nameless last columns, `Infiltrate`."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture, text

ENTRIES = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def build(root: Path) -> dict[str, Any]:
    """Four films of three patients in two folders of images; two have boxes, one a finding without a box."""
    for number, place in enumerate(
        (
            "images_001/images/99000001_000.png",
            "images_001/images/99000002_000.png",
            "images_002/images/99000002_001.PNG",
            "images_002/images/99000003_000.png",
        )
    ):
        picture(root / place, (64, 64), number)
    text(
        root / "Data_Entry_2017_v2020.csv",
        [
            ENTRIES,
            "99000001_000.png,Infiltration|Effusion,0,99000001,50,F,PA,2048,2500,0.14,0.14,",
            "99000002_000.png,No Finding,0,99000002,414,M,PA,2048,2500,0.14,0.14,",
            "99000002_001.png,Hernia,1,99000002,60,M,AP,2048,2500,0.14,0.14,",
            "99000003_000.png,Mass,0,99000003,60,M,PA,2048,2500,0.14,0.14,",
        ],
        "\r\n",
    )
    text(
        root / "BBox_List_2017.csv",
        [
            "Image Index,Finding Label,Bbox [x,y,w,h],,,",
            "99000001_000.png,Infiltrate,256.0,512.0,128.0,64.0,,,",
            "99000001_000.png,Effusion,0.5,0.5,63.0,63.0,,,",
            "99000003_000.png,Mass,512.5,512.5,255.0,255.0",
        ],
    )
    text(root / "train_val_list.txt", ["99000002_000.png", "99000002_001.png"])
    (root / "test_list.txt").write_text("99000001_000.png\n99000003_000.png")  # no line break at the end
    return {}
