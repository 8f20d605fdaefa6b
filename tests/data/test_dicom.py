"""DICOM decoding: values by hand, pydicom as second opinion, the NEMA test set, and what must be refused."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels import apply_modality_lut, apply_windowing

from pipeline.data import dicom, dicom_pixels
from pipeline.data.picture import Picture
from pipeline.data.problems import UnusableImage
from tests.data.dicom_files import SECRET, lookup_table, write

RAMP = np.arange(0, 4096, 256, dtype=np.uint16).reshape(4, 4)


def read(
    path: Path, max_megapixels: float = 64, max_megabytes: float = 512, dicom_frame: int | None = None
) -> Picture:
    limits = {"max_megapixels": max_megapixels, "max_megabytes": max_megabytes}
    return dicom.read(path, dicom_frame=dicom_frame, **limits)


def refused(path: Path, **limits: Any) -> str:
    with pytest.raises(UnusableImage) as caught:
        read(path, **limits)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_no_window_stretches_to_the_range(tmp_path: Path) -> None:
    loaded = read(write(tmp_path / "a", RAMP))
    assert loaded.pixels.dtype == np.float32
    np.testing.assert_allclose(loaded.pixels, RAMP / 3840, rtol=1e-6)
    assert (loaded.width, loaded.height, loaded.bits, loaded.photometric) == (4, 4, 12, "MONOCHROME2")
    assert loaded.phi_flag == "absent"


def test_modality_comes_before_the_window(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a",
        np.array([[0, 100], [200, 300]], np.uint16),
        RescaleSlope=2,
        RescaleIntercept=-200,
        WindowCenter=[0.5, 9999],  # the second window must not count
        WindowWidth=[401, 1],
    )
    np.testing.assert_allclose(read(path).pixels, [[0, 0.5], [1, 1]], atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_equals_pydicom(tmp_path: Path, function: str) -> None:
    tags = {"WindowCenter": 1500, "WindowWidth": 2000, "VOILUTFunction": function}
    path = write(tmp_path / "a", RAMP, RescaleSlope=0.5, RescaleIntercept=100, **tags)
    dataset = pydicom.dcmread(path)
    expected = apply_windowing(apply_modality_lut(RAMP, dataset), dataset)
    low, high = 100, 0.5 * 4095 + 100  # pydicom's output range
    np.testing.assert_allclose(read(path).pixels, (expected - low) / (high - low), atol=1e-6)


def test_tables_replace_slope_and_window(tmp_path: Path) -> None:
    modality = lookup_table([3, 2, 1, 0], first=0, bits=8)
    voi = lookup_table([0, 51, 102, 255], first=0, bits=8)
    tags = {"ModalityLUTSequence": modality, "VOILUTSequence": voi, "WindowCenter": 1, "WindowWidth": 2}
    path = write(tmp_path / "a", np.array([[0, 1], [2, 3]], np.uint16), bits=8, **tags)
    np.testing.assert_allclose(read(path).pixels, [[1, 0.4], [0.2, 0]], atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(500, 3500), st.integers(100, 4000), st.integers(0, 2**32 - 1))
def test_monochrome1_equals_its_twin(
    tmp_path_factory: pytest.TempPathFactory, center: int, width: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("twin")
    stored = np.random.default_rng(seed).integers(0, 4096, (6, 5), dtype=np.uint16)
    one = write(folder / "one", stored, WindowCenter=center, WindowWidth=width)
    tags = {"PhotometricInterpretation": "MONOCHROME1", "WindowWidth": width}
    two = write(folder / "two", 4095 - stored, WindowCenter=4095 - center + 1, **tags)
    try:
        expected = read(one).pixels
    except UnusableImage as error:  # a window that shows nothing shows nothing in both
        assert error.problem.code == "E_FLAT"
        assert refused(two).startswith("E_FLAT")
        return
    np.testing.assert_allclose(read(two).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_scale(tmp_path: Path, photometric: str) -> None:
    stored = np.array([[-2000, 0], [50, 100]], np.int16)
    tags = {"PhotometricInterpretation": photometric, "PixelPaddingValue": -2000}
    pixels = read(write(tmp_path / "a", stored, bits=16, **tags)).pixels
    shown = {"MONOCHROME1": [[0, 1], [0.5, 0]], "MONOCHROME2": [[0, 0], [0.5, 1]]}
    np.testing.assert_allclose(pixels, shown[photometric], atol=1e-6)


def test_padding_range(tmp_path: Path) -> None:
    stored = np.array([[4000, 4090], [0, 100]], np.uint16)
    path = write(tmp_path / "a", stored, PixelPaddingValue=4095, PixelPaddingRangeLimit=4000)
    np.testing.assert_allclose(read(path).pixels, [[0, 0], [0, 1]])


def test_colour(tmp_path: Path) -> None:
    stored = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20
    loaded = read(write(tmp_path / "a", stored, bits=8))
    assert loaded.photometric == "RGB"
    np.testing.assert_allclose(loaded.pixels, stored / 255, rtol=1e-6)


def test_a_file_may_say_that_no_patient_data_are_burned_in(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a", RAMP, BurnedInAnnotation="NO")).phi_flag == "no"


def test_reading_leaves_the_libraries_as_they_were(tmp_path: Path) -> None:
    path = write(tmp_path / "a", RAMP)
    logger, mode = logging.getLogger("pydicom"), pydicom.config.settings.reading_validation_mode
    before = logger.level
    with dicom_pixels.silenced():
        assert pydicom.config.settings.reading_validation_mode == pydicom.config.IGNORE
        assert logger.level == logging.CRITICAL
        read(path)
        assert logger.level == logging.CRITICAL
    assert pydicom.config.settings.reading_validation_mode == mode != pydicom.config.IGNORE
    assert logger.level == before == logging.WARNING


def test_file_without_preamble(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", RAMP)
    dataset = pydicom.dcmread(whole)
    bare = tmp_path / "bare.dcm"
    dataset.file_meta, dataset.preamble = pydicom.dataset.FileMetaDataset(), None
    dataset.save_as(bare, implicit_vr=True, little_endian=True)
    assert not dicom.is_dicom(bare)
    np.testing.assert_array_equal(read(bare).pixels, read(whole).pixels)


REFUSED = {
    "burned in": ({"BurnedInAnnotation": "YES"}, "E_PHI"),
    "several frames": ({"NumberOfFrames": 2}, "E_DECODE"),
    "no palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "E_DECODE"),
    "no rows": ({"Rows": 0}, "E_DECODE"),
    "wider than its data": ({"Columns": 4000}, "E_DECODE"),
    "narrower than its data": ({"Columns": 2}, "E_DECODE"),
    "pixel bomb": ({"Rows": 60000, "Columns": 60000}, "E_DECODE"),
    "rows twice": ({"Rows": [4, 4]}, "E_DECODE"),
    "not a photometric": ({"PhotometricInterpretation": ["MONOCHROME2", "RGB"]}, "E_DECODE"),
    "no window": ({"WindowCenter": 0, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"}, "E_DECODE"),
    "a narrow window": ({"WindowCenter": 0, "WindowWidth": 0.5}, "E_DECODE"),
    "no slope": ({"RescaleSlope": 0}, "E_DECODE"),
    "an endless slope": ({"RescaleSlope": "1e999"}, "E_DECODE"),
    "unknown function": ({"WindowCenter": 9, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "E_DECODE"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str, recwarn: pytest.WarningsRecorder) -> None:
    tags, code = REFUSED[case]
    assert refused(write(tmp_path / "a", RAMP, **tags)).startswith(f"{code} a: ")
    assert not recwarn.list


def test_flat(tmp_path: Path) -> None:
    assert refused(write(tmp_path / "a", np.full((4, 4), 7, np.uint16))).startswith("E_FLAT")
    padded = np.array([[9, 9], [7, 7]], np.uint16)
    assert refused(write(tmp_path / "b", padded, PixelPaddingValue=9)).startswith("E_FLAT")


def test_budget_is_checked_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a", np.tile(RAMP, (100, 100)))
    monkeypatch.setattr(dicom_pixels, "pixel_array", lambda *_, **__: pytest.fail("decoded"))
    assert "400x400 px" in refused(path, max_megapixels=0.1)
    assert "400x400 px" in refused(path, max_megabytes=0.1)


def test_truncated_and_garbage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = write(tmp_path / "whole", np.tile(RAMP, (10, 10))).read_bytes()
    for size in (140, 200, 300, len(whole) - 50):
        (tmp_path / "cut").write_bytes(whole[:size])
        assert refused(tmp_path / "cut").startswith("E_DECODE cut: ")
    (tmp_path / "text.dcm").write_text(f"{SECRET} is not a picture\n" * 20)
    assert refused(tmp_path / "text.dcm").startswith("E_DECODE")
    assert SECRET not in caplog.text


def test_damaged_headers_give_a_picture_or_a_line(tmp_path: Path) -> None:
    tags = {"WindowCenter": [12, 3], "WindowWidth": 34, "PixelSpacing": [0.1, 0.2], "PixelPaddingValue": 9}
    whole = write(tmp_path / "whole", np.tile(RAMP, (4, 4)), **tags).read_bytes()
    rng, outcomes = np.random.default_rng(0), set()
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(128, len(whole) - 512, 3):
            damaged[place] = rng.integers(256)
        (tmp_path / "a").write_bytes(damaged)
        try:
            outcomes.add(read(tmp_path / "a").pixels.dtype.name)
        except UnusableImage as error:
            outcomes.add(error.problem.code)
            assert SECRET not in str(error)
    assert {"float32", "E_DECODE"} <= outcomes


def test_only_the_named_tags_are_read(tmp_path: Path) -> None:
    header = dicom.read_header(write(tmp_path / "a", RAMP), dicom.TAGS)
    assert "PatientName" not in header
    assert "PatientID" not in header


def test_malformed_values_are_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write(tmp_path / "a", RAMP, WindowCenter="12", WindowWidth="34")
    path.write_bytes(path.read_bytes().replace(b"12", b"XY").replace(b"34", b"ZZ"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert refused(path).startswith("E_DECODE")
    assert not caught
    assert not caplog.text
    assert capfd.readouterr() == ("", "")
