"""COCO: boxes, outlines, both kinds of run lengths, and files that are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as cocomask

from pipeline.data.problems import UnusableImage
from tests.data.marks.exports import (
    drawn,
    marked,
    rectangle,
    refused,
    save,
)


def coco_file(*annotated: dict[str, Any]) -> dict[str, Any]:
    images = [
        {"id": n, "file_name": name, "width": 20, "height": 10} for n, name in enumerate(("a.png", "b.png"))
    ]
    return {
        "images": images,
        "annotations": [{"id": n, "category_id": 1, **told} for n, told in enumerate(annotated)],
        "categories": [{"id": 1, "name": "nodule"}, {"id": 2, "name": "pipe"}],
    }


def test_coco_box_polygon_and_both_kinds_of_runs(tmp_path: Path) -> None:
    mask = rectangle(5, 2, 9, 8).astype(np.uint8)
    compressed = cocomask.encode(np.asfortranarray(mask))
    packed = {"size": compressed["size"], "counts": compressed["counts"].decode()}
    listed = {"size": [10, 20], "counts": [52, 6, 4, 6, 4, 6, 4, 6, 112]}
    for told, expected in (
        ({"bbox": [5, 2, 4, 6]}, rectangle(5, 2, 9, 8)),
        ({"segmentation": packed}, rectangle(5, 2, 9, 8)),
        ({"segmentation": listed}, rectangle(5, 2, 9, 8)),
        ({"segmentation": [[5, 2, 8, 2, 8, 7, 5, 7]]}, rectangle(5, 2, 9, 8)),  # edges count, as Pillow draws
    ):
        save(tmp_path / "coco.json", coco_file({"image_id": 0, **told}))
        samples = marked(tmp_path, {"kind": "coco", "file": "coco.json"})
        assert np.array_equal(drawn(samples["a.png"]), expected), told
        assert not samples["b.png"].is_marked


def test_one_file_per_person_is_averaged(tmp_path: Path) -> None:
    save(tmp_path / "readers" / "one.json", coco_file({"image_id": 0, "bbox": [0, 0, 4, 4]}))
    save(tmp_path / "readers" / "two.json", coco_file({"image_id": 0, "bbox": [2, 0, 4, 4]}))
    save(tmp_path / "readers" / "three.json", coco_file())
    sample = marked(tmp_path, {"kind": "coco", "file": "readers/*.json"})["a.png"]
    assert len(sample.annotations) == 3
    assert drawn(sample)[0, :7] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 0])


def test_keep_chooses_labels(tmp_path: Path) -> None:
    pipe = {"image_id": 0, "bbox": [0, 0, 4, 4], "category_id": 2}
    save(tmp_path / "coco.json", coco_file({"image_id": 0, "bbox": [5, 2, 4, 6]}, pipe))
    sample = marked(tmp_path, {"kind": "coco", "file": "coco.json", "keep": ["nodule"]})["a.png"]
    assert np.array_equal(drawn(sample), rectangle(5, 2, 9, 8))
    assert "nodule, pipe" in refused(tmp_path, {"kind": "coco", "file": "coco.json", "keep": ["mass"]})


@pytest.mark.parametrize("text", ["a ", "P", "\x7f"])
def test_broken_compressed_runs_are_refused(tmp_path: Path, text: str) -> None:
    told = {"image_id": 0, "segmentation": {"size": [10, 20], "counts": text}}
    save(tmp_path / "coco.json", coco_file(told))
    problem = marked(tmp_path, {"kind": "coco", "file": "coco.json"})["a.png"].problem
    assert problem is not None
    assert problem.code == "E_RLE"


def test_a_run_length_bomb_draws_nothing(tmp_path: Path) -> None:
    told = {"image_id": 0, "segmentation": {"size": [10, 20], "counts": [0, 10**12]}}
    save(tmp_path / "coco.json", coco_file(told))
    sample = marked(tmp_path, {"kind": "coco", "file": "coco.json"})["a.png"]
    with pytest.raises(UnusableImage, match="E_RLE"):
        drawn(sample)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested"),
        ('{"images": NaN}', "NaN"),
        ({"images": [{"id": 1, "file_name": "a.png", "width": 0, "height": 1}]}, "images.0.width"),
        (coco_file({"image_id": 9, "bbox": [0, 0, 1, 1]}), "[9]"),
        (coco_file({"image_id": 0, "bbox": [0, 0, 1]}), "annotations.0.bbox"),
        (coco_file({"image_id": 0, "segmentation": {"size": [10, 20], "counts": [-1]}}), "counts"),
    ],
)
def test_what_is_not_of_the_tool_is_refused(tmp_path: Path, document: Any, said: str) -> None:
    save(tmp_path / "coco.json", document)
    message = refused(tmp_path, {"kind": "coco", "file": "coco.json"})
    assert message.startswith("E_ANN_FILE coco.json: ")
    assert said in message


def test_paths_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    outside = save(tmp_path / "coco.json", coco_file())
    for pattern in ("../coco.json", str(outside)):
        assert refused(root, {"kind": "coco", "file": pattern}).startswith("E_PATH_ESCAPE")
    (root / "link.json").symlink_to(outside)
    assert refused(root, {"kind": "coco", "file": "link.json"}).startswith("E_PATH_ESCAPE")
    assert refused(root, {"kind": "coco", "file": "none.json"}).startswith("E_LAYOUT")
