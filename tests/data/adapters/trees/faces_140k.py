"""140k faces: real is 1, the first column of the tables has no name, the folder of images is nested twice."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture, text

HEADER = ",original_path,id,label,label_str,path"


def build(root: Path) -> dict[str, Any]:
    """One real and one fake face per split."""
    for number, split in enumerate(("train", "valid", "test")):
        rows = [HEADER]
        faces = ((1, "real", f"0990{number}"), (0, "fake", f"INV{number}"))
        for row, (label, word, name) in enumerate(faces):
            listed = f"{split}/{word}/{name}.jpg"
            rows.append(f"{row},/kaggle/input/{word}/{name}.jpg,{name},{label},{word},{listed}")
            picture(root / "real_vs_fake" / "real-vs-fake" / listed, (32, 32), 2 * number + row)
        text(root / f"{split}.csv", rows)
    return {}
