"""TBX11K: the folder is the class, COCO boxes are the map, tuberculosis without a box is left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.adapters.tbx11k import read
from tests.data.adapters.trees import draw, edit, facts, left_out, refused
from tests.data.adapters.trees.tbx11k import build

TRAIN = "annotations/json/TBX11K_train.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


def change(root: Path, part: str, number: int, **values: Any) -> None:
    """Change one entry of the training list."""
    content = json.loads((root / TRAIN).read_text())
    content[part][number] |= values
    (root / TRAIN).write_text(json.dumps(content))


def test_golden(root: Path) -> None:
    samples = read(root)
    assert facts(samples) == [
        ("tb:tb0001", 1, "active_tb_and_latent_tb", "", "", "train", 1),
        ("sick:s0001", 0, "sick_without_tb", "", "", "train", 0),
        ("health:h0001", 0, "normal", "", "", "val", 0),
    ]
    assert left_out(samples) == {"W_UNLABELLED": "image in the folder tb without a box, left out"}


def test_the_map_is_the_union_of_the_boxes(root: Path) -> None:
    expected = np.zeros((20, 24))
    expected[4:14, 2:12] = expected[0:4, 20:24] = 1
    np.testing.assert_array_equal(draw(read(root)[0], 24, 20), expected)


def test_negatives_and_sets(root: Path) -> None:
    assert [s.native_id for s in read(root, negatives=["health"])] == ["tb:tb0001", "health:h0001"]
    assert [s.native_id for s in read(root, sets=["val"])] == ["health:h0001"]


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / "imgs/sick/s0001.png").unlink(), "E_IMAGE_MISSING"),
    "escape": (lambda root: change(root, "images", 2, file_name="sick/../sick/s0001.png"), "E_PATH_ESCAPE"),
    "folder": (lambda root: (root / "imgs/sick").rename(root / "imgs/ill")
               and change(root, "images", 2, file_name="ill/s0001.png"), "E_LABEL_ALIAS"),
    "category": (lambda root: edit(root / TRAIN, "ActiveTuberculosis", "Active"), "E_LABEL_ALIAS"),
    "unknown category": (lambda root: change(root, "annotations", 0, category_id=9), "E_LABEL_ALIAS"),
    "unknown image": (lambda root: change(root, "annotations", 0, image_id=9), "E_JOIN"),
    "no id": (lambda root: change(root, "images", 0, id="one"), "E_ROW_SHAPE"),
    "no COCO": (lambda root: (root / TRAIN).write_text("[]"), "E_ROW_SHAPE"),
    "no JSON": (lambda root: (root / TRAIN).write_text("["), "E_ROW_SHAPE"),
    "no text": (lambda root: (root / TRAIN).write_bytes(b"\xff"), "E_ENCODING"),
    "no list": (lambda root: (root / TRAIN).unlink(), "E_LAYOUT"),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(root: Path, mutation: str) -> None:
    mutate, code = MUTATIONS[mutation]
    mutate(root)
    assert refused(lambda: read(root)) == {code}


@pytest.mark.parametrize("bbox", [["a", 1, 2, 3], [1, 2, 3], None, [[1], 2, 3, 4]])
def test_a_broken_box_sets_its_image_aside(root: Path, bbox: Any) -> None:
    change(root, "annotations", 0, bbox=bbox)
    assert [s.problem.code for s in read(root) if s.problem] == ["E_BOX"]


def test_a_box_on_a_film_without_tuberculosis_sets_it_aside(root: Path) -> None:
    change(root, "annotations", 1, image_id=3)
    assert [s.problem.code for s in read(root) if s.problem] == ["E_LABEL_CONFLICT"]
