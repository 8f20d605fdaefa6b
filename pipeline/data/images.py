"""Pictures from files, and the one geometry that brings pictures and maps to the network's square.

DICOM is told by content; everything else is read by Pillow. The geometry is a separable linear operation:
exact area averaging when shrinking, linear interpolation when enlarging, zero outside the image.
"""

import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import sparse

from pipeline.data import dicom
from pipeline.data.picture import Picture, check_budget, check_pixels
from pipeline.data.problems import Problem, UnusableImage

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
DICOM_SUFFIXES = ("", ".dcm", ".dicom")  # where a file without the DICOM mark may still be one
BITS = {"1": 1, "I": 32, "F": 32}  # of a Pillow mode; the modes I;16* have 16, all others 8
ROI_MARGIN = 16  # px around the circle of a `cx,cy,r` region, as in the published iris crops
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as in Pillow


def load(
    path: Path, *, max_megapixels: float, max_megabytes: float, dicom_frame: int | None = None
) -> Picture:
    """Decode one image file, upright, to float32 in [0, 1]; see `Picture` and `dicom.read`.

    Alpha is dropped, palettes become colours, EXIF rotation is applied. Integers are divided by the largest
    value of their type; floats and 32-bit integers are stretched from their smallest to their largest.

    Raises UnusableImage: E_IMAGE_MISSING, E_DECODE (truncated, corrupt, not an image, over budget), E_FLAT,
    E_PHI.
    """
    limits = {"max_megapixels": max_megapixels, "max_megabytes": max_megabytes}
    if not path.is_file():
        raise UnusableImage(Problem("E_IMAGE_MISSING", path.name, "expected an image file, there is none"))
    if dicom.is_dicom(path) or (path.suffix.lower() in DICOM_SUFFIXES and not _is_picture(path)):
        return dicom.read(path, dicom_frame=dicom_frame, **limits)
    stored, mode = read_picture(path, **limits)
    pixels = _unit_range(stored)
    check_pixels(path.name, pixels)
    bits = 16 if mode.startswith("I;16") else BITS.get(mode, 8)
    return Picture(pixels, bits=bits, photometric="L" if pixels.ndim == 2 else "RGB")


def read_picture(path: Path, *, max_megapixels: float, max_megabytes: float) -> tuple[np.ndarray, str]:
    """Stored values of a PNG, JPEG, WebP, TIFF or BMP file, upright, and Pillow's name of its mode.

    Grey files give (H, W), all others (H, W, 3) uint8. Raises UnusableImage (E_DECODE).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own size warning: the budget below is ours
        try:
            with Image.open(path, formats=FORMATS) as image:
                limits = {"max_megapixels": max_megapixels, "max_megabytes": max_megabytes}
                check_budget(path.name, image.width, image.height, len(image.getbands()), **limits)
                upright = ImageOps.exif_transpose(image)
        except UnusableImage:
            raise
        except Exception as error:  # Pillow's plugins raise every kind of error on damaged files
            message = (
                f"not a whole {', '.join(FORMATS)} or DICOM image within the size limits "
                f"({type(error).__name__}); replace or drop the file"
            )
            raise UnusableImage(Problem("E_DECODE", path.name, message)) from None
    return _stored_values(upright), upright.mode


def from_memory(image: Image.Image | np.ndarray) -> np.ndarray:
    """A Pillow image, or an array (H, W) or (H, W, 3), as `load` would give its pixels: float32 in [0, 1].

    Arrays hold uint8, uint16 or bool, or floats that lie in [0, 1] already.

    Raises UnusableImage: E_DECODE (another shape or kind of numbers), E_FLAT.

    >>> from_memory(np.array([[0, 51], [102, 255]], np.uint8)).round(2).tolist()
    [[0.0, 0.20000000298023224], [0.4000000059604645, 1.0]]
    """
    if isinstance(image, Image.Image):
        pixels = _unit_range(_stored_values(ImageOps.exif_transpose(image)))
    else:
        known = image.dtype in (np.uint8, np.uint16, bool)
        floats = image.dtype.kind == "f" and image.size > 0 and image.min() >= 0 and image.max() <= 1
        if image.shape[2:] not in ((), (3,)) or image.ndim < 2 or image.size == 0 or not (known or floats):
            message = (
                "expected an array (H, W) or (H, W, 3) of uint8, uint16 or bool, or of floats in [0, 1]; "
                f"got {image.dtype} {image.shape}"
            )
            raise UnusableImage(Problem("E_DECODE", "array", message))
        pixels = image.astype(np.float32) if floats else _unit_range(image)
    check_pixels(type(image).__name__, pixels)
    return pixels


def to_square(pixels: np.ndarray, *, roi: str, crop: str, image_size: int, channels: int) -> np.ndarray:
    """Crop and resize a picture in [0, 1], (H, W) or (H, W, 3), to uint8 (channels, S, S).

    `crop` is `none` (the whole frame, squashed to the square so that nothing is cut), `square` (the largest
    central square) or `roi` (the sample's region `cx,cy,r` with a margin of 16 px, or `x0,y0,x1,y1`, in px
    of the picture; the central square where it is blank). Colour becomes grey by luma, grey is repeated.

    Raises UnusableImage (E_ROI).
    """
    height, width = pixels.shape[:2]
    corners = _find_corners(width, height, roi, crop)
    if channels == 1 and pixels.ndim == 3:
        pixels = pixels @ LUMA
    square = _resample(pixels, corners, (image_size, image_size))
    planes = square[None] if square.ndim == 2 else square.transpose(2, 0, 1)
    levels = np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (channels, image_size, image_size)))


def map_to_square(
    human_map: np.ndarray, *, width: int, height: int, roi: str, crop: str, image_size: int
) -> np.ndarray:
    """The geometry of `to_square` for a map (h, w) of a picture of `width` x `height` px; float32 (S, S).

    The map may be smaller than its picture; it covers the whole of it.
    """
    scale_x, scale_y = human_map.shape[1] / width, human_map.shape[0] / height
    x0, y0, x1, y1 = _find_corners(width, height, roi, crop)
    corners = (x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y)
    return _resample(human_map, corners, (image_size, image_size))


def from_square(values: np.ndarray, *, width: int, height: int, crop: str) -> np.ndarray:
    """The way back: a map (h, w) of the square on the grid of its picture, float32 (height, width).

    0 where the crop has cut the picture off.

    >>> from_square(np.array([[1.0]]), width=3, height=1, crop="square").tolist()
    [[0.0, 1.0, 0.0]]
    """
    x0, y0, x1, y1 = _find_corners(width, height, "", crop)
    across, down = values.shape[1] / (x1 - x0), values.shape[0] / (y1 - y0)
    corners = (-x0 * across, -y0 * down, (width - x0) * across, (height - y0) * down)
    return _resample(values, corners, (height, width))


def shrink(grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Area-average a map (H, W) to `shape` (h, w), float32.

    >>> shrink(np.array([[0.0, 1.0], [0.0, 1.0]]), (1, 2)).tolist()
    [[0.0, 1.0]]
    """
    return _resample(grey, (0, 0, grey.shape[1], grey.shape[0]), shape)


def _stored_values(upright: Image.Image) -> np.ndarray:
    """Grey as (H, W), everything else as (H, W, 3) uint8."""
    mode = upright.mode
    if mode in ("1", "LA", "La"):
        upright = upright.convert("L")
    elif mode not in ("L", "I", "F", "RGB") and not mode.startswith("I;16"):
        upright = upright.convert("RGB")
    return np.asarray(upright)


def _is_picture(path: Path) -> bool:
    try:
        Image.open(path, formats=FORMATS).close()
    except Image.UnidentifiedImageError:
        return False
    except Exception:  # recognised, then too large or damaged: still a picture
        return True
    return True


def _unit_range(stored: np.ndarray) -> np.ndarray:
    """Stored values to float32 in [0, 1]."""
    if stored.dtype == bool:
        return stored.astype(np.float32)
    if stored.dtype in (np.uint8, np.uint16):
        return stored / np.float32(np.iinfo(stored.dtype).max)
    values = stored.astype(np.float32)
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else values


def _find_corners(width: int, height: int, roi: str, crop: str) -> tuple[float, float, float, float]:
    """The rectangle x0, y0, x1, y1 (px, may reach outside) that fills the square."""
    if crop == "none":
        return 0, 0, width, height
    if crop == "square" or not roi:
        side = min(width, height)
        x0, y0 = (width - side) / 2, (height - side) / 2
        return x0, y0, x0 + side, y0 + side
    return _find_region(width, height, roi)


def _find_region(width: int, height: int, roi: str) -> tuple[float, float, float, float]:
    """The corners that a sample's roi means; it must have an area and meet the image."""
    try:
        values = [float(part) for part in roi.split(",")]
    except ValueError:
        values = []
    x0, y0, x1, y1 = values if len(values) == 4 else (0, 0, 0, 0)
    margin = 0
    if len(values) == 3:
        cx, cy, r = values
        x0, y0, x1, y1 = cx - r, cy - r, cx + r, cy + r
        margin = ROI_MARGIN
    if not (max(x0, 0) < min(x1, width) and max(y0, 0) < min(y1, height)):
        expected = f"expected cx,cy,r with r > 0 or x0,y0,x1,y1, in px of an image of {width}x{height}"
        raise UnusableImage(Problem("E_ROI", "roi", f"{expected}; got {roi!r}"))
    return x0 - margin, y0 - margin, x1 + margin, y1 + margin


def _resample(
    grid: np.ndarray, corners: tuple[float, float, float, float], shape: tuple[int, int]
) -> np.ndarray:
    """Resample the rectangle `corners` of (H, W) or (H, W, 3) to `shape`, float32."""
    x0, y0, x1, y1 = corners
    rows = _resampling_weights(grid.shape[0], y0, y1, shape[0])
    columns = _resampling_weights(grid.shape[1], x0, x1, shape[1])
    flat = grid.astype(np.float32, copy=False).reshape(grid.shape[0], -1)
    narrow = (rows @ flat).reshape(shape[0], *grid.shape[1:])
    across = np.moveaxis(narrow, 1, 0).reshape(grid.shape[1], -1)
    square = (columns @ across).reshape(shape[1], shape[0], *grid.shape[2:])
    return np.ascontiguousarray(np.moveaxis(square, 0, 1), dtype=np.float32)


@lru_cache(maxsize=64)  # a data set has few image sizes
def _resampling_weights(length: int, start: float, stop: float, size: int) -> sparse.csr_array:
    """How much each of `length` pixels gives to each of `size` cells between `start` and `stop`.

    Rows sum to 1 inside the image and to less where a cell reaches outside.

    >>> _resampling_weights(4, 0, 4, 2).toarray().tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    step = (stop - start) / size
    if step >= 1:  # shrinking: the share of the cell that each pixel covers
        left = start + step * np.arange(size)[:, None]
        pixel = np.arange(length)[None, :]
        overlap = np.minimum(left + step, pixel + 1) - np.maximum(left, pixel)
        dense = np.clip(overlap, 0, None) / step
    else:  # enlarging: between the centres of the two nearest pixels, the outermost repeated to their edge
        centre = start + step * (np.arange(size) + 0.5)
        position = np.clip(centre - 0.5, 0, length - 1)
        dense = np.clip(1 - np.abs(position[:, None] - np.arange(length)[None, :]), 0, None)
        dense[(centre < 0) | (centre > length)] = 0
    return sparse.csr_array(dense.astype(np.float32))
