"""VISER: the fold that leaves prints out, and the test list of another fold, which tells its attack."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture, text

TRAIN = [
    "Train,Live,/img/99001L_1.png",
    "Train,Spoof,/img/99002L_1.png",
    "Train,Spoof,/img/99005R_1.png",
    "Test,Live,/img/99003R_1.png",
]
TESTS = {
    "Printout": ["/img/99004L_1.png,Spoof", "/img/99006R_1.png,Live"],
    "Post_Mortem": ["/img/99002L_1.png,Spoof", "/img/99006R_1.png,Live"],
}
MAPS = "Saliency_Files/Eye_Tracking/All_Phases/Blended"


def build(root: Path) -> dict[str, Any]:
    """Six small irises, one of them with a map."""
    text(root / "CSVs" / "Train" / "Printout_Left_Out_Train.csv", TRAIN)
    for word, lines in TESTS.items():
        text(root / "CSVs" / "Test" / f"{word}_Left_Out_Test.csv", ["Image_Location,Class", *lines])
    for number, name in enumerate(("99001L", "99002L", "99003R", "99004L", "99005R", "99006R")):
        picture(root / "img" / f"{name}_1.png", (64, 48), number)
    picture(root / MAPS / "99002L_1_blended.png", (64, 48))
    return {"left_out": "print", "size": [64, 48]}
