"""VinDr-CXR: several readers vote, agree in shares, and come in two published trees."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.data.adapters.vindr_cxr import read
from tests.data.adapters.trees import draw, edit, facts, refused
from tests.data.adapters.trees.vindr_cxr import build, build_kaggle

LABELS, BOXES = "annotations/image_labels_train.csv", "annotations/annotations_train.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


def test_golden(root: Path) -> None:
    assert facts(read(root)) == [
        ("inv-a", 1, "cardiomegaly", "", "vindr:inv-a", "train", 3),
        ("inv-b", 0, "disputed", "", "vindr:inv-b", "train", 0),
        ("inv-c", 1, "other_disease", "", "vindr:inv-c", "test", 1),  # a consensus, without a box
    ]
    assert [sample.is_marked for sample in read(root)] == [True, False, False]


def test_kaggle(tmp_path: Path) -> None:
    build_kaggle(tmp_path)
    assert facts(read(tmp_path, layout="kaggle")) == [
        ("inv-a", 1, "cardiomegaly", "", "vindr:inv-a", "train", 3),
        ("inv-b", 0, "disputed", "", "vindr:inv-b", "train", 0),
    ]
    one = draw(read(tmp_path, layout="kaggle", findings=["Cardiomegaly"])[0], 24, 20)
    build(tmp_path / "other")
    np.testing.assert_array_equal(one, draw(read(tmp_path / "other", findings=["Cardiomegaly"])[0], 24, 20))


def test_the_map_is_the_share_of_readers(root: Path) -> None:
    expected = np.zeros((20, 24))
    expected[4:14, 2:12] += 1 / 3
    expected[8:18, 6:16] += 1 / 3
    expected[0:4, 20:24] += 1 / 3
    np.testing.assert_allclose(draw(read(root)[0], 24, 20), expected, atol=1e-6)
    assert expected.max() == 2 / 3


@pytest.mark.parametrize(
    ("agreement", "labels"), [("any", [1, 1, 1]), ("majority", [1, 0, 1]), ("all", [0, 0, 1])]
)
def test_how_many_readers_must_agree(root: Path, agreement: str, labels: list[int]) -> None:
    assert [sample.label for sample in read(root, agreement=agreement)] == labels


def test_only_chosen_findings_count(root: Path) -> None:
    nodule, _, _ = read(root, findings=["nodule/mass"], agreement="any")
    expected = np.zeros((20, 24))
    expected[0:4, 20:24] = 1 / 3
    np.testing.assert_allclose(draw(nodule, 24, 20), expected, atol=1e-6)
    first, second, third = read(root, findings=["Pneumonia"], sets=["train", "test"])
    assert [(s.label, s.class_name) for s in (first, second, third)] == [
        (0, "cardiomegaly"),
        (0, "disputed"),
        (0, "other_disease"),
    ]
    with pytest.raises(UserError, match="findings: 'Mass' is not known"):
        read(root, findings=["Mass"])


def test_one_set_alone(root: Path) -> None:
    assert [sample.native_id for sample in read(root, sets=["test"])] == ["inv-c"]


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / "train/inv-a.dicom").unlink(), "E_IMAGE_MISSING"),
    "escape": (lambda root: [edit(root / name, "inv-b", "../inv-b") for name in (LABELS, BOXES)],
               "E_PATH_ESCAPE"),
    "vote": (lambda root: edit(root / LABELS, "inv-a,R1,1,", "inv-a,R1,2,"), "E_LABEL"),
    "finding": (lambda root: edit(root / LABELS, "Nodule/Mass", "Nodules"), "E_LABEL_ALIAS"),
    "box": (lambda root: edit(root / BOXES, "Nodule/Mass", "Nodules"), "E_LABEL_ALIAS"),
    "reader": (lambda root: edit(root / BOXES, "inv-a,R1", "inv-a,R7"), "E_JOIN"),
    "image": (lambda root: edit(root / BOXES, "inv-a,R1", "inv-z,R1"), "E_JOIN"),
    "column": (lambda root: edit(root / BOXES, "x_min", "xmin"), "E_HEADER"),
    "cells": (lambda root: edit(root / BOXES, "20,0,24,4", "20,0,24"), "E_ROW_SHAPE"),
    "no boxes": (lambda root: (root / BOXES).unlink(), "E_LAYOUT"),
    "no labels": (lambda root: (root / LABELS).unlink(), "E_LAYOUT"),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(root: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    change(root)
    assert refused(lambda: read(root)) == {code}


def test_a_broken_box_sets_its_image_aside(root: Path) -> None:
    edit(root / BOXES, "2,4,12,14", "2,,12,14")
    assert [s.problem.code for s in read(root) if s.problem] == ["E_BOX"]
