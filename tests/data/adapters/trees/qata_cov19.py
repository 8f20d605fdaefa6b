"""QaTa-COV19-v2: masks are called `mask_` and the name of their image."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import mask, picture


def build(root: Path) -> dict[str, Any]:
    """Two training films, one of which nobody marked, and a test film."""
    boxes = {"Train Set/{}sub-S099_run-1.png": (2, 4, 12, 14), "Train Set/{}covid_2.png": None,
             "Test Set/{}covid_1.png": (0, 0, 5, 5)}  # fmt: skip
    for number, (name, box) in enumerate(boxes.items()):
        picture(root / name.format("Images/"), (24, 20), number)
        mask(root / name.format("Ground-truths/mask_"), box)
    return {}
