"""Damages image files in ways that happen, or that someone might want to happen, from a seed."""

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from PIL import Image
from pydicom.data import get_testdata_files

from pipeline.data import images
from pipeline.data.problems import UnusableImage

Generator = np.random.Generator
MOST = 400_000  # bytes of a file that is damaged: larger ones only take longer
LIMITS = {"max_megapixels": 64, "max_megabytes": 512}
PICTURES = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".bmp": "BMP"}
TIFFS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
IMAGE_GROUP = b"\x28\x00"  # of DICOM tags, in little endian
# elements of that group: bands, colours, frames, rows, columns, bits, sign, padding, window, slope, tables
ELEMENTS = (0x02, 0x04, 0x06, 0x08, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103, 0x120, 0x1050, 0x1051, 0x1053)
ODD = (0, 1, 2, 3, 7, 8, 9, 12, 13, 15, 16, 17, 24, 31, 32, 64, 255, 256, 4095, 32767, 32768, 65535)


class Outcome(NamedTuple):
    """What became of one file: `picture`, the code of its refusal, or the name of another error."""

    what: str
    seconds: float


def sources(folder: Path, shared: Path, valid: Sequence[Path]) -> dict[str, list[Path]]:
    """Files to damage by format; pictures that are drawn or encoded again go into `folder`."""
    found = {"DICOM, generated": list(valid), "DICOM, pydicom": _small(map(Path, get_testdata_files()))}
    found["drawn pictures"] = _draw_pictures(folder)
    if shared.is_dir():
        real = _small(shared.rglob("*"))
        for suffixes in ((".png",), (".jpg", ".jpeg"), (".webp",)):
            found[f"{suffixes[0][1:]}, real"] = [path for path in real if path.suffix in suffixes][::7]
        opened = [path for path in real if path.suffix in (".png", ".jpg", ".jpeg")][::97]
        found["TIFF and BMP of real ones"] = [each for path in opened for each in _encode_again(path, folder)]
        dicom = [path for path in sorted((shared / "cxr" / "dicom").rglob("*")) if path.is_file()]
        found["DICOM, real"] = dicom
    return {name: paths for name, paths in found.items() if paths}


def load(path: Path, frame: int | None) -> np.ndarray | UnusableImage:
    """The pixels of a file, or why there are none."""
    try:
        return images.load(path, **LIMITS, dicom_frame=frame).pixels
    except UnusableImage as error:
        return error


def attempt(source: Path, number: int, seed: int, folder: Path) -> Outcome:
    """Damage a file and load the result; runs in an expendable process, as `prepare` loads."""
    path = folder / f"{number}{source.suffix}"
    path.write_bytes(damage(source.read_bytes(), np.random.default_rng([seed, number])))
    started = time.perf_counter()
    try:
        found = load(path, frame=1)
        what = found.problem.code if isinstance(found, UnusableImage) else "picture"
    except MemoryError:
        raise
    except Exception as error:
        what = f"traceback: {type(error).__name__}"
    path.unlink()
    return Outcome(what, time.perf_counter() - started)


def damage(data: bytes, rng: Generator) -> bytes:
    """One to three damages."""
    kinds: list[Callable[[bytes, Generator], bytes]] = [
        _flip_bits, _cut, _insert, _drop, _repeat, _fill, _swap_tags, _set_element, _rewrite_header,
    ]  # fmt: skip
    for _ in range(int(rng.integers(1, 4))):
        if len(data) > 16:
            data = kinds[rng.integers(len(kinds))](data, rng)
    return data


def _place(data: bytes, rng: Generator) -> int:
    """Somewhere, in half of all cases near the start, where headers are."""
    end = len(data) if rng.random() < 0.5 else min(len(data), 2000)
    return int(rng.integers(end))


def _flip_bits(data: bytes, rng: Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 17))):
        changed[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, rng: Generator) -> bytes:
    return data[: _place(data, rng)]


def _insert(data: bytes, rng: Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.bytes(int(rng.integers(1, 20))) + data[at:]


def _drop(data: bytes, rng: Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 200)) :]


def _repeat(data: bytes, rng: Generator) -> bytes:
    at, size = _place(data, rng), int(rng.integers(1, 500))
    return data[: at + size] + data[at:]


def _fill(data: bytes, rng: Generator) -> bytes:
    at, size = _place(data, rng), int(rng.integers(1, 9))
    return data[:at] + [b"\x00", b"\xff"][rng.integers(2)] * size + data[at + size :]


def _tags(data: bytes) -> list[int]:
    """Where tags of the image group stand, and in other formats whatever looks like it."""
    places, at = [], data.find(IMAGE_GROUP)
    while at >= 0 and len(places) < 200:
        places.append(at)
        at = data.find(IMAGE_GROUP, at + 1)
    return places


def _swap_tags(data: bytes, rng: Generator) -> bytes:
    places = _tags(data)
    if len(places) < 2:
        return _flip_bits(data, rng)
    one, other = (int(place) for place in rng.choice(places, 2))
    changed = bytearray(data)
    changed[one : one + 4], changed[other : other + 4] = data[other : other + 4], data[one : one + 4]
    return bytes(changed)


def _set_element(data: bytes, rng: Generator) -> bytes:
    """Another number where an element of the image group has its value, types explicit or not."""
    element = IMAGE_GROUP + int(ELEMENTS[rng.integers(len(ELEMENTS))]).to_bytes(2, "little")
    at = data.find(element)
    if at < 0:
        return _flip_bits(data, rng)
    number = int(ODD[rng.integers(len(ODD))]).to_bytes(2, "little")
    return data[: at + 8] + number + data[at + 10 :]


def _rewrite_header(data: bytes, rng: Generator) -> bytes:
    """A sound DICOM file with one wrong value, or a compressed one that claims another transfer syntax."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        element = dataset.get((0x28, int(ELEMENTS[rng.integers(len(ELEMENTS))])))
        if element is not None and isinstance(element.value, int):
            element.value = int(ODD[rng.integers(len(ODD))])
        elif rng.random() < 0.5:
            dataset.PhotometricInterpretation = [
                "RGB",
                "YBR_FULL",
                "YBR_FULL_422",
                "PALETTE COLOR",
                "MONOCHROME1",
            ][rng.integers(5)]
        else:
            number = ["50", "51", "57", "70", "80", "81", "90", "91", "201"][rng.integers(9)]
            dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{number}"
        written = io.BytesIO()
        dataset.save_as(written)
        return written.getvalue()
    except Exception:
        return _flip_bits(data, rng)


def _small(paths: object) -> list[Path]:
    return sorted(path for path in paths if path.is_file() and 0 < path.stat().st_size <= MOST)  # type: ignore[attr-defined]


def _draw_pictures(folder: Path) -> list[Path]:
    rng, made = np.random.default_rng(0), []
    grey = Image.fromarray(rng.integers(0, 256, (40, 50), np.uint8))
    colours = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (40, 50)).astype(np.uint16))
    pictures = {
        "grey": grey,
        "colour": colours,
        "palette": colours.quantize(),
        "alpha": colours.convert("RGBA"),
    }
    for name, picture in (pictures | {"deep": deep, "bits": grey.convert("1")}).items():
        for suffix, kind in PICTURES.items():
            path = folder / f"{name}{suffix}"
            try:
                picture.save(path, kind)
            except (OSError, ValueError):  # a format that does not hold such pixels
                path.unlink(missing_ok=True)
                continue
            made.append(path)
    return made


def _encode_again(path: Path, folder: Path) -> list[Path]:
    made = []
    with Image.open(path) as opened:
        picture = opened.convert("RGB").resize((120, 100))
    for compression in TIFFS:
        made.append(folder / f"{path.stem}_{compression}.tif")
        picture.save(made[-1], compression=compression)
    made.append(folder / f"{path.stem}.bmp")
    picture.save(made[-1])
    return made
