"""Real DICOM files: the NEMA test set in every transfer syntax, and a film of NIH."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data import dicom_pixels
from tests.data.test_dicom import read, refused

LOSSLESS = ("RG3_J2KR", "RG3_JLSL", "RG3_JPLL", "RG3_RLE")
NEAR = {"RG3_J2KI": 9, "RG3_JLSN": 4}  # largest error of a stored value


def test_nema_lossless_variants_equal_the_reference(sample_data: Path) -> None:
    folder = sample_data / "cxr" / "dicom" / "wg04"
    reference, picture = dicom_pixels.decode(folder / "RG3_UNC"), read(folder / "RG3_UNC").pixels
    assert reference.shape == (1760, 1760)
    for name in LOSSLESS:
        np.testing.assert_array_equal(dicom_pixels.decode(folder / name), reference, err_msg=name)
        np.testing.assert_array_equal(read(folder / name).pixels, picture, err_msg=name)


@pytest.mark.parametrize("name", NEAR)
def test_nema_lossy_variants_are_close(sample_data: Path, name: str) -> None:
    folder = sample_data / "cxr" / "dicom" / "wg04"
    reference = dicom_pixels.decode(folder / "RG3_UNC").astype(int)
    assert np.abs(dicom_pixels.decode(folder / name) - reference).max() == NEAR[name]


@pytest.mark.parametrize("name", ["RG2_JPLY", "RG3_JPLY"])
def test_nema_12_bit_jpeg_is_refused(sample_data: Path, name: str) -> None:
    line = refused(sample_data / "cxr" / "dicom" / "wg04" / name)
    assert line.startswith(f"E_DECODE {name}: 12-bit JPEG Extended")
    assert "lossless" in line


def test_nema_monochrome1_is_inverted_once(sample_data: Path) -> None:
    path = sample_data / "cxr" / "dicom" / "wg04" / "RG1_JLSN"
    stored, loaded = dicom_pixels.decode(path).astype(float), read(path)
    expected = 1 - np.clip((stored - 14999.5) / 29999 + 0.5, 0, 1)
    np.testing.assert_allclose(loaded.pixels, expected, atol=1e-6)
    assert (loaded.photometric, loaded.bits) == ("MONOCHROME1", 15)


def test_nih_file(sample_data: Path) -> None:
    (path,) = (sample_data / "cxr" / "dicom" / "nih").glob("*.dcm")
    loaded = read(path)
    assert (loaded.width, loaded.height, loaded.bits) == (1024, 1024, 8)
    np.testing.assert_allclose(loaded.pixels, dicom_pixels.decode(path) / 252, atol=1e-6)
