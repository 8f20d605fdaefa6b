"""The least that `image_table` reads: a table of two images."""

from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture, text


def build(root: Path) -> dict[str, Any]:
    """One image of each label."""
    for seed, name in enumerate(("99001.png", "99002.png")):
        picture(root / name, seed=seed)
    text(root / "list.csv", ["file,answer", "99001.png,a", "99002.png,b"])
    return {
        "collection": "inv",
        "modality": "face",
        "table": "list.csv",
        "labels": {"a": 1, "b": 0},
        "columns": {"image": "file", "label": "answer"},
        "constants": {"source": "here"},
    }
