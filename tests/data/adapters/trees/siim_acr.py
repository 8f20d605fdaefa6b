"""The SIIM-ACR challenge of 2019: a column with a leading space, gaps and lengths, a film without a row."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import film, text


def build(root: Path) -> dict[str, Any]:
    """A film with two masks, one without pneumothorax, one that nobody labelled."""
    for number in (1, 2, 3):
        film(
            root / "dicom-images-train" / f"inv.{number}.0" / f"inv.{number}.1" / f"inv.{number}.dcm", number
        )
    text(
        root / "train-rle.csv",
        [
            "ImageId, EncodedPixels",
            "inv.1,1025 3 1021 3",  # rows 1 to 3 of columns 1 and 2
            "inv.1,524800 512",  # the lower half of column 512
            "inv.2, -1",
        ],
    )
    return {}
