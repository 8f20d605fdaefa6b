"""Masks of manipulated pixels: picture files, or frames of a video that lossy compression has blurred."""

from pathlib import Path

import numpy as np

from pipeline.data.picture_file import read_picture
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Masked
from pipeline.data.video import stored_frame


def read_mask(masked: Masked, width: int, height: int, budget: dict[str, float]) -> np.ndarray:
    """What is marked, bool (H, W): pixels of which a channel has at least half its range.

    Raises UnusableImage: E_ANN_MISSING, E_DECODE, E_ANN_DIMS (not `width` x `height` px), E_ANN_EMPTY.
    """
    if not masked.path.is_file():
        raise _as_unusable("E_ANN_MISSING", "expected a mask file, there is none", masked.path)
    if masked.frame is None:
        stored = read_picture(masked.path, **budget)[0]
    else:
        stored = stored_frame(masked.path, masked.frame, **budget)
    bright = stored.max(axis=2) if stored.ndim == 3 else stored
    if bright.shape != (height, width):
        came = f"mask is {bright.shape[1]}x{bright.shape[0]} px, its image {width}x{height}"
        raise _as_unusable("E_ANN_DIMS", f"{came}; expected the same size, maps are not resized", masked.path)
    top = np.iinfo(bright.dtype).max if bright.dtype.kind in "iu" else 1
    marked: np.ndarray = bright >= top / 2
    if not marked.any():
        raise _as_unusable("E_ANN_EMPTY", "no pixel of the mask is marked; drop the mask", masked.path)
    return marked


def _as_unusable(code: str, message: str, path: Path) -> UnusableImage:
    return UnusableImage(Problem(code, path.name, message))
