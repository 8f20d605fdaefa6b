"""COVID-QU-Ex as unpacked: a folder inside a folder of its name, blanks and brackets in names."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import mask, picture

PART = "Infection Segmentation Data/Infection Segmentation Data"


def build(root: Path) -> dict[str, Any]:
    """One film of each class in each split; masks of infections are black but for COVID-19."""
    names = {"COVID-19": "covid_1.png", "Non-COVID": "non_COVID (1).png", "Normal": "Normal (1).png"}
    for number, (split, told) in enumerate(
        (split, told) for split in ("Train", "Val", "Test") for told in names
    ):
        place = root / PART / split / told
        picture(place / "images" / names[told], (24, 20), number)
        mask(place / "infection masks" / names[told], (2, 4, 12, 14) if told == "COVID-19" else None)
        mask(place / "lung masks" / names[told], (0, 0, 20, 20))
    return {}
