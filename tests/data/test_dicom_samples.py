"""Real DICOM files: the NEMA test set in every transfer syntax, and a film of NIH."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.test_dicom import read
from tests.data.test_dicom_pixels import stored

LOSSLESS = ("RG3_J2KR", "RG3_JLSL", "RG3_JPLL", "RG3_RLE")
NEAR = {"RG3_J2KI": 9, "RG3_JLSN": 4, "RG3_JPLY": 48}  # largest error of a stored value


def test_nema_lossless_variants_equal_the_reference(sample_data: Path) -> None:
    folder = sample_data / "cxr" / "dicom" / "wg04"
    reference, picture = stored(folder / "RG3_UNC"), read(folder / "RG3_UNC").pixels
    assert reference.shape == (1760, 1760)
    for name in LOSSLESS:
        np.testing.assert_array_equal(stored(folder / name), reference, err_msg=name)
        np.testing.assert_array_equal(read(folder / name).pixels, picture, err_msg=name)


@pytest.mark.parametrize("name", NEAR)
def test_nema_lossy_variants_are_close(sample_data: Path, name: str) -> None:
    folder = sample_data / "cxr" / "dicom" / "wg04"
    reference = stored(folder / "RG3_UNC").astype(int)
    error = np.abs(stored(folder / name) - reference)
    assert error.max() == NEAR[name]
    assert error.mean() < 2


def test_nema_12_bit_jpeg_shows_the_film_of_the_other_encoding(sample_data: Path) -> None:
    folder = sample_data / "cxr" / "dicom" / "wg04"
    one, other = (stored(folder / f"RG2_{kind}").astype(float) for kind in ("JPLY", "J2KI"))
    assert np.abs(one - other).mean() < 4  # of 1023: both are lossy
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999


def test_nema_monochrome1_is_inverted_once(sample_data: Path) -> None:
    path = sample_data / "cxr" / "dicom" / "wg04" / "RG1_JLSN"
    expected = 1 - np.clip((stored(path) - 14999.5) / 29999 + 0.5, 0, 1)
    loaded = read(path)
    np.testing.assert_allclose(loaded.pixels, expected, atol=1e-6)
    assert (loaded.photometric, loaded.bits) == ("MONOCHROME1", 15)


def test_nih_file(sample_data: Path) -> None:
    (path,) = (sample_data / "cxr" / "dicom" / "nih").glob("*.dcm")
    loaded = read(path)
    assert (loaded.width, loaded.height, loaded.bits) == (1024, 1024, 8)
    np.testing.assert_allclose(loaded.pixels, stored(path) / 252, atol=1e-6)
