"""Faces as in the CYBORG release: `Data/`, `csvs/`, heat maps of the training faces."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture, text


def build(root: Path) -> dict[str, Any]:
    """The tree of `cyborg` for the settings by default."""
    cyborg(root)
    return {}


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
