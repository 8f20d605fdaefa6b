"""The REFLACX layout: readings merged, labels by certainty, and one mutation per error code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.data.adapters.reflacx import read
from pipeline.data.decoding import Decoded, Recipe, decode
from pipeline.data.problems import Problem
from pipeline.data.samples import Ellipses, Fixations
from tests.data.adapters.trees import codes, edit
from tests.data.adapters.trees.reflacx import dicom_id, image_path, reflacx
from tests.data.dicom_files import write as write_dicom

PHASE_1 = "main_data/metadata_phase_1.csv"
PHASE_3 = "main_data/metadata_phase_3.csv"
GAZE = "main_data/P101R000001/fixations.csv"
RECIPE = Recipe(16, 1, "none", "map", 0.0, max_megapixels=1, max_megabytes=8)
ELLIPSES = "main_data/P101R000001/anomaly_location_ellipses.csv"


def test_readings_of_one_dicom_are_one_sample(tmp_path: Path) -> None:
    sample, _ = read(reflacx(tmp_path), source_tag="InstitutionName")
    assert sample.native_id == dicom_id(1)
    assert sample.image_path == tmp_path / image_path(1)
    assert (sample.label, sample.class_name) == (1, "nodule")
    assert (sample.subject_id, sample.group_id) == ("mimic:p99000001", f"mimic:{dicom_id(1)}")
    assert (sample.source, sample.source_kind) == ("site_a", "site")
    assert (sample.native_split, sample.modality, sample.size) == ("train", "cxr", (24, 20))
    gaze, _ = sample.annotations
    assert isinstance(gaze, Fixations)
    np.testing.assert_allclose(gaze.x, [12, -3])
    np.testing.assert_allclose(gaze.weight, [1.0, 0.4])
    np.testing.assert_allclose((gaze.sigma_x[0], gaze.sigma_y[0]), (6, 5))
    assert gaze.shown is not None
    np.testing.assert_array_equal(gaze.shown[0], [0, 0, 24, 20])


def test_discarded_gaze_is_no_annotation(tmp_path: Path) -> None:
    _, sample = read(reflacx(tmp_path))
    assert (sample.annotations, sample.label, sample.class_name) == ([], 0, "normal")
    assert (sample.source, sample.native_split) == ("mimic", "val")


def test_ellipses_of_certain_findings_only(tmp_path: Path) -> None:
    first, second = read(reflacx(tmp_path), annotation="ellipses")
    one, two = first.annotations
    assert isinstance(one, Ellipses)
    assert isinstance(two, Ellipses)
    np.testing.assert_array_equal(one.corners, [[6, 5, 14, 11]])
    assert two.corners.shape == (0, 4)
    assert len(second.annotations) == 1  # discarded gaze leaves the ellipses


@pytest.mark.parametrize(("certainty", "label"), [(3, 1), (2, 0)])
def test_abnormal_from_certainty_three(tmp_path: Path, certainty: int, label: int) -> None:
    root = reflacx(tmp_path)
    edit(root / PHASE_1, ",0,4,False,True", f",0,{certainty},False,True")
    assert read(root)[0].label == label


def test_the_majority_of_readings_decides(tmp_path: Path) -> None:
    root = reflacx(tmp_path)
    lines = (root / PHASE_1).read_bytes()
    more = lines.split(b"\r\n")[2].replace(b"P102", b"P103") + b"\r\n"
    (root / PHASE_1).write_bytes(lines + more)
    source = root / "main_data" / "P102R000001"
    (root / "main_data" / "P103R000001").mkdir()
    (root / "main_data" / "P103R000001" / "fixations.csv").write_bytes(
        (source / "fixations.csv").read_bytes()
    )
    sample, _ = read(root)
    assert (sample.label, sample.class_name, len(sample.annotations)) == (0, "normal", 3)


@pytest.mark.parametrize("how", [{"end": "\n"}, {"start": "\ufeff"}])
def test_variants_of_the_tables_read_alike(tmp_path: Path, how: dict[str, str]) -> None:
    expected = [(s.native_id, s.label, len(s.annotations)) for s in read(reflacx(tmp_path / "a"))]
    found = [(s.native_id, s.label, len(s.annotations)) for s in read(reflacx(tmp_path / "b", **how))]
    assert found == expected


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent image": (lambda root: (root / image_path(1)).unlink(), "E_IMAGE_MISSING"),
    "escape": (lambda root: edit(root / PHASE_3, "physionet.org/", "../physionet.org/"), "E_PATH_ESCAPE"),
    "label column": (lambda root: edit(root / PHASE_1, "Nodule", "Nodul"), "E_LABEL_ALIAS"),
    "certainty": (lambda root: edit(root / PHASE_1, ",0,4,False,True", ",0,four,False,True"), "E_LABEL"),
    "too sure": (lambda root: edit(root / PHASE_1, ",0,4,False,True", ",0,80,False,True"), "E_LABEL"),
    "below 0": (lambda root: edit(root / PHASE_1, ",0,4,False,True", ",0,-1,False,True"), "E_LABEL"),
    "not finite": (lambda root: edit(root / PHASE_1, ",0,4,False,True", ",0,nan,False,True"), "E_LABEL"),
    "infinite size": (lambda root: edit(root / PHASE_1, ",24,20,", ",24,inf,"), "E_DIMS"),
    "size": (lambda root: edit(root / PHASE_1, ",24,20,", ",24,tall,"), "E_DIMS"),
    "split": (lambda root: edit(root / PHASE_3, "validate", "validat"), "E_ENUM"),
    "subjects differ": (
        lambda root: edit(root / PHASE_1, "99000001,24,20,2,0", "99000009,24,20,2,0"),
        "E_JOIN",
    ),
    "column": (lambda root: edit(root / PHASE_1, "dicom_id", "dicomid"), "E_HEADER"),
    "column twice": (lambda root: edit(root / PHASE_1, "Nodule", "Consolidation"), "E_HEADER"),
    "gaze column": (lambda root: edit(root / GAZE, "x_position", "x_pos"), "E_HEADER"),
    "row": (lambda root: edit(root / PHASE_1, ",0,4,False,True", ",0,4,False,True,1,1"), "E_ROW_SHAPE"),
    "no site": (
        lambda root: (root / image_path(1)).write_bytes(
            (root / image_path(1)).read_bytes().replace(b"Site A", b"      ")
        ),
        "E_SOURCE",
    ),
    "no header": (lambda root: (root / image_path(1)).write_bytes(b"no DICOM" * 40), "E_DECODE"),
    "no metadata": (lambda root: [p.unlink() for p in root.glob("main_data/*.csv")], "E_LAYOUT"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_gives_its_code(tmp_path: Path, mutation: str) -> None:
    change, code = MUTATIONS[mutation]
    root = reflacx(tmp_path)
    change(root)
    with pytest.raises(UserError) as caught:
        read(root, source_tag="InstitutionName")
    assert codes(caught.value) == {code}
    assert "INVSECRET" not in str(caught.value)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no gaze": (lambda root: (root / GAZE).unlink(), "E_ANN_MISSING"),
    "gaze": (lambda root: edit(root / GAZE, ",12,10,", ",,10,"), "E_FIX"),
    "ellipse": (lambda root: edit(root / ELLIPSES, "6,5,14,11", "6,5,14,x"), "E_SHAPE"),
    "ellipse too sure": (lambda root: edit(root / ELLIPSES, "14,11,4,", "14,11,80,"), "E_LABEL"),
    "ellipse not sure": (lambda root: edit(root / ELLIPSES, "14,11,4,", "14,11,nan,"), "E_LABEL"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_reading_sets_its_sample_aside(tmp_path: Path, broken: str) -> None:
    change, code = BROKEN[broken]
    root = reflacx(tmp_path)
    change(root)
    sample, other = read(root, annotation="ellipses" if broken.startswith("ellipse") else "fixations")
    assert sample.problem is not None
    assert sample.problem.code == code
    assert other.problem is None


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "header": (lambda root: (root / image_path(1)).write_bytes(b"no DICOM" * 40), "E_DECODE"),
    "blank size": (
        lambda root: write_dicom(root / image_path(1), np.eye(4, dtype="u2"), Rows=None),
        "E_DECODE",
    ),
    "size": (lambda root: edit(root / PHASE_1, ",24,20,", ",2400,2000,"), "E_DIMS"),
}


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_a_film_of_another_size_than_its_gaze_cannot_be_used(tmp_path: Path, unusable: str) -> None:
    change, code = UNUSABLE[unusable]
    root = reflacx(tmp_path)
    assert isinstance(decode(read(root)[0], RECIPE), Decoded)
    change(root)
    result = decode(read(root)[0], RECIPE)
    assert isinstance(result, Problem)
    assert result.code == code
