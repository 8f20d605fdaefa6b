"""A decoded picture with the facts of its file, and the two rules that every picture must keep."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.problems import Problem, UnusableImage


@dataclass(frozen=True)
class Picture:
    """One image, upright, with 0 black and 1 white.

    `pixels` is float32 in [0, 1], (H, W) for grey and (H, W, 3) for colour: the picture as a reader saw it,
    so after any EXIF rotation. `phi_flag` is `no` where the file says that no patient data are burned into
    its pixels, else `absent`.
    """

    pixels: np.ndarray
    bits: int  # per stored value
    photometric: str  # one of manifest.PHOTOMETRICS
    phi_flag: str = "absent"

    @property
    def width(self) -> int:
        """Columns of the pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows of the pixels."""
        return int(self.pixels.shape[0])


def check_budget(
    where: str, width: int, height: int, bands: int, *, max_megapixels: float, max_megabytes: float
) -> None:
    """Refuse (E_DECODE) what would not fit in memory; called with header values, before any decoding.

    Megabytes count the decoded float32 array: `width * height * bands * 4` bytes.
    """
    megapixels = width * height / 1e6
    megabytes = width * height * bands * 4 / 1e6
    if megapixels > max_megapixels or megabytes > max_megabytes:
        message = (
            f"header says {width}x{height} px in {bands} band(s), {megapixels:.4g} megapixels and "
            f"{megabytes:.4g} MB decoded; at most {max_megapixels:g} and {max_megabytes:g} are allowed "
            "(prepare.max_megapixels, prepare.max_megabytes)"
        )
        raise UnusableImage(Problem("E_DECODE", where, message))


def check_pixels(where: str, pixels: np.ndarray) -> None:
    """Refuse (E_FLAT) pixels (H, W) or (H, W, 3) that are not finite or show one single colour."""
    # One axis after the other: NumPy is over a hundred times slower on both at once, where colours are last.
    low, high = pixels.min(axis=0).min(axis=0), pixels.max(axis=0).max(axis=0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise UnusableImage(Problem("E_FLAT", where, "pixels are not finite; expected numbers"))
    if (low == high).all():
        raise UnusableImage(
            Problem("E_FLAT", where, "all pixels are equal; expected a picture, replace or drop the file")
        )
