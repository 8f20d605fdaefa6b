"""NIfTI masks that nibabel writes: axes, planes and sizes."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.data.problems import UnusableImage
from tests.data.marks.exports import (
    drawn,
    marked,
    rectangle,
    refused,
    save,
)


def nifti(root: Path, data: np.ndarray, affine: np.ndarray | None = None, **maps: str) -> np.ndarray:
    """What is drawn of a file as nibabel writes it."""
    (root / "masks").mkdir(exist_ok=True, parents=True)
    nibabel.save(nibabel.Nifti1Image(data.astype(np.uint8), affine), root / "masks" / "a.nii.gz")
    return drawn(marked(root, {"kind": "nifti", "file": "masks/*.nii.gz", **maps})["a.png"])


def test_nifti_axes(tmp_path: Path) -> None:
    """A mark near the left top, higher than wide, tells every turn and flip from every other."""
    mask = rectangle(1, 0, 3, 5)
    itk = np.diag([-1.0, -1.0, 1.0, 1.0])  # as ITK writes a picture: to the left, to the back
    assert np.array_equal(nifti(tmp_path, mask.T, itk), mask)
    assert np.array_equal(nifti(tmp_path, mask.T[:, :, None], itk), mask)
    assert np.array_equal(nifti(tmp_path, mask.T[::-1, ::-1], np.eye(4)), mask)  # to the right, to the front
    assert np.array_equal(nifti(tmp_path, mask.T), mask)  # no orientation in the header
    assert np.array_equal(nifti(tmp_path, mask, np.eye(4), axes="yx"), mask)
    assert np.array_equal(nifti(tmp_path, mask.T, np.eye(4), axes="xy"), mask)


def test_nifti_upright_plane(tmp_path: Path) -> None:
    mask = rectangle(1, 0, 3, 5)
    coronal = mask.T[::-1, None, ::-1]  # to the right, one plane, upwards
    assert np.array_equal(nifti(tmp_path, coronal, np.eye(4)), mask)


def test_a_mask_of_another_size_than_its_image(tmp_path: Path) -> None:
    with pytest.raises(UnusableImage, match="E_ANN_DIMS"):
        nifti(tmp_path, np.eye(7))


@pytest.mark.parametrize("data", [np.ones((3, 3, 3)), np.ones((4, 1, 1, 4))])
def test_a_volume_is_no_plane(tmp_path: Path, data: np.ndarray) -> None:
    with pytest.raises(UserError, match="E_ANN_FILE"):
        nifti(tmp_path, data)


def test_a_text_is_no_nifti(tmp_path: Path) -> None:
    save(tmp_path / "masks" / "a.nii", "text")
    assert refused(tmp_path, {"kind": "nifti", "file": "masks/*.nii"}).startswith("E_ANN_FILE a.nii")
