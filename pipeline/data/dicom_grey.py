"""Stored grey values to what a reader saw: modality transform, then VOI, then MONOCHROME1's inversion.

Source: DICOM PS3.3 C.7.6.3 (image pixels), C.11.1 (modality), C.11.2 (VOI), C.7.5.1.1.2 (padding),
C.7.6.16.2.9 and C.7.6.16.2.10 (the same for each of several frames). Of several windows or tables the first
counts, and a VOI table before a window: the standard leaves the choice to who looks.
"""

from typing import Any

import numpy as np
import pydicom

from pipeline.data import dicom_tables
from pipeline.data.dicom_header import Layout, undecodable
from pipeline.data.problems import Problem, UnusableImage

TAGS = [
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
TRANSFORMS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def show_grey(stored: np.ndarray, header: pydicom.Dataset, layout: Layout) -> np.ndarray:
    """Stored values (H, W) to float32 in [0, 1], 0 black; padding is black.

    Raises UnusableImage: E_DECODE (a transform that cannot be), E_FLAT (one value outside the padding).
    """
    _adopt_frame(header, layout.place)
    padding = _find_padding(stored, header)
    shown = stored if padding is None else stored[~padding]
    if shown.size == 0 or shown.min() == shown.max():
        raise UnusableImage(Problem("E_FLAT", layout.where, "all pixels outside the padding are equal"))
    values = _apply_modality(stored, header, layout)
    if header.get("VOILUTSequence"):
        signed = _may_be_negative(header, layout)
        table = dicom_tables.read_item(header, "VOILUTSequence", signed=signed, where=layout.where)
        pixels = table.show(values)
    elif header.get("WindowCenter") is not None and header.get("WindowWidth") is not None:
        pixels = _apply_window(values, header, layout.where)
    else:
        inside = values if padding is None else values[~padding]
        low, high = float(inside.min()), float(inside.max())
        pixels = (values - low) / (high - low)
    pixels = np.clip(pixels, 0, 1, dtype=np.float32)
    if layout.photometric == "MONOCHROME1":
        np.subtract(1, pixels, out=pixels)
    if padding is not None:
        pixels[padding] = 0
    return pixels


def _adopt_frame(header: pydicom.Dataset, index: int) -> None:
    """Move the transforms of one frame, where a file has them apart, to where other files have them."""
    shared, single = (header.get(f"{kind}FunctionalGroupsSequence") for kind in ("Shared", "PerFrame"))
    for groups, place in ((shared, 0), (single, index)):
        if groups and place < len(groups):
            for name in TRANSFORMS:
                for element in groups[place].get(name, [[]])[0]:
                    header[element.tag] = element


def _apply_modality(stored: np.ndarray, header: pydicom.Dataset, layout: Layout) -> np.ndarray:
    """Stored values to those of the modality, by table or by slope and intercept; of 32 bits float64."""
    precise: type[np.float32 | np.float64] = np.float32 if stored.dtype.itemsize <= 2 else np.float64
    if header.get("ModalityLUTSequence"):
        table = dicom_tables.read_item(
            header, "ModalityLUTSequence", signed=layout.signed, where=layout.where
        )
        return table.look_up(stored).astype(precise)
    found = _rescale(np.array([0, 1]), header, np.float64)
    if not np.isfinite(found).all() or found[0] == found[1]:
        raise undecodable(layout.where, "RescaleSlope or RescaleIntercept is no number, or the slope is 0")
    return _rescale(stored, header, precise)


def _rescale(
    stored: np.ndarray, header: pydicom.Dataset, precise: type[np.float32 | np.float64]
) -> np.ndarray:
    """Values by slope and intercept; as they are where the file has none."""
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    values: np.ndarray = stored.astype(precise)
    return values * precise(1 if slope is None else slope) + precise(intercept or 0)


def _may_be_negative(header: pydicom.Dataset, layout: Layout) -> bool:
    """Whether the modality transform can give values below 0, as far as the header tells."""
    if header.get("ModalityLUTSequence"):
        return False
    half = 2 ** (layout.stored - 1)
    ends = np.array([-half, half - 1] if layout.signed else [0, 2 * half - 1])
    return bool(_rescale(ends, header, np.float64).min() < 0)


def _apply_window(values: np.ndarray, header: pydicom.Dataset, where: str) -> np.ndarray:
    """The first window of a file, as PS3.3 C.11.2.1.2 and C.11.2.1.3 define it, with output 0 to 1."""
    center, width = _take_first(header.WindowCenter), _take_first(header.WindowWidth)
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    if function not in FUNCTIONS or not width > 0 or (function == "LINEAR" and width < 1):
        message = f"expected a window above 0 (LINEAR: at least 1) of {', '.join(FUNCTIONS)}; got another"
        raise undecodable(where, message)
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    if width == 1:
        return (values > center - 0.5).astype(np.float32)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _find_padding(stored: np.ndarray, header: pydicom.Dataset) -> np.ndarray | None:
    """Where the file says that a pixel is none, (H, W) bool, or None if nowhere."""
    first = header.get("PixelPaddingValue")
    if first is None:
        return None
    last = header.get("PixelPaddingRangeLimit")
    given = np.array([first, first if last is None else last], dtype=np.int64)
    # the tag's sign is often written wrongly, so its 16 bits are read as the pixels are
    ends = given.astype(np.int16 if stored.dtype.kind == "i" else np.uint16).astype(np.int64)
    padding = (stored >= ends.min()) & (stored <= ends.max())
    return padding if padding.any() else None


def _take_first(value: Any) -> float:
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)
