"""EGD-CXR: gaze joined with the films of MIMIC, calibration screens, margins on the screen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.adapters.egd_cxr import read
from pipeline.data.samples import Fixations
from tests.data.adapters.trees import draw, edit, facts, left_out, refused, text
from tests.data.adapters.trees.egd_cxr import (
    IMAGES,
    SHEET,
    TABLES,
    build,
    dicom_id,
    film,
    path_of,
    sheet_row,
)
from tests.data.dicom_files import write as write_dicom

MASTER, GAZE = f"{TABLES}/master_sheet.csv", f"{TABLES}/fixations.csv"
PATIENT = f"{path_of(1)},99000001,99000001,39000001,F,20 - 30,"  # what stands before the margins


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


def test_golden(root: Path) -> None:
    samples = read(root)
    assert facts(samples) == [
        (dicom_id(1), 0, "normal", "mimic:p99000001", f"mimic:{dicom_id(1)}", "", 1),
        (dicom_id(2), 1, "chf", "mimic:p99000002", f"mimic:{dicom_id(2)}", "", 1),
    ]
    assert left_out(samples) == {"W_CALIB": "fixation on a calibration screen, left out"}
    assert not [s.problem for s in samples if s.problem]


def test_gaze_is_weighted_by_seconds_or_counted(root: Path) -> None:
    for weight, expected in (("duration", [0.5, 0.25]), ("count", [1, 1])):
        (gaze,) = read(root, weight=weight, sigma=20)[1].annotations
        assert isinstance(gaze, Fixations)
        np.testing.assert_allclose(gaze.weight, expected)  # the invalid third row is no gaze
        np.testing.assert_allclose([gaze.x, gaze.y, gaze.sigma_x], [[60, 180], [50, 150], [20, 20]])


def test_the_map_peaks_where_the_reader_looked(root: Path) -> None:
    drawn = draw(read(root, sigma=10.0)[1], 240, 200)
    assert drawn.shape == (200, 240)
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (50, 60)
    np.testing.assert_allclose(drawn[150, 180], 0.5, atol=1e-6)  # half as long
    np.testing.assert_allclose(drawn[50, 70], np.exp(-0.5), atol=1e-6)


def test_films_of_mimic_jpg(root: Path) -> None:
    for number in (1, 2):
        (root / IMAGES / path_of(number)).unlink()
        place = (root / IMAGES / path_of(number)).with_suffix(".jpg")
        Image.new("L", (240, 200), number).save(place)
    assert [s.problem for s in read(root, suffix=".jpg")] == [None, None]
    (root / IMAGES / path_of(1)).with_suffix(".jpg").write_bytes(b"no JPEG")
    assert [s.problem.code for s in read(root, suffix=".jpg") if s.problem] == ["E_DECODE"]


def test_other_spellings_of_flags_and_margins(root: Path) -> None:
    edit(root / MASTER, "_pad", "")
    edit(root / MASTER, ",1,0,1,0,", ",1,0.0,1.0,0.0,")
    assert [(s.label, s.problem) for s in read(root)] == [(0, None), (1, None)]


@pytest.mark.parametrize(("pads", "fits"), [("81,82", True), ("80,82", False), ("90,90", False)])
def test_margins_fit_within_one_percent(root: Path, pads: str, fits: bool) -> None:
    # 1024 px of width over 861, 862 and 844 px of height; the film is 1.2 : 1
    edit(root / MASTER, f"{PATIENT}85,86", f"{PATIENT}{pads}")
    assert (read(root)[0].problem is None) == fits


def test_unclear_classes_are_set_aside_until_they_are_too_many(root: Path) -> None:
    rows = [sheet_row(1, ("1", "0", "0")) for _ in range(1)]
    rows += [sheet_row(2, ("1", "1", "0"))]
    text(root / MASTER, [",".join(SHEET), *rows])
    assert refused(lambda: read(root)) == {"E_LABEL_RULE"}
    rows += [sheet_row(number, ("0", "0", "1")) for number in range(3, 22)]  # one of 21 is less than 5 %
    for number in range(3, 22):
        film(root / IMAGES / path_of(number), number, (240, 200))
    text(root / MASTER, [",".join(SHEET), *rows])
    assert [s.problem.code for s in read(root) if s.problem] == ["E_LABEL_RULE"]


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / IMAGES / path_of(1)).unlink(), "E_IMAGE_MISSING"),
    "escape": (lambda root: edit(root / MASTER, path_of(1), "../" + path_of(1)), "E_PATH_ESCAPE"),
    "flag": (lambda root: edit(root / MASTER, ",1,1,0,0,", ",1,2,0,0,"), "E_LABEL"),
    "no patient": (lambda root: edit(root / MASTER, ",99000001,99000001,", ",99000001,,"), "E_SUBJECT"),
    "another file": (lambda root: edit(root / MASTER, path_of(1), path_of(2)), "E_JOIN"),
    "foreign gaze": (lambda root: edit(root / GAZE, dicom_id(2), "other"), "E_JOIN"),
    "column": (lambda root: edit(root / MASTER, ",Normal,", ",normal,"), "E_HEADER"),
    "gaze column": (lambda root: edit(root / GAZE, "X_ORIGINAL", "X"), "E_HEADER"),
    "cells": (lambda root: edit(root / GAZE, "120,100", "120,100,7"), "E_ROW_SHAPE"),
    "no gaze": (lambda root: (root / GAZE).unlink(), "E_LAYOUT"),
    "no sheet": (lambda root: (root / MASTER).unlink(), "E_LAYOUT"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(root: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    change(root)
    assert refused(lambda: read(root)) == {code}


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "margins": (lambda root: edit(root / MASTER, f"{PATIENT}85,86",
                                  f"{PATIENT}65,66"), "E_EGD_CANVAS"),
    "no margin": (lambda root: edit(root / MASTER, f"{PATIENT}85,86",
                                    f"{PATIENT}85,"), "E_EGD_CANVAS"),
    "no film": (lambda root: (root / IMAGES / path_of(1)).write_bytes(b"no DICOM" * 40), "E_DECODE"),
    "no size": (lambda root: write_dicom(root / IMAGES / path_of(1), np.eye(4, dtype="u2"), Rows=None),
                "E_DECODE"),
    "no number": (lambda root: edit(root / GAZE, ",120,100", ",120,"), "E_FIX"),
    "not finite": (lambda root: edit(root / GAZE, ",120,100", ",nan,100"), "E_FIX"),
    "no time": (lambda root: edit(root / GAZE, ",0.35,", ",0,"), "E_FIX"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_gaze_sets_its_image_aside(root: Path, broken: str) -> None:
    change, code = BROKEN[broken]
    change(root)
    assert [s.problem.code if s.problem else "" for s in read(root)] == [code, ""]
