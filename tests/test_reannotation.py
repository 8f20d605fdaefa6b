"""What an import says of the maps that it changes, on a tiny prepared data set."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline.common.errors import UserError
from pipeline.data.preparation import prepare_store
from pipeline.data.problems import Finding
from pipeline.data.reannotation import compare_maps
from tests.data.test_preparation import draw, mark, params


def compare(*boxes: list[float]) -> tuple[pd.DataFrame, list[Finding]]:
    """Draw 16 pictures, mark the first one, prepare them, and mark it anew by boxes in COCO's form."""
    for number in range(16):
        draw(Path(f"raw/{number % 2}/{number:02}.png"))
    mark(Path("raw/maps/0/00.png"), 12)
    settings = params({})
    prepare_store(Path("prepared/tiny"), "tiny", settings.datasets["tiny"], settings.prepare, workers=1)
    told = {
        "images": [
            {"id": 1, "file_name": "0/00.png", "width": 24, "height": 24},
            {"id": 2, "file_name": "gone.png", "width": 24, "height": 24},
        ],
        "annotations": [{"image_id": 1, "bbox": box} for box in boxes]
        + [{"image_id": 2, "bbox": [1, 1, 9, 9]}],
    }
    Path("new.json").write_text(json.dumps(told))
    dataset = settings.datasets["tiny"]
    return compare_maps(Path("prepared/tiny"), dataset, settings.prepare, "coco", Path("new.json"))


def test_old_and_new_maps_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table, noticed = compare([0, 0, 12, 24])  # twice the square that was marked before
    (row,) = table.to_dict("records")
    assert row == {
        "sample_id": "image_table:tiny:0:00",
        "annotators_before": 1,
        "annotators_after": 1,
        "iou": pytest.approx(0.5),
    }
    assert [(found.code, found.where) for found in noticed] == [
        ("W_MAP_UNUSED", "new.json image 2: gone.png")
    ]


def test_marks_that_cannot_be_drawn_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^E_BOX 00\.png annotation: 30, 0, 40, 9: expected x0 < x1"):
        compare([30, 0, 10, 9])
