"""ChestX-ray14: published quirks of its tables, boxes of another size of image, and one mutation per code."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.data.adapters.nih_cxr14 import read
from pipeline.data.samples import Boxes
from tests.data.adapters.trees import draw, edit, facts, left_out, picture, refused
from tests.data.adapters.trees.nih_cxr14 import build

ENTRIES, BOXES = "Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


def test_golden(root: Path) -> None:
    assert facts(read(root)) == [
        ("99000001_000", 1, "effusion", "nih:99000001", "nih:99000001_000", "test", 1),
        ("99000002_000", 0, "normal", "nih:99000002", "nih:99000002_000", "train", 0),
        ("99000002_001", 1, "hernia", "nih:99000002", "nih:99000002_001", "train", 0),
        ("99000003_000", 1, "mass", "nih:99000003", "nih:99000003_000", "test", 1),
    ]
    assert left_out(read(root)) == {}


def test_boxes_are_in_px_of_the_published_size(root: Path) -> None:
    first, _, _, last = read(root)
    assert isinstance(first.annotations[0], Boxes)
    np.testing.assert_allclose(first.annotations[0].corners, [[256, 512, 384, 576], [0.5, 0.5, 63.5, 63.5]])
    drawn = draw(last, 64, 64)  # on 256 cells of 4 px: floor(512.5) to ceil(767.5), so cells 128 to 191
    assert drawn.shape == (256, 256)
    expected = np.zeros((256, 256))
    expected[128:192, 128:192] = 1
    np.testing.assert_array_equal(drawn, expected)


def test_a_chosen_finding_is_told_from_all_others_and_only_its_boxes_count(root: Path) -> None:
    first, normal, hernia, mass = read(root, findings=["infiltration"])
    assert (first.label, first.class_name) == (1, "infiltration")
    assert isinstance(first.annotations[0], Boxes)
    np.testing.assert_allclose(first.annotations[0].corners, [[256, 512, 384, 576]])
    assert [(s.label, s.class_name) for s in (normal, hernia, mass)] == [
        (0, "normal"),
        (0, "hernia"),
        (0, "mass"),
    ]
    assert mass.annotations == []
    assert mass.problem is None
    with pytest.raises(UserError, match="findings: 'Massa' is not known; did you mean 'Mass'"):
        read(root, findings=["Massa"])


def test_views(root: Path) -> None:
    samples = read(root, views=["PA"])
    assert "99000002_001" not in {sample.native_id for sample in samples}
    assert left_out(samples) == {"W_VIEW": "film in another view, left out"}


def test_absent_images_are_refused_or_counted(root: Path) -> None:
    (root / "images_001/images/99000001_000.png").unlink()
    assert refused(lambda: read(root)) == {"E_IMAGE_MISSING"}
    samples = read(root, missing="skip")
    assert len(samples) == 3
    assert left_out(samples) == {"W_MISSING": "image is absent, left out"}


def test_without_box_list_and_official_split(root: Path) -> None:
    for name in (BOXES, "train_val_list.txt", "test_list.txt"):
        (root / name).unlink()
    samples = read(root, boxes=False, split_lists=False)
    assert all(sample.annotations == [] and sample.native_split == "" for sample in samples)


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / "images_001/images/99000001_000.png").unlink(), "E_IMAGE_MISSING"),
    "escape": (lambda root: edit(root / ENTRIES, "99000001_000.png", "../99000001.png"), "E_PATH_ESCAPE"),
    "finding": (lambda root: edit(root / ENTRIES, "Hernia", "Herniated"), "E_LABEL_ALIAS"),
    "box finding": (lambda root: edit(root / BOXES, "Infiltrate", "Infiltrates"), "E_LABEL_ALIAS"),
    "contradiction": (lambda root: edit(root / ENTRIES, "Hernia", "Hernia|No Finding"), "E_LABEL_RULE"),
    "patient": (lambda root: edit(root / ENTRIES, "0,99000001,50", "0,99000009,50"), "E_SUBJECT"),
    "view": (lambda root: edit(root / ENTRIES, "F,PA,", "F,LL,"), "E_ENUM"),
    "two of one name": (lambda root: picture(root / "more/99000003_000.png"), "E_JOIN"),
    "in both lists": (lambda root: edit(root / "test_list.txt", "99000001", "99000002"), "E_JOIN"),
    "foreign boxes": (
        lambda root: (root / BOXES).write_text(
            (root / BOXES).read_text().replace("99000001_", "99100001_").replace("99000003_", "99100003_")
        ),
        "E_JOIN",
    ),
    "column": (lambda root: edit(root / ENTRIES, "View Position", "View"), "E_HEADER"),
    "cells": (lambda root: edit(root / ENTRIES, "PA,2048,2500,0.14,0.14,\r\n9900000", "PA\r\n9900000"),
              "E_ROW_SHAPE"),
    "nameless cell": (lambda root: edit(root / BOXES, "64.0,,,", "64.0,,7,"), "E_ROW_SHAPE"),
    "no list": (lambda root: (root / "test_list.txt").unlink(), "E_LAYOUT"),
    "two tables": (lambda root: (root / "Data_Entry_2017.csv").write_text("x"), "E_LAYOUT"),
    "no table": (lambda root: (root / ENTRIES).unlink(), "E_LAYOUT"),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(root: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    change(root)
    assert refused(lambda: read(root)) == {code}


BROKEN = {
    "no number": (BOXES, "256.0,512.0", "x,512.0", "E_BOX"),
    "not finite": (BOXES, "256.0,512.0", "nan,512.0", "E_BOX"),
    "on a normal film": (BOXES, "99000003_000.png,Mass", "99000002_000.png,Mass", "E_LABEL_CONFLICT"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_box_sets_its_image_aside(root: Path, broken: str) -> None:
    name, old, new, code = BROKEN[broken]
    edit(root / name, old, new)
    assert [s.problem.code for s in read(root) if s.problem] == [code]


@pytest.mark.parametrize(("folder", "settings"), [("nih64", {}), ("nih512", {"boxes": False})])
def test_real_rows_of_the_published_tables(sample_data: Path, folder: str, settings: dict[str, Any]) -> None:
    samples = read(sample_data / "cxr" / folder, split_lists=False, missing="skip", **settings)
    marked = {s.native_id: s for s in samples if s.annotations}
    if folder == "nih512":
        assert facts(samples)[1][:4] == ("00027426_000", 0, "normal", "nih:00027426")
        return
    assert Counter(s.label for s in samples) == {1: 401, 0: 399}
    assert len({s.subject_id for s in samples}) == 221
    assert not [s for s in samples if s.problem]
    assert sorted(marked) == ["00000032_037", "00000072_000", "00000147_001", "00000149_006",
                              "00000150_002", "00000193_019"]  # fmt: skip
    drawn = draw(marked["00000072_000"], 64, 64)  # x 356 to 485, y 567 to 651 of 1024
    rows, columns = np.nonzero(drawn)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (356 // 4, 484 // 4, 567 // 4, 650 // 4)
