"""A decoded image with the facts the manifest keeps, or the reason why there is none."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.samples import Problem


class UnusableImage(Exception):
    """An image or annotation that cannot be used; `problem` carries the code and the line to show."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))

    def __reduce__(self) -> tuple[type["UnusableImage"], tuple[Problem]]:
        return type(self), (self.problem,)  # survives the trip back from a worker process


@dataclass(frozen=True)
class Loaded:
    """One image, upright, with 0 black and 1 white.

    `pixels` is float32 in [0, 1], (H, W) for grey and (H, W, 3) for colour. `width` and `height` are those
    of `pixels`, so of the picture as a reader saw it (after any EXIF rotation). Spacing is in mm, None if
    unknown; `phi_flag` is `no` where the file says that it shows no patient data, else `absent`.
    """

    pixels: np.ndarray
    width: int
    height: int
    bits: int
    photometric: str  # MONOCHROME1, MONOCHROME2, RGB, L
    spacing_row_mm: float | None = None
    spacing_col_mm: float | None = None
    spacing_kind: str = ""  # PixelSpacing, ImagerPixelSpacing, dpi
    phi_flag: str = "absent"


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
            f"header says {width}x{height} px in {bands} band(s), {megapixels:.0f} megapixels and "
            f"{megabytes:.0f} MB decoded; at most {max_megapixels:g} and {max_megabytes:g} are allowed "
            "(prepare.max_megapixels, prepare.max_megabytes)"
        )
        raise UnusableImage(Problem("E_DECODE", where, message))


def check_pixels(where: str, pixels: np.ndarray) -> None:
    """Refuse (E_FLAT) pixels that are not finite or show one single colour."""
    low, high = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise UnusableImage(Problem("E_FLAT", where, "pixels are not finite; expected numbers"))
    if (low == high).all():
        raise UnusableImage(
            Problem("E_FLAT", where, "all pixels are equal; expected a picture, replace or drop the file")
        )
