"""The RSNA challenge: what is abnormal is a setting, patients come from the mapping alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.adapters.rsna_pneumonia import read
from tests.data.adapters.trees import draw, edit, facts, refused
from tests.data.adapters.trees.rsna_pneumonia import MAPPING, build

LABELS, CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


def test_golden(root: Path) -> None:
    assert facts(read(root, mapping=MAPPING)) == [
        ("inv-0001", 1, "lung_opacity", "nih:99000001", "nih:99000001_000", "", 1),
        ("inv-0002", 0, "normal", "nih:99000002", "nih:99000002_000", "", 0),
        ("inv-0003", 0, "no_lung_opacity_not_normal", "nih:99000002", "nih:99000002_000", "", 0),
    ]


def test_the_middle_class_is_abnormal_if_wanted(root: Path) -> None:
    assert [sample.label for sample in read(root, abnormal="not_normal")] == [1, 0, 1]


def test_without_the_mapping_nobody_is_known(root: Path) -> None:
    assert {(s.subject_id, s.group_id) for s in read(root)} == {
        ("", f"rsna:inv-000{number}") for number in (1, 2, 3)
    }


def test_the_map_is_the_union_of_the_boxes(root: Path) -> None:
    expected = np.zeros((20, 24))
    expected[4:12, 2:8] = expected[4:12, 12:18] = 1
    np.testing.assert_array_equal(draw(read(root)[0], 24, 20), expected)


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / "stage_2_train_images/inv-0001.dcm").unlink(), "E_IMAGE_MISSING"),
    "escape": (lambda root: [edit(root / name, "inv-0002", "../inv-0002") for name in (LABELS, CLASSES)]
               and edit(root / MAPPING, "inv-0002", "../inv-0002"), "E_PATH_ESCAPE"),
    "target": (lambda root: edit(root / LABELS, "inv-0002,,,,,0", "inv-0002,,,,,2"), "E_LABEL"),
    "class": (lambda root: edit(root / CLASSES, "inv-0002,Normal", "inv-0002,Healthy"), "E_LABEL_ALIAS"),
    "two classes": (lambda root: edit(root / CLASSES, "inv-0002,Normal", "inv-0002,Normal\ninv-0003,Normal"),
                    "E_LABEL_RULE"),
    "target against class": (lambda root: edit(root / LABELS, "inv-0003,,,,,0", "inv-0003,1,1,2,2,1"),
                             "E_LABEL_RULE"),
    "no box": (lambda root: edit(root / LABELS, "12.0,4.0,6.0,8.0,1", ",,,,1"), "E_LABEL_RULE"),
    "no class": (lambda root: edit(root / CLASSES, "inv-0002,Normal\n", ""), "E_JOIN"),
    "not in the mapping": (lambda root: edit(root / MAPPING, "inv-0003", "inv-0009"), "E_JOIN"),
    "another mapping": (lambda root: (root / MAPPING).write_text("{}"), "E_JOIN"),
    "no JSON": (lambda root: (root / MAPPING).write_text("[{"), "E_ROW_SHAPE"),
    "no mapping": (lambda root: (root / MAPPING).unlink(), "E_LAYOUT"),
    "column": (lambda root: edit(root / LABELS, "Target", "target"), "E_HEADER"),
    "no table": (lambda root: (root / CLASSES).unlink(), "E_LAYOUT"),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(root: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    change(root)
    assert refused(lambda: read(root, mapping=MAPPING)) == {code}


def test_a_broken_box_sets_its_image_aside(root: Path) -> None:
    edit(root / LABELS, "2.0,4.0,6.0,8.0", "2.0,4.0,six,8.0")
    assert [s.problem.code for s in read(root) if s.problem] == ["E_BOX"]
