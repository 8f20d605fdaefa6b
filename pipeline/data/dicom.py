"""DICOM files to pictures: modality transform, then VOI, then MONOCHROME1 inversion, exactly once each.

Source: DICOM PS3.3 C.7.6.3 (image pixels), C.11.1 (modality), C.11.2 (VOI), C.7.5.1.1.2 (padding). Decoding
is pydicom with gdcm. Only the tags named here are ever read, so neither names nor reports reach memory, and
the texts of the libraries' own errors and warnings, which may quote values, are never shown.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, apply_voi

from pipeline.data import dicom_pixels
from pipeline.data.dicom_pixels import undecodable
from pipeline.data.picture import Picture, check_budget, check_pixels
from pipeline.data.problems import Problem, UnusableImage

TAGS = [
    "BurnedInAnnotation",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
]
PHOTOMETRICS = {
    "MONOCHROME1": "MONOCHROME1",
    "MONOCHROME2": "MONOCHROME2",
    "RGB": "RGB",
    "YBR_FULL": "RGB",
    "YBR_FULL_422": "RGB",
    "YBR_ICT": "RGB",
    "YBR_RCT": "RGB",
}


def is_dicom(path: Path) -> bool:
    """Whether a file carries the DICOM mark; names and extensions are not looked at."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read(path: Path, *, max_megapixels: float, max_megabytes: float) -> Picture:
    """Decode one single-frame DICOM file; grey values end up with 0 black and 1 white.

    The value range is that of the VOI transform (window or table), or, where the file has none, that of the
    pixels outside the padding. Padding becomes black.

    Raises UnusableImage: E_DECODE (unreadable, several frames, over budget, 12-bit JPEG), E_PHI (the file
    says that patient data are burned into its pixels), E_FLAT.
    """
    header = read_header(path, TAGS)
    with dicom_pixels.silenced():
        try:
            _check_header(header, path.name, max_megapixels, max_megabytes)
            return _to_picture(header, dicom_pixels.decode(path), path.name)
        except UnusableImage:
            raise
        except Exception as error:  # a value of the wrong type, somewhere in the header
            message = f"a header value cannot be used ({type(error).__name__}); the file is damaged"
            raise undecodable(path.name, message) from None


def read_header(path: Path, keywords: list[str]) -> pydicom.Dataset:
    """The named tags of a file without its pixels; UnusableImage (E_DECODE) if it is no DICOM file.

    Files that lack the preamble are read too, as little-endian.
    """
    with dicom_pixels.silenced():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(keywords), force=True)
            for keyword in keywords:
                header.get(keyword)  # values are parsed on first use: a damaged one must fail here
        except Exception as error:
            raise undecodable(path.name, f"not a readable DICOM file ({type(error).__name__})") from None
    return header


def _check_header(header: pydicom.Dataset, where: str, max_megapixels: float, max_megabytes: float) -> None:
    """Everything that can be refused before decoding."""
    needed = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation")
    missing = [keyword for keyword in needed if not header.get(keyword)]
    if missing:
        raise undecodable(where, f"not a DICOM image: {', '.join(missing)} missing or zero")
    if _says_burned_in(header) == "YES":
        message = "BurnedInAnnotation is YES: patient data may stand in the pixels; drop or clean the file"
        raise UnusableImage(Problem("E_PHI", where, message))
    frames, bands = int(header.get("NumberOfFrames") or 1), int(header.get("SamplesPerPixel") or 1)
    if frames != 1:
        raise undecodable(where, f"holds {frames} frames; expected a single image, export the frame to use")
    if header.PhotometricInterpretation not in PHOTOMETRICS:
        raise undecodable(where, f"photometric interpretation must be one of {', '.join(PHOTOMETRICS)}")
    limits = {"max_megapixels": max_megapixels, "max_megabytes": max_megabytes}
    check_budget(where, int(header.Columns), int(header.Rows), bands, **limits)


def _to_picture(header: pydicom.Dataset, stored: np.ndarray, where: str) -> Picture:
    """Stored values and header to a picture and its facts."""
    photometric = PHOTOMETRICS[header.PhotometricInterpretation]
    colour = photometric == "RGB"
    pixels = stored / np.float32(np.iinfo(stored.dtype).max) if colour else _to_grey(stored, header, where)
    check_pixels(where, pixels)
    return Picture(
        pixels=pixels,
        bits=int(header.BitsStored),
        photometric=photometric,
        phi_flag="no" if _says_burned_in(header) == "NO" else "absent",
    )


def _to_grey(stored: np.ndarray, header: pydicom.Dataset, where: str) -> np.ndarray:
    """Stored values to float32 (H, W) in [0, 1]."""
    padding = _find_padding(stored, header)
    shown = stored if padding is None else stored[~padding]
    if shown.size == 0 or shown.min() == shown.max():
        raise UnusableImage(Problem("E_FLAT", where, "all pixels outside the padding are equal"))
    values = _apply_modality(stored, header)
    if header.get("VOILUTSequence"):
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        pixels = apply_voi(np.rint(values).astype(np.int32), header) / np.float32(2**bits - 1)
    elif header.get("WindowCenter") is not None and header.get("WindowWidth") is not None:
        pixels = _apply_window(values, header)
    else:
        inside = values if padding is None else values[~padding]
        low, high = float(inside.min()), float(inside.max())
        pixels = (values - low) / (high - low)
    pixels = np.clip(pixels, 0, 1, dtype=np.float32)
    if header.PhotometricInterpretation == "MONOCHROME1":
        np.subtract(1, pixels, out=pixels)
    if padding is not None:
        pixels[padding] = 0
    return pixels


def _apply_modality(stored: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Stored values to those of the modality, by table or by slope and intercept, float32."""
    if header.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, header).astype(np.float32)
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    values = stored.astype(np.float32)
    return values * np.float32(1 if slope is None else slope) + np.float32(intercept or 0)


def _apply_window(values: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """The first window of a file, as PS3.3 C.11.2.1.2 and C.11.2.1.3 define it, with output 0 to 1."""
    center, width = _take_first(header.WindowCenter), _take_first(header.WindowWidth)
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    if width <= 1:
        return (values > center - 0.5).astype(np.float32)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _find_padding(stored: np.ndarray, header: pydicom.Dataset) -> np.ndarray | None:
    """Where the file says that a pixel is none, (H, W) bool, or None if nowhere."""
    first = header.get("PixelPaddingValue")
    if first is None:
        return None
    last = header.get("PixelPaddingRangeLimit")
    # the tag's sign is often written wrongly, so its bits are compared as the pixels' own type
    ends = np.array([first, first if last is None else last], dtype=np.int64).astype(stored.dtype)
    padding = (stored >= ends.min()) & (stored <= ends.max())
    return padding if padding.any() else None


def _says_burned_in(header: pydicom.Dataset) -> str:
    return str(header.get("BurnedInAnnotation") or "").strip().upper()


def _take_first(value: Any) -> float:
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)
