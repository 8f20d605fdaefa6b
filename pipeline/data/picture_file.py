"""One whole picture from a PNG, JPEG, WebP, TIFF or BMP file, or a refusal that says what is wrong with it.

Pillow decodes. It lets three kinds of files pass that would train a network on something else than the
picture: PNG files whose checksums do not fit or whose rows are missing (they end black), files with several
pages or frames (it shows the first), and it has a limit of its own for sizes, where ours is the user's.
"""

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.data.picture import check_budget
from pipeline.data.problems import Problem, UnusableImage

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
SEVERAL = ("PNG", "WEBP", "TIFF")  # formats of which a file can hold several pictures
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by PNG's colour type (PNG specification, 11.2.2)
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PILLOW = threading.Lock()  # its limit belongs to the process


def read_picture(path: Path, *, max_megapixels: float, max_megabytes: float) -> tuple[np.ndarray, str]:
    """Stored values of an image file, upright, and Pillow's name of its mode.

    Grey files give (H, W), all others (H, W, 3) uint8.

    Raises UnusableImage (E_DECODE): damaged, no image, several pages or frames, over the budget.
    """
    with _without_pillows_limits():
        try:
            with Image.open(path, formats=FORMATS) as image:
                limits = {"max_megapixels": max_megapixels, "max_megabytes": max_megabytes}
                check_budget(path.name, image.width, image.height, len(image.getbands()), **limits)
                _check_single(image, path.name)
                if image.format == "PNG":
                    _check_png(path)
                upright = ImageOps.exif_transpose(image)
        except UnusableImage:
            raise
        except Exception as error:  # Pillow's plugins raise every kind of error on damaged files
            message = f"not a whole {', '.join(FORMATS)} or DICOM image ({type(error).__name__})"
            raise _undecodable(path.name, message) from None
    return stored_values(upright), upright.mode


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file by its header, as it is stored; UnusableImage (E_DECODE) without."""
    with _without_pillows_limits():
        try:
            with Image.open(path, formats=FORMATS) as image:
                return image.size
        except Exception as error:  # as above
            message = f"not an image file with a readable header ({type(error).__name__})"
            raise _undecodable(path.name, message) from None


def is_picture(path: Path) -> bool:
    """Whether a file begins as an image file of these formats does, whole or not."""
    with _without_pillows_limits():
        try:
            Image.open(path, formats=FORMATS).close()
        except Image.UnidentifiedImageError:
            return False
        except Exception:  # recognised, then damaged: still a picture
            return True
    return True


def stored_values(upright: Image.Image) -> np.ndarray:
    """Grey as (H, W), everything else as (H, W, 3) uint8; alpha is dropped."""
    mode = upright.mode
    if mode in ("1", "LA", "La"):
        upright = upright.convert("L")
    elif mode not in ("L", "I", "F", "RGB") and not mode.startswith("I;16"):
        upright = upright.convert("RGB")
    return np.asarray(upright)


@contextmanager
def _without_pillows_limits() -> Iterator[None]:
    """While it lasts, Pillow neither warns of large files nor refuses them; the budget is ours."""
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_single(image: Image.Image, where: str) -> None:
    """Refuse files with several pages or frames; of JPEG files only the main picture is ever shown."""
    pictures = getattr(image, "n_frames", 1) if image.format in SEVERAL else 1
    if pictures > 1:
        raise _undecodable(where, f"holds {pictures} pages or frames; expected one, export the one to use")


def _check_png(path: Path) -> None:
    """Refuse a PNG file whose checksums do not fit, whose end is missing, or that lacks rows."""
    pixels, expected, found = zlib.decompressobj(), 0, 0
    try:
        for kind, data, checksum in _read_png_parts(path.read_bytes()):
            if checksum != zlib.crc32(data, zlib.crc32(kind)):
                raise _undecodable(
                    path.name, f"the checksum of its part {kind.decode('latin-1')!r} does not fit"
                )
            if kind == b"IHDR":
                expected = _count_png_bytes(bytes(data))
            elif kind == b"IDAT":
                found += len(pixels.decompress(data, max(1, expected - found)))
    except (struct.error, zlib.error):
        raise _undecodable(path.name, "a PNG file that is cut off or damaged") from None
    if found < expected:
        raise _undecodable(path.name, f"holds {found} of {expected} bytes of pixels, so rows are missing")


def _read_png_parts(content: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Kind, data and checksum of each part, up to the one that ends the file; struct.error if that lacks."""
    view, at, kind = memoryview(content), 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", view, at)
        data = view[at + 8 : at + 8 + length]
        yield kind, data, struct.unpack_from(">I", view, at + 8 + length)[0]
        at += length + 12


def _count_png_bytes(header: bytes) -> int:
    """How many bytes of filtered rows a PNG picture has, by its header (PNG specification, 7.2 and 8.2).

    >>> _count_png_bytes(struct.pack(">IIBBBBB", 5, 3, 8, 2, 0, 0, 0))
    48
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    total = 0
    for x0, y0, step_x, step_y in passes:
        columns, rows = -((x0 - width) // step_x), -((y0 - height) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * _SAMPLES[colour] * depth + 7) // 8)
    return total


def _undecodable(where: str, message: str) -> UnusableImage:
    return UnusableImage(Problem("E_DECODE", where, f"{message}; replace or drop the file"))
