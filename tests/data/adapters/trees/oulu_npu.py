"""OULU-NPU: three lists, a space in a label, one video with eyes, one as frames, one with hyphens."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture, text
from tests.data.videos import film, pictures

LISTS = {
    "Train": ["+ 1,1_1_01_1", "-1,1_1_01_2"],
    "Dev": ["+1, 2_2_21_1", "-1,2_2_21_3"],
    "Test": ["+1,1_3_36_1", "-2,1_3_36_4"],
}


def build(root: Path) -> dict[str, Any]:
    """Videos of ten frames; 1_3_36_4 is a folder of three pictures, 2_2_21_1 has a hyphenated name."""
    for number, (name, lines) in enumerate(LISTS.items()):
        text(root / "Protocols" / "Protocol_1" / f"{name}.txt", lines, end="\r\n")
        for line in lines:
            stem = line.split(",")[1].strip()
            if stem == "1_3_36_4":
                for frame in (0, 1, 10):
                    picture(root / "Test_files" / stem / f"frame_{frame}.png", (32, 24), frame)
            else:
                shown = stem.replace("_", "-") if stem == "2_2_21_1" else stem
                film(root / f"{name}_files" / f"{shown}.avi", pictures(10, 10 * number + int(stem[-1])))
    eyes = [f"{frame},{8 + frame},8,{16 + frame},8" for frame in range(9)]
    text(root / "Train_files" / "1_1_01_1.txt", [*eyes, "9,0,0,0,0"])
    return {"frames": 2}
