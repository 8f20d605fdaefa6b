"""labelme: shapes, circles, and masks packed in text."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.marks.exports import (
    drawn,
    marked,
    rectangle,
    save,
)


def labelme_file(kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    shape = {"label": "x", "shape_type": kind, "points": points, "flags": {}, **more}
    about = {"version": "5.0.1", "imagePath": "..\\images\\a.png", "imageData": None}
    return {**about, "imageWidth": 20, "imageHeight": 10, "shapes": [shape]}


def png(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_labelme_shapes(tmp_path: Path) -> None:
    whole = np.ones((6, 4), bool)
    for told, expected in (
        (labelme_file("rectangle", [[9, 8], [5, 2]]), rectangle(5, 2, 9, 8)),
        (labelme_file("polygon", [[5, 2], [8, 2], [8, 7], [5, 7]]), rectangle(5, 2, 9, 8)),
        (labelme_file("mask", [[5, 2], [8, 7]], mask=png(whole)), rectangle(5, 2, 9, 8)),
    ):
        save(tmp_path / "labels" / "a.json", told)
        sample = marked(tmp_path, {"kind": "labelme", "file": "labels/*.json"})["a.png"]
        assert np.array_equal(drawn(sample), expected), told


def test_labelme_circle(tmp_path: Path) -> None:
    save(tmp_path / "labels" / "a.json", labelme_file("circle", [[10, 5], [13, 5]]))
    human_map = drawn(marked(tmp_path, {"kind": "labelme", "file": "labels/*.json"})["a.png"])
    assert human_map.sum() == pytest.approx(np.pi * 9, rel=0.35)  # edges count
    assert human_map[5, 8:13].all()
    assert human_map[:, :6].sum() == 0


@pytest.mark.parametrize(
    "mask", ["no base64!", png(np.ones((50, 50), bool)), base64.b64encode(b"GIF89a").decode()]
)
def test_broken_masks_of_labelme(tmp_path: Path, mask: str) -> None:
    save(tmp_path / "labels" / "a.json", labelme_file("mask", [[5, 2], [8, 7]], mask=mask))
    problem = marked(tmp_path, {"kind": "labelme", "file": "labels/*.json"})["a.png"].problem
    assert problem is not None
    assert problem.code == "E_SHAPE"
