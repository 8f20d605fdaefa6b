"""Valid DICOM files of every kind that is read, drawn from a seed, each with the picture that it means.

The pictures are computed value by value in plain Python, from the text of DICOM PS3.3 (C.7.6.3.1, C.11.1,
C.11.2, C.7.5.1.1.2), without a function of the project or of pydicom: two ways that must meet.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import fuzz_files
from benchmarks.fuzz_files import Pixels

Generator = np.random.Generator
FLAT = 1e-6  # pictures with a smaller range show nothing
OTHERS = ("frames", "colour", "YBR", "YBR 4:2:2", "palette", "1 bit", "32 bits", "lossy", "12-bit JPEG")
KINDS = (*["grey"] * len(OTHERS), *OTHERS)  # in turn


class Case(NamedTuple):
    """A file's meaning: pixels in [0, 1], (H, W) or (H, W, 3), within `tolerance`."""

    kind: str
    frame: int | None
    expected: np.ndarray
    tolerance: float

    def is_met(self, pixels: np.ndarray | None) -> bool:
        """Whether decoded pixels are the expected ones; None: refused as flat."""
        if pixels is None:
            bands = self.expected.reshape(*self.expected.shape[:2], -1)
            return float(np.ptp(bands, axis=(0, 1)).max()) <= max(FLAT, self.tolerance)
        same = pixels.shape == self.expected.shape
        return same and float(np.abs(pixels - self.expected).max()) <= self.tolerance


def draw(path: Path, number: int, seed: int) -> Case:
    """Write the file of this number and say what it means."""
    rng = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    if kind in ("grey", "frames", "32 bits"):
        allocated = 32 if kind == "32 bits" else int(rng.choice([8, 16]))
        return _grey(path, rng, kind, allocated, int(rng.integers(2, 5)) if kind == "frames" else 1)
    if kind in ("lossy", "12-bit JPEG"):
        return _lossy(path, rng, 8 if kind == "lossy" else 12)
    makers = {"1 bit": _bit, "colour": _colour, "YBR": _ybr, "YBR 4:2:2": _ybr_422, "palette": _palette}
    return makers[kind](path, rng)


def _sides(rng: Generator) -> tuple[int, int]:
    return int(rng.integers(3, 20)), int(rng.integers(3, 20))


def _grey(path: Path, rng: Generator, kind: str, allocated: int, frames: int) -> Case:
    signed = bool(rng.integers(2))
    stored = int(rng.integers(max(2, allocated // 2), allocated + 1))
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    values = rng.integers(low, high + 1, (frames, *_sides(rng)))
    if rng.random() < 0.3:  # narrow ranges, as of real films
        values = low + (values - low) // 5
    pixels = Pixels(values, allocated, stored, signed, ["MONOCHROME1", "MONOCHROME2"][rng.integers(2)])
    place = int(rng.integers(frames))
    tags: dict[str, Any] = {}
    wide = allocated == 32
    modality = _draw_modality(rng, tags, low, high, tables=not wide)
    ends = modality(low), modality(high)
    voi, width = _draw_voi(rng, tags, min(ends), max(ends), tables=not wide)
    padding = _draw_padding(rng, tags, values[place], signed, wide)
    fuzz_files.write(path, pixels, tags, rng)
    expected = _show(values[place], padding, modality, voi, pixels.photometric == "MONOCHROME1")
    largest = max(map(abs, ends))
    tolerance = 4e-6 + 8 * 2**-24 * largest / (width or 1) * (not wide)
    return Case(f"{kind}, {fuzz_files.name_of(path)}", place + 1 if frames > 1 else None, expected, tolerance)


def _draw_modality(
    rng: Generator, tags: dict[str, Any], low: int, high: int, tables: bool
) -> Callable[[int], float]:
    """A modality transform, as a function of one stored value; its tags are added."""
    choice = rng.random()
    if choice < 0.3:
        return float
    if choice < 0.7 or not tables:
        slope, intercept = (
            float(rng.choice([0.25, 0.5, 1, 2, 3, -0.5, -1, -2])),
            int(rng.integers(-2000, 2000)),
        )
        tags.update(RescaleSlope=slope, RescaleIntercept=intercept)
        return lambda value: value * slope + intercept
    bits = int(rng.choice([8, 16]))
    number, first, entries = _draw_table(rng, low, high, bits)
    tags["ModalityLUTSequence"] = (number, first, bits, entries, low < 0)
    return lambda value: float(entries[min(max(value - first, 0), len(entries) - 1)])


def _draw_voi(
    rng: Generator, tags: dict[str, Any], low: float, high: float, tables: bool
) -> tuple[Callable[[float], float] | None, float]:
    """A VOI transform to [0, 1], None where there is none, and the width within which it rises."""
    choice = rng.random()
    if choice < 0.25:
        return None, high - low
    both = choice < 0.35
    window, width = _draw_window(rng, tags, low, high) if choice < 0.7 or not tables else (None, 1.0)
    if tables and (both or window is None):
        bits = int(rng.integers(8, 17))
        least, most = math.floor(low), math.ceil(high)
        if least >= -(2**15) and most < 2**16 and (least >= 0 or most < 2**15):
            number, first, entries = _draw_table(rng, least, most, bits)
            tags["VOILUTSequence"] = (number, first, bits, entries, least < 0)
            top = 2**bits - 1
            # of a table and a window the table counts
            return lambda value: entries[min(max(round(value) - first, 0), len(entries) - 1)] / top, math.inf
    return (window, width) if window else (None, high - low)


def _draw_window(
    rng: Generator, tags: dict[str, Any], low: float, high: float
) -> tuple[Callable[[float], float], float]:
    """A window, and now and then a second one that must not count."""
    function = str(rng.choice(["LINEAR", "LINEAR_EXACT", "SIGMOID"]))
    center = round(float(rng.uniform(low, high)) * 2) / 2
    width = 1.0 if rng.random() < 0.05 else max(2.0, round(float(rng.uniform(0, 1.5)) * (high - low)))
    second = [float(rng.integers(1, 99)), float(rng.integers(2, 99))]
    several = rng.random() < 0.3
    tags["WindowCenter"] = [center, second[0]] if several else center
    tags["WindowWidth"] = [width, second[1]] if several else width
    if function != "LINEAR" or rng.random() < 0.5:
        tags["VOILUTFunction"] = function

    def show(x: float) -> float:
        if function == "SIGMOID":
            power = -4 * (x - center) / width
            return 1 / (1 + math.exp(power)) if power < 700 else 0
        exact = function == "LINEAR_EXACT"
        c, w = (center, width) if exact else (center - 0.5, width - 1)
        if x <= c - w / 2:
            return 0
        return 1 if x > c + w / 2 else (x - c) / w + 0.5

    return show, max(width - 1, 1)


def _draw_table(rng: Generator, low: int, high: int, bits: int) -> tuple[int, int, list[int]]:
    """The number to write, the first mapped value and the entries of a table somewhere between two values."""
    full = low >= 0 and high > 60000 and rng.random() < 0.5
    number = 2**16 if full else int(rng.integers(2, min(high - low + 20, 3000)))
    first = 0 if full else int(rng.integers(max(low - 3, -(2**15) if low < 0 else 0), high + 1))
    first = min(first, 2**15 - 1) if low < 0 else first
    entries = np.sort(rng.integers(0, 2**bits, number))
    return number % 2**16, first, [int(entry) for entry in (entries if rng.random() < 0.7 else entries[::-1])]


def _draw_padding(
    rng: Generator, tags: dict[str, Any], values: np.ndarray, signed: bool, wide: bool
) -> tuple[int, int] | None:
    """The first and the last value that mean padding."""
    if rng.random() < 0.7 or wide:
        return None
    one, other = (int(value) for value in rng.choice(values.ravel(), 2))
    vr = "SS" if signed else "US"
    tags["PixelPaddingValue"] = (vr, one)
    if rng.random() < 0.5:
        return one, one
    tags["PixelPaddingRangeLimit"] = (vr, other)
    return min(one, other), max(one, other)


def _show(
    values: np.ndarray,
    padding: tuple[int, int] | None,
    modality: Callable[[int], float],
    voi: Callable[[float], float] | None,
    inverted: bool,
) -> np.ndarray:
    """The picture of stored values, one value at a time; a flat one is all zeros."""
    inside = [int(x) for x in np.unique(values) if padding is None or not padding[0] <= x <= padding[1]]
    if len(inside) < 2:
        return np.zeros(values.shape)
    seen = [modality(x) for x in inside]
    low, high = min(seen), max(seen)
    if voi is None and low == high:
        return np.zeros(values.shape)
    meaning = {}
    for x, y in zip(inside, seen, strict=True):
        z = voi(y) if voi else (y - low) / (high - low)
        meaning[x] = 1 - z if inverted else z
    return np.vectorize(lambda x: float(meaning.get(int(x), 0)))(values)


def _bit(path: Path, rng: Generator) -> Case:
    values = rng.integers(0, 2, (1, *_sides(rng)))
    values[0, 0, :2] = 0, 1
    fuzz_files.write(path, Pixels(values, 1, 1, False, "MONOCHROME2"), {}, rng)
    return Case(f"1 bit, {fuzz_files.name_of(path)}", None, values[0].astype(float), 1e-6)


def _colour(path: Path, rng: Generator) -> Case:
    allocated = int(rng.choice([8, 16]))
    stored = int(rng.integers(max(2, allocated // 2), allocated + 1))
    values = rng.integers(0, 2**stored, (1, *_sides(rng), 3))
    fuzz_files.write(path, Pixels(values, allocated, stored, False, "RGB"), {}, rng)
    return Case(f"colour, {fuzz_files.name_of(path)}", None, values[0] / (2**stored - 1), 1e-6)


def _from_ybr(values: np.ndarray) -> np.ndarray:
    """C.7.6.3.1.2, turned round."""
    y, cb, cr = (values[..., band].astype(float) for band in range(3))
    red = y + 1.402 * (cr - 128)
    green = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
    return np.clip(np.stack([red, green, y + 1.772 * (cb - 128)], axis=-1), 0, 255) / 255


def _ybr(path: Path, rng: Generator) -> Case:
    values = rng.integers(0, 256, (1, *_sides(rng), 3))
    fuzz_files.write(path, Pixels(values, 8, 8, False, "YBR_FULL"), {}, rng)
    return Case(f"YBR, {fuzz_files.name_of(path)}", None, _from_ybr(values[0]), 1.6 / 255)


def _ybr_422(path: Path, rng: Generator) -> Case:
    rows, pairs = int(rng.integers(3, 12)), int(rng.integers(2, 10))
    four = rng.integers(0, 256, (rows, pairs, 4))  # Y, Y, Cb, Cr
    fuzz_files.write_422(path, four.astype(np.uint8), rng)
    values = np.stack([four[..., [0, 2, 3]], four[..., [1, 2, 3]]], axis=2).reshape(rows, 2 * pairs, 3)
    return Case("YBR 4:2:2, plain", None, _from_ybr(values), 1.6 / 255)


def _palette(path: Path, rng: Generator) -> Case:
    allocated, bits = int(rng.choice([8, 16])), int(rng.choice([8, 16]))
    stored = int(rng.integers(4, allocated + 1))
    values = rng.integers(0, 2**stored, (1, *_sides(rng)))
    number, first = int(rng.integers(2, 300)), int(rng.integers(0, 2**stored))
    tables = rng.integers(0, 2**bits, (3, number))
    tags = {"palette": (first, bits, tables)}
    fuzz_files.write(path, Pixels(values, allocated, stored, False, "PALETTE COLOR"), tags, rng)
    places = [[min(max(int(x) - first, 0), number - 1) for x in row] for row in values[0]]
    expected = np.array([[[int(table[x]) for table in tables] for x in row] for row in places]) / (
        2**bits - 1
    )
    return Case(f"palette, {fuzz_files.name_of(path)}", None, expected, 1e-6)


def _lossy(path: Path, rng: Generator, bits: int) -> Case:
    """A smooth ramp in lossy JPEG, or near-lossless JPEG-LS."""
    rows, columns = int(rng.integers(16, 40)), int(rng.integers(16, 40))
    ramp = np.add.outer(np.arange(rows), np.arange(columns)) / (rows + columns - 2)
    values = np.rint(ramp * (2**bits - 1) * 0.8 + 2**bits * 0.1).astype(np.int64)
    photometric = ["MONOCHROME1", "MONOCHROME2"][rng.integers(2)]
    pixels = Pixels(values[None], 8 if bits == 8 else 16, bits, False, photometric)
    width = 2**bits
    fuzz_files.write_lossy(path, pixels, {"WindowCenter": width // 2, "WindowWidth": width}, rng)
    shown = np.clip((values - (width // 2 - 0.5)) / (width - 1) + 0.5, 0, 1)
    expected = 1 - shown if photometric == "MONOCHROME1" else shown
    return Case(f"lossy {bits} bits, {fuzz_files.name_of(path)}", None, expected, 0.03)
