"""Irises in folders of their sources, listed without a header."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture, text


def build(root: Path) -> dict[str, Any]:
    """The tree of `cvrl` for the settings by default."""
    cvrl(root)
    return {}


def cvrl(root: Path, **how: Any) -> Path:
    """Two live and two attack images in folders of their sources; one has a map."""
    for source, stem in (("live_a", "99001L_1"), ("print", "99002R_1"), ("doll", "99003_1")):
        picture(root / "images" / source / f"{stem}.png", (640, 480))
    picture(root / "99004.bmp", (640, 480))
    picture(root / "heatmaps" / "99002R_1.png", (640, 480))
    lines = [
        "train,Live,/images/live_a/99001L_1.png",
        "train,Spoof,images/print/99002R_1.png",
        "TEST,attack,images/doll/99003_1.png",
        "test,live,99004.bmp",
    ]
    text(root / "list.csv", lines, **how)
    return root
