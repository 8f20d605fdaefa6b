"""Masks in NIfTI files, one plane each, named like their images: `<name>.nii.gz` or `<name>.nii`.

    {kind: nifti, file: masks/*.nii.gz}

A folder of files is one annotator's; the label of a mark, for `keep`, is its whole number. `axes` says how a
plane becomes a picture:

    header    as ITK (3D Slicer, ITK-SNAP) shows a picture that it reads: columns go to the patient's left and
              rows to the back, or downwards in an upright plane; a header without orientation means `xy`
    xy        the first axis counts columns, the second rows
    yx        the first axis counts rows: a NumPy mask that was saved as it is
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common.errors import UserError, nearest
from pipeline.data.listing import Listing
from pipeline.data.marks import tool_files
from pipeline.data.marks.geometry import as_runs
from pipeline.data.marks.matching import Marked
from pipeline.data.marks.tool_files import MOST_PIXELS, Marking

NEEDED, ALLOWED = tool_files.NEEDED, (*tool_files.ALLOWED, "axes")
AXES = ("header", "xy", "yx")
SUFFIXES = (".nii.gz", ".nii")
MOST_VALUES = 255  # different labels in one file


def read(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    """Append one annotation per folder of files to each sample; see `tool_files` for what is refused.

    Raises UserError: nibabel is not installed, an unknown word for `axes`.
    """
    axes = maps.get("axes", "header")
    if axes not in AXES:
        raise UserError(f"image_table: maps.axes {axes!r}: {nearest(str(axes), AXES)}")
    files = tool_files.find(listing, maps["file"])
    tool_files.give(listing, samples, [parse(path, axes) for path in files], maps)


def parse(path: Path, axes: str) -> Marking:
    """What a file marks; UserError (E_ANN_FILE) if it is no NIfTI file of one plane of whole numbers."""
    name = next((path.name[: -len(end)] for end in SUFFIXES if path.name.lower().endswith(end)), path.stem)
    plane = read_plane(path, axes)
    values = np.unique(plane[plane > 0])
    if len(values) > MOST_VALUES or (values % 1).any():
        raise tool_files.refused(path, f"expected up to {MOST_VALUES} labels, whole numbers; is it an image?")
    shapes = [(str(int(value)), partial(as_runs, plane == value)) for value in values]
    return Marking(name, path.name, path.parent.as_posix(), None, shapes)


def read_plane(path: Path, axes: str) -> np.ndarray:
    """The plane of a file as a picture, (height, width); for errors see `parse`."""
    nibabel = _import_nibabel()
    try:
        image = nibabel.load(path)
        if np.prod([int(side) for side in image.shape], dtype=float) > MOST_PIXELS:
            raise ValueError(f"{image.shape} cells, at most {MOST_PIXELS}")
        values = np.asarray(image.dataobj)
        has_place = bool(image.header["sform_code"] or image.header["qform_code"])
        codes = nibabel.orientations.io_orientation(image.affine) if has_place else None
    except (
        nibabel.filebasedimages.ImageFileError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
    ) as error:
        raise tool_files.refused(path, f"not NIfTI: {' '.join(str(error).split())[:120]}") from None
    shape = (*values.shape, 1) if values.ndim == 2 else values.shape
    long = [axis for axis, side in enumerate(shape) if side > 1]
    if len(shape) < 3 or values.dtype.kind not in "buif" or len(long) > 2 or max(long, default=0) > 2:
        raise tool_files.refused(path, f"expected one plane of numbers, got {values.dtype} {values.shape}")
    volume = values.reshape(shape[:3])
    if axes == "header" and codes is not None and not np.isnan(codes).any():
        wanted = nibabel.orientations.axcodes2ornt(("L", "P", "I"))
        turn = nibabel.orientations.ornt_transform(codes, wanted)
        volume = nibabel.orientations.apply_orientation(volume, turn)
    flat = next((axis for axis in (2, 1, 0) if volume.shape[axis] == 1), 2)
    plane: np.ndarray = np.squeeze(volume, axis=flat)
    return plane if axes == "yx" else plane.T


def _import_nibabel() -> Any:
    try:
        import nibabel
    except ImportError:
        message = "maps of kind nifti need nibabel: pip install camdivide[annotation]"
        raise UserError(message) from None
    return nibabel
