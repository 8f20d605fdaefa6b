"""DICOM segmentations that highdicom writes, by their image."""

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.content import AlgorithmIdentificationSequence
from pydicom.sr.codedict import codes as dicom_codes
from pydicom.uid import generate_uid

from pipeline.common import expendable
from tests.data.dicom_files import write as write_dicom
from tests.data.marks.exports import (
    drawn,
    marked,
    rectangle,
    refused,
)


def dicom_image(path: Path) -> pydicom.Dataset:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.random.default_rng(0).integers(0, 4096, (10, 20), dtype=np.uint16)
    write_dicom(path, stored)
    told = pydicom.dcmread(path)
    for name in (
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "StudyDate",
        "StudyTime",
    ):
        setattr(told, name, "")
    told.Modality = "DX"
    told.AccessionNumber = told.ReferringPhysicianName = ""
    told.StudyInstanceUID, told.SeriesInstanceUID = generate_uid(), generate_uid()
    told.ImageOrientationPatient, told.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    told.PixelSpacing, told.SliceThickness = [1, 1], 1
    told.FrameOfReferenceUID = generate_uid()
    told.save_as(path)
    return told


def segmentation(image: pydicom.Dataset, mask: np.ndarray, kind: str) -> highdicom.seg.Segmentation:
    """A file as highdicom writes it."""
    algorithm = AlgorithmIdentificationSequence("inv", dicom_codes.DCM.ArtificialIntelligence, "1")
    described = highdicom.seg.SegmentDescription(
        1,
        "nodule",
        dicom_codes.SCT.MorphologicallyAbnormalStructure,
        dicom_codes.SCT.Nodule,
        "AUTOMATIC",
        algorithm_identification=algorithm,
    )
    return highdicom.seg.Segmentation(
        [image], mask[None], kind, [described], generate_uid(), 1, generate_uid(), 1, "inv", "inv", "1", "inv"
    )


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_dicom_segmentation_by_uid(tmp_path: Path, kind: str) -> None:
    image = dicom_image(tmp_path / "images" / "film.dcm")
    mask = rectangle(5, 2, 9, 8)
    told = segmentation(image, mask.astype(np.uint8 if kind == "BINARY" else float), kind)
    (tmp_path / "seg").mkdir()
    told.save_as(tmp_path / "seg" / "1.dcm")
    maps = {"kind": "dicom_seg", "file": "seg/*.dcm", "keep": ["nodule"]}
    assert np.array_equal(drawn(marked(tmp_path, maps, names=())["film.dcm"]), mask)


def test_what_is_no_segmentation_is_refused(tmp_path: Path) -> None:
    dicom_image(tmp_path / "images" / "film.dcm")
    message = refused(tmp_path, {"kind": "dicom_seg", "file": "images/film.dcm"})
    assert message.startswith("E_ANN_FILE film.dcm")


def test_what_is_wrong_with_a_segmentation_quotes_nothing_of_it(tmp_path: Path) -> None:
    told = segmentation(dicom_image(tmp_path / "images" / "film.dcm"), rectangle(5, 2, 9, 8), "BINARY")
    told.SegmentSequence[0].add_new("SegmentNumber", "LO", "Jane Doe")  # as a number, of which pydicom tells
    told.save_as(tmp_path / "images" / "seg.dcm")
    message = refused(tmp_path, {"kind": "dicom_seg", "file": "images/seg.dcm"})
    assert message == "E_ANN_FILE seg.dcm: no DICOM Segmentation that can be read (ValueError)"


def test_a_segmentation_that_ends_its_decoder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> None:
        raise expendable.Lost("died (SIGSEGV)")

    dicom_image(tmp_path / "images" / "film.dcm")
    monkeypatch.setattr(expendable, "call", lose)
    message = refused(tmp_path, {"kind": "dicom_seg", "file": "images/film.dcm"})
    assert message.startswith("E_ANN_FILE film.dcm: its decoder died (SIGSEGV)")
