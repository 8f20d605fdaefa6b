"""Map and mask files: pictures, or frames of a video that lossy compression has blurred."""

from pathlib import Path

import numpy as np

from pipeline.data.apart import call_apart
from pipeline.data.picture_file import read_picture
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Masked
from pipeline.data.video import stored_frame

BUDGET = {"max_megapixels": 256.0, "max_megabytes": 2048.0}  # before a map's size meets its image's


def read_stored(path: Path, frame: int | None = None) -> np.ndarray:
    """The stored values of a map file, or of a frame of a video: (H, W), or (H, W, 3) uint8.

    Raises UnusableImage: E_ANN_MISSING, E_DECODE.
    """
    if not path.is_file():
        raise _as_unusable("E_ANN_MISSING", "expected a map file, there is none", path)
    return read_picture(path, **BUDGET)[0] if frame is None else stored_frame(path, frame, **BUDGET)


def marks_nothing(path: Path) -> bool:
    """Whether a map is black all over, as some draw it where there was nothing to mark; alpha does not count.

    Read in an expendable process. Raises UnusableImage as `read_stored` does.
    """
    return not call_apart(path, BUDGET["max_megabytes"], _is_marked, path)


def _is_marked(path: Path) -> bool:
    return bool(read_stored(path).any())


def read_mask(masked: Masked, width: int, height: int) -> np.ndarray:
    """What is marked, bool (H, W): pixels of which a channel has at least half its range.

    Raises UnusableImage: E_ANN_MISSING, E_DECODE, E_ANN_DIMS (not `width` x `height` px), E_ANN_EMPTY.
    """
    stored = read_stored(masked.path, masked.frame)
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
