"""CheXlocalize: outlines and run lengths, what is uncertain, what tables and files call differently."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.adapters.chexlocalize import read
from tests.data.adapters.trees import draw, edit, facts, left_out, refused
from tests.data.adapters.trees.chexlocalize import answers, build, write

VAL, TEST, MARKS = (
    "CheXpert/val_labels.csv",
    "CheXpert/test_labels.csv",
    "CheXlocalize/gt_annotations_val.json",
)
HEART = "patient99001_study1_view1_frontal"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


def test_golden(root: Path) -> None:
    samples = read(root)
    place = "study1_view1_frontal"
    assert facts(samples) == [
        (HEART, 1, "cardiomegaly", "chexpert:patient99001", f"chexpert:{HEART}", "val", 1),
        (f"patient99003_{place}", 1, "lung_opacity", "chexpert:patient99003",
         f"chexpert:patient99003_{place}", "test", 1),
        ("patient99004_study2_view1_frontal", 0, "normal", "chexpert:patient99004",
         "chexpert:patient99004_study2_view1_frontal", "test", 0),
    ]  # fmt: skip
    assert left_out(samples) == {
        "W_UNCERTAIN": "the label is uncertain (-1), left out",
        "W_VIEW": "film in another view, left out",
    }
    assert samples[0].size == (24, 20)


def test_outlines_are_filled_with_their_edge(root: Path) -> None:
    heart, opacity, _ = read(root)
    expected = np.zeros((20, 24))
    expected[4:14, 2:12] = 1
    np.testing.assert_array_equal(draw(heart, 24, 20), expected)
    np.testing.assert_array_equal(draw(opacity, 24, 20), expected)  # devices are no finding


def test_run_lengths_go_down_the_columns(root: Path) -> None:
    expected = np.zeros((20, 24))
    expected[2:5, 2:4] = 1
    heart, opacity, normal = read(root, annotation="segmentations")
    for sample in (heart, opacity):
        np.testing.assert_array_equal(draw(sample, 24, 20), expected)
    assert not normal.is_marked  # its masks are empty
    assert normal.problem is None


def test_a_chosen_finding(root: Path) -> None:
    samples = read(root, findings=["Cardiomegaly"], sets=["val"])
    assert [(s.label, s.class_name) for s in samples] == [(1, "cardiomegaly"), (0, "normal")]
    assert "W_UNCERTAIN" not in left_out(samples)  # what is uncertain is another finding


def test_lateral_films_if_wanted(root: Path) -> None:
    lateral = read(root, views=["frontal", "lateral"])[1]
    assert (lateral.native_id, lateral.label) == ("patient99002_study1_view2_lateral", 1)


def test_answers_may_be_whole_numbers(root: Path) -> None:
    before = facts(read(root))
    table = (root / VAL).read_text()
    (root / VAL).write_text(table.replace("1.0", "1").replace("0.0", "0"))
    assert facts(read(root)) == before
    assert "W_UNCERTAIN" in left_out(read(root))


def test_uncertain_labels_are_refused_if_wanted(root: Path) -> None:
    assert refused(lambda: read(root, uncertain="refuse")) == {"E_LABEL"}


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / "CheXpert/test/patient99004/study2/view1_frontal.jpg").unlink(),
                     "E_IMAGE_MISSING"),
    "escape": (lambda root: edit(root / TEST, "test/patient99004/", "test/../"), "E_PATH_ESCAPE"),
    "answer": (lambda root: edit(root / VAL, "-1.0", "-2"), "E_LABEL"),
    "folder": (lambda root: edit(root / TEST, "test/patient99004", "train/patient99004"), "E_ENUM"),
    "view": (lambda root: edit(root / TEST, "patient99004/study2/view1_frontal",
                               "patient99004/study2/view1_oblique"), "E_ENUM"),
    "foreign marks": (lambda root: edit(root / MARKS, "patient99001", "patient99991"), "E_JOIN"),
    "finding": (lambda root: edit(root / MARKS, "Cardiomegaly", "Cardiomegalia"), "E_LABEL_ALIAS"),
    "column": (lambda root: edit(root / VAL, "Edema", "Oedema"), "E_HEADER"),
    "cells": (lambda root: edit(root / TEST, answers(No_Finding="1.0", Edema=""), "1.0"), "E_ROW_SHAPE"),
    "no JSON": (lambda root: (root / MARKS).write_text("{"), "E_ROW_SHAPE"),
    "a list": (lambda root: (root / MARKS).write_text("[]"), "E_ROW_SHAPE"),
    "no marks": (lambda root: (root / MARKS).unlink(), "E_LAYOUT"),
    "no table": (lambda root: (root / TEST).unlink(), "E_LAYOUT"),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(root: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    change(root)
    assert refused(lambda: read(root)) == {code}


SQUARE = [[2, 4], [11, 4], [11, 13]]
BROKEN: dict[str, tuple[str, Any, str]] = {
    "words": ("annotations", {"img_size": [20, 24], "Cardiomegaly": [[["a", "b"]]]}, "E_SHAPE"),
    "no pairs": ("annotations", {"img_size": [20, 24], "Cardiomegaly": [[1, 2, 3]]}, "E_SHAPE"),
    "three sizes": ("annotations", {"img_size": [20, 24, 1], "Cardiomegaly": [SQUARE]}, "E_SHAPE"),
    "two sizes": (
        "segmentations",
        {"Cardiomegaly": {"size": [20, 24], "counts": "P?"}, "Edema": {"size": [24, 20], "counts": "P?"}},
        "E_SHAPE",
    ),
    "one size": ("annotations", {"img_size": 20, "Cardiomegaly": [SQUARE]}, "E_SHAPE"),
    "counts": ("segmentations", {"Cardiomegaly": {"size": [20, 24], "counts": "~"}}, "E_SHAPE"),
    "cut": ("segmentations", {"Cardiomegaly": {"size": [20, 24], "counts": "X"}}, "E_SHAPE"),
    "no counts": ("segmentations", {"Cardiomegaly": {"size": [20, 24]}}, "E_SHAPE"),
    "numbers": ("segmentations", {"Cardiomegaly": {"size": [20, 24], "counts": [1, 2]}}, "E_SHAPE"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_marks_set_their_image_aside(root: Path, broken: str) -> None:
    annotation, marks, code = BROKEN[broken]
    write(root, f"{annotation}_val", {HEART: marks})
    assert [s.problem.code for s in read(root, annotation=annotation) if s.problem] == [code]


def test_marks_on_an_image_without_the_finding_set_it_aside(root: Path) -> None:
    key = "patient99004_study2_view1_frontal"
    write(root, "annotations_test", {key: {"img_size": [20, 24], "Edema": [SQUARE]}})
    assert [s.problem.code for s in read(root) if s.problem] == ["E_LABEL_CONFLICT"]
    assert json.loads((root / "CheXlocalize/gt_annotations_test.json").read_text())[key]
