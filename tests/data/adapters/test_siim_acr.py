"""The SIIM-ACR challenge: run lengths column by column, and films that nobody labelled."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.adapters.siim_acr import read
from pipeline.data.samples import Runs
from tests.data.adapters.trees import draw, edit, facts, film, left_out, refused, text
from tests.data.adapters.trees.siim_acr import build

TABLE = "train-rle.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


def test_golden(root: Path) -> None:
    samples = read(root)
    assert facts(samples) == [
        ("inv.1", 1, "pneumothorax", "", "siim:inv.1", "", 1),
        ("inv.2", 0, "no_pneumothorax", "", "siim:inv.2", "", 0),
    ]
    assert left_out(samples) == {"W_UNLABELLED": "image without a row in train-rle.csv, left out"}
    assert samples[0].annotation_size == (1024, 1024)


def test_gaps_and_lengths_run_down_the_columns(root: Path) -> None:
    edit(root / TABLE, "inv.1,524800 512\n", "")
    drawn = draw(read(root)[0], 24, 20)  # 256 cells of 4 px: 6 px in the first cell
    assert drawn[0, 0] == 6 / 16
    assert drawn.sum() == 6 / 16


def test_masks_of_one_image_are_joined(root: Path) -> None:
    expected = np.zeros((256, 256))
    expected[0, 0] = 6 / 16
    expected[128:, 128] = 1 / 4  # one column of four, rows 512 to 1023
    np.testing.assert_array_equal(draw(read(root)[0], 24, 20), expected)


def test_a_table_of_another_name_without_the_space(root: Path) -> None:
    (root / TABLE).rename(root / "stage_2_train.csv")
    edit(root / "stage_2_train.csv", "ImageId, Enc", "ImageId,Enc")
    assert len(read(root, table="stage_2_train.csv")) == 2


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 900)), min_size=1, max_size=30))
def test_what_was_encoded_is_read(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("siim")
    film(root / "dicom-images-train/a/b/inv.1.dcm")
    text(root / TABLE, ["ImageId, EncodedPixels", "inv.1," + " ".join(f"{a} {b}" for a, b in pairs)])
    (runs,) = read(root)[0].annotations
    assert isinstance(runs, Runs)
    marked = np.zeros(1024 * 1024, dtype=bool)
    place = 0
    for gap, length in pairs:
        place += gap
        marked[place : place + length] = True
        place += length
    found = np.repeat(np.arange(len(runs.parts[0])) % 2 == 1, runs.parts[0])
    np.testing.assert_array_equal(np.flatnonzero(found), np.flatnonzero(marked))


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / "dicom-images-train/inv.2.0/inv.2.1/inv.2.dcm").unlink(),
                     "E_IMAGE_MISSING"),
    "escape": (lambda root: edit(root / TABLE, "inv.2,", "../inv.2,"), "E_PATH_ESCAPE"),
    "both": (lambda root: edit(root / TABLE, "inv.1,524800 512", "inv.1,-1"), "E_LABEL_RULE"),
    "two of one name": (lambda root: film(root / "dicom-images-train/again/inv.2.dcm"), "E_JOIN"),
    "column": (lambda root: edit(root / TABLE, "EncodedPixels", "Pixels"), "E_HEADER"),
    "cells": (lambda root: edit(root / TABLE, "inv.2, -1", "inv.2, -1, -1"), "E_ROW_SHAPE"),
    "no table": (lambda root: (root / TABLE).unlink(), "E_LAYOUT"),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(root: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    change(root)
    assert refused(lambda: read(root)) == {code}


@pytest.mark.parametrize("runs", ["1025 3 1021", "1025 -3", "1025 3.5", "", "x y"])
def test_broken_runs_set_their_image_aside(root: Path, runs: str) -> None:
    edit(root / TABLE, "1025 3 1021 3", runs)
    assert [s.problem.code for s in read(root) if s.problem] == ["E_RLE"]
