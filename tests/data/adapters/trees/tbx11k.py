"""TBX11K: COCO lists whose names start below `imgs`."""

import json
from pathlib import Path
from typing import Any

from tests.data.adapters.trees import picture

CATEGORIES = ("ActiveTuberculosis", "ObsoletePulmonaryTuberculosis", "PulmonaryTuberculosis")


def build(root: Path) -> dict[str, Any]:
    """Training: tuberculosis of two kinds, one without a box, a sick film; validation: a healthy one."""
    names = ["tb/tb0001.png", "tb/tb1199.png", "sick/s0001.png"]
    boxes = [(1, 1, [2.0, 4.0, 10.0, 10.0]), (1, 2, [20, 0, 4, 4])]
    write(root, "train", names, boxes)
    write(root, "val", ["health/h0001.png"], [])
    return {}


def write(root: Path, part: str, names: list[str], boxes: list[tuple[int, int, list[float]]]) -> None:
    for number, name in enumerate(names):
        picture(root / "imgs" / name, (24, 20), number + len(part))
    content = {
        "images": [
            {"id": number, "file_name": name, "width": 24, "height": 20}
            for number, name in enumerate(names, start=1)
        ],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0}
            for number, (image, category, bbox) in enumerate(boxes, start=1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, start=1)],
    }
    path = root / "annotations" / "json" / f"TBX11K_{part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
