"""The stored values of a DICOM file, decoded only when the file does not contradict itself.

A header may give another size than the pixels have. Decoders then give a wrong picture, allocate without
limit, or end the whole process. So compressed streams are asked for their own size first (ITU-T T.81 B.2.2,
T.87 C.2.2, T.800 A.5.1), and plain ones are measured.
"""

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import gdcm
import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array
from pydicom.pixels.decoders.gdcm import DECODER_DEPENDENCIES as GDCM_SYNTAXES
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)

from pipeline.data.problems import Problem, UnusableImage

TAGS = [
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
]
LOSSY_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit)
_START_OF_FRAME = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}  # F7 is JPEG-LS
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_J2K_START = b"\xff\x4f\xff\x51"  # start of codestream, then the size segment


@contextmanager
def silenced() -> Iterator[None]:
    """While it lasts, pydicom and gdcm say nothing: their texts may quote what a file tells of a patient.

    Odd header values are no errors of theirs either; `dicom` checks those that it uses.
    """
    logger, flags = logging.getLogger("pydicom"), ("Debug", "Warning", "Error")
    level = logger.level
    spoke = [flag for flag in flags if getattr(gdcm.Trace, f"Get{flag}Flag")()]
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        for flag in spoke:
            getattr(gdcm.Trace, f"{flag}Off")()
        try:
            yield
        finally:
            logger.setLevel(level)
            for flag in spoke:
                getattr(gdcm.Trace, f"{flag}On")()


class Frame(NamedTuple):
    """What a compressed stream says of its picture; sizes in px, `bits` per sample."""

    width: int
    height: int
    bands: int
    bits: int


def decode(path: Path) -> np.ndarray:
    """The stored values of a single-frame file, as the file holds them: (H, W), or (H, W, 3) as RGB.

    Raises UnusableImage (E_DECODE).
    """
    with silenced():
        try:
            dataset = pydicom.dcmread(path, specific_tags=list(TAGS), force=True)
            if "PixelData" not in dataset:
                raise undecodable(path.name, "it holds no pixels or is cut off; get a whole file or drop it")
            if _find_syntax(dataset) in GDCM_SYNTAXES:
                _check_stream(dataset, path.name)
                return pixel_array(dataset, decoding_plugin="gdcm")
            _check_length(dataset, path.name)
            warnings.simplefilter("error")  # pydicom only warns of run lengths for a larger picture
            return pixel_array(dataset)
        except UnusableImage:
            raise
        except Exception as error:
            message = f"its pixels do not decode ({type(error).__name__}); get a whole file or drop it"
            raise undecodable(path.name, message) from None


def frame(stream: bytes) -> Frame | None:
    """The first frame header of a JPEG, JPEG-LS or JPEG 2000 stream; None if there is none.

    >>> frame(bytes.fromhex("ffd8 fff7 000b 0a 0003 0005 01 011100"))
    Frame(width=5, height=3, bands=1, bits=10)
    """
    try:
        return _read_jpeg_2000(stream) if _J2K_START in stream[:512] else _read_jpeg(stream)
    except (struct.error, IndexError):
        return None


def _find_syntax(dataset: pydicom.Dataset) -> UID:
    """The transfer syntax; files without one are never compressed and get the one pydicom found."""
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return dataset.file_meta.TransferSyntaxUID


def _check_stream(dataset: pydicom.Dataset, where: str) -> None:
    """Refuse compressed pixels that contradict the header or that gdcm gives wrong values for."""
    found = frame(get_frame(dataset.PixelData, 0, number_of_frames=1))
    if found is None:
        raise undecodable(where, "its compressed pixels do not start with a picture; the file is damaged")
    listed = _listed_size(dataset)
    if found[:3] != listed or found.bits > int(dataset.BitsAllocated):
        message = (
            f"its header says {listed[0]}x{listed[1]} px in {listed[2]} band(s), its compressed pixels "
            f"{found.width}x{found.height} in {found.bands} of {found.bits} bits; the file is damaged"
        )
        raise undecodable(where, message)
    if dataset.file_meta.TransferSyntaxUID in LOSSY_JPEG and found.bits > 8:
        message = (
            f"{found.bits}-bit {dataset.file_meta.TransferSyntaxUID.name} cannot be decoded: gdcm gives "
            "wrong values for it; get the file uncompressed or with a lossless transfer syntax"
        )
        raise undecodable(where, message)


def _check_length(dataset: pydicom.Dataset, where: str) -> None:
    """Refuse plain pixels that are not as many as the header says; less than a row more is padding."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    width, height, bands = _listed_size(dataset)
    row = width * bands * int(dataset.BitsAllocated) // 8
    if (
        dataset.PhotometricInterpretation != "YBR_FULL_422"
        and not 0 <= len(dataset.PixelData) - row * height < row
    ):
        message = f"its header says {height} rows of {row} bytes, it holds {len(dataset.PixelData)} bytes"
        raise undecodable(where, f"{message}; the file is damaged")


def _listed_size(dataset: pydicom.Dataset) -> tuple[int, int, int]:
    return int(dataset.Columns), int(dataset.Rows), int(dataset.get("SamplesPerPixel") or 1)


def _read_jpeg(stream: bytes) -> Frame | None:
    at = 2  # after the start of the image
    while stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker in _START_OF_FRAME:
            bits, height, width, bands = struct.unpack_from(">BHHB", stream, at + 4)
            return Frame(width, height, bands, bits)
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", stream, at + 2)[0]
    return None


def _read_jpeg_2000(stream: bytes) -> Frame:
    at = stream.index(_J2K_START) + 8  # after both markers, the segment's length and the capabilities
    x1, y1, x0, y0 = struct.unpack_from(">4I", stream, at)
    bands, depth = struct.unpack_from(">HB", stream, at + 32)
    return Frame(x1 - x0, y1 - y0, bands, (depth & 0x7F) + 1)


def undecodable(where: str, message: str) -> UnusableImage:
    """The error (E_DECODE) for a file that gives no picture."""
    return UnusableImage(Problem("E_DECODE", where, message))
