"""The stored values of a DICOM file, decoded only when the file does not contradict itself.

A header may give another picture than the pixels have. Decoders then give a wrong one, allocate without
limit, or end the whole process. So compressed streams are asked what they hold first, and plain pixels are
measured. Plain pixels and run lengths are read by pydicom, all else by imagecodecs (libjpeg-turbo, CharLS,
OpenJPEG), which reads 12-bit JPEG, 7-bit JPEG-LS and high-throughput JPEG 2000 as well.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom import uid
from pydicom.config import disable_value_validation
from pydicom.encaps import get_frame
from pydicom.pixels import convert_color_space, pixel_array

from pipeline.data import dicom_header
from pipeline.data.dicom_header import Layout, undecodable
from pipeline.data.dicom_stream import Stream, read_stream
from pipeline.data.problems import UnusableImage

TAGS = [*dicom_header.TAGS, "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"]
PLAIN = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
JPEG = ("JPEG", "lossless JPEG")
KINDS = {  # of streams, by transfer syntax
    uid.JPEGBaseline8Bit: JPEG,
    uid.JPEGExtended12Bit: JPEG,
    uid.JPEGLossless: JPEG,
    uid.JPEGLosslessSV1: JPEG,
    uid.JPEGLSLossless: ("JPEG-LS",),
    uid.JPEGLSNearLossless: ("JPEG-LS",),
    uid.JPEG2000Lossless: ("JPEG 2000",),
    uid.JPEG2000: ("JPEG 2000",),
    uid.HTJ2KLossless: ("JPEG 2000",),
    uid.HTJ2KLosslessRPCL: ("JPEG 2000",),
    uid.HTJ2K: ("JPEG 2000",),
}
LOSSY = (uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2K)  # besides JPEG, whose streams tell
GREY = {"MONOCHROME1", "MONOCHROME2"}
COLOURS = {  # photometric interpretations that each kind of stream can hold (PS3.5 8.2)
    "JPEG": {*GREY, "RGB", "YBR_FULL", "YBR_FULL_422"},
    "lossless JPEG": {*GREY, "PALETTE COLOR", "RGB", "YBR_FULL"},
    "JPEG-LS": {*GREY, "PALETTE COLOR", "RGB", "YBR_FULL"},
    "JPEG 2000": {*GREY, "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_ICT", "YBR_RCT"},
}


@contextmanager
def silenced() -> Iterator[None]:
    """While it lasts, pydicom says nothing: its texts may quote what a file tells of a patient.

    Odd header values are no errors of its either; `dicom` checks those that it uses.
    """
    logger = logging.getLogger("pydicom")
    level = logger.level
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)


def decode(path: Path, layout: Layout) -> np.ndarray:
    """The stored values of a file's frame, integers (H, W), or (H, W, 3) as RGB; unused bits are cut off.

    Raises UnusableImage (E_DECODE).
    """
    with silenced():
        try:
            dataset = _read_pixels(path)
            if "PixelData" not in dataset:
                raise undecodable(path.name, "it holds no pixels or is cut off; get a whole file or drop it")
            syntax = _find_syntax(dataset)
            if syntax in KINDS:
                return _decode_stream(dataset, layout)
            if syntax not in (*PLAIN, uid.RLELossless):
                raise undecodable(path.name, f"{syntax.name} cannot be read; store it without compression")
            return _decode_plain(dataset, layout)
        except (UnusableImage, MemoryError):
            raise
        except Exception as error:
            message = f"its pixels do not decode ({type(error).__name__}); get a whole file or drop it"
            raise undecodable(path.name, message) from None


def _read_pixels(path: Path) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(path, specific_tags=list(TAGS), force=True)
    except MemoryError:  # Python makes room for as many bytes as a damaged length claims
        message = "it holds, or claims to hold, more than fits in memory; get a whole file or drop it"
        raise undecodable(path.name, message) from None


def _find_syntax(dataset: pydicom.Dataset) -> uid.UID:
    """The transfer syntax; files without one are never compressed and get the one pydicom found."""
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        plain = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else plain
    return dataset.file_meta.TransferSyntaxUID


def _decode_plain(dataset: pydicom.Dataset, layout: Layout) -> np.ndarray:
    """Uncompressed pixels and run lengths."""
    if dataset.file_meta.TransferSyntaxUID == uid.RLELossless:
        if layout.photometric not in COLOURS["JPEG-LS"]:
            raise undecodable(layout.where, f"{layout.photometric} cannot be stored as run lengths")
        warnings.simplefilter("error")  # pydicom only warns of run lengths for a larger picture
        reader = "pydicom"  # not another library that may be installed
    else:
        _trim_pixels(dataset, layout)
        reader = ""
    values = pixel_array(dataset, index=layout.place, correct_unused_bits=False, decoding_plugin=reader)
    if layout.allocated == 1:
        return values
    above, unused = layout.allocated - 1 - layout.high, layout.allocated - layout.stored
    return values << above >> unused if unused else values  # keeps the sign where values have one


def _trim_pixels(dataset: pydicom.Dataset, layout: Layout) -> None:
    """Cut padding off; refuse plain pixels that are not as many as the header says.

    Up to a row more is padding.
    """
    halved = layout.photometric == "YBR_FULL_422"  # two colours per two pixels
    if halved and (layout.columns % 2 or dataset.PlanarConfiguration):
        message = "YBR_FULL_422 needs an even number of columns and PlanarConfiguration 0"
        raise undecodable(layout.where, f"{message}; the file is damaged")
    row = layout.columns * (2 if halved else layout.bands) * layout.allocated
    needed = -(-row * layout.rows * layout.frames // 8)
    held = len(dataset.PixelData)
    if not 0 <= held - needed < max(row // 8, 2):
        message = (
            f"its header says {layout.size} of {layout.allocated} bits and {layout.frames} frame(s), so "
            f"{needed} bytes, it holds {held}"
        )
        raise undecodable(layout.where, f"{message}; the file is damaged")
    dataset.PixelData = dataset.PixelData[:needed] + b"\0" * (needed % 2)


def _decode_stream(dataset: pydicom.Dataset, layout: Layout) -> np.ndarray:
    """Compressed pixels, except run lengths."""
    data = _find_frame(dataset, layout)
    found, syntax = read_stream(data), dataset.file_meta.TransferSyntaxUID
    if found is None or found.kind not in KINDS[syntax]:
        message = f"its compressed pixels are no whole {KINDS[syntax][0]} picture; the file is damaged"
        raise undecodable(layout.where, message)
    _check_stream(found, layout)
    values = _run_decoder(data, found, layout)
    if values.shape != (layout.rows, layout.columns, layout.bands)[: 2 if layout.bands == 1 else 3]:
        raise undecodable(layout.where, "its compressed pixels decode to another size; the file is damaged")
    return _fit_bits(values, layout, lossy=found.kind == "JPEG" or syntax in LOSSY)


def _find_frame(dataset: pydicom.Dataset, layout: Layout) -> bytes:
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    return get_frame(
        dataset.PixelData, layout.place, number_of_frames=layout.frames, extended_offsets=offsets
    )


def _check_stream(found: Stream, layout: Layout) -> None:
    """Refuse compressed pixels that contradict the header."""
    where, photometric = layout.where, layout.photometric
    if (found.width, found.height, found.bands) != (layout.columns, layout.rows, layout.bands):
        message = (
            f"its header says {layout.size}, its compressed pixels {found.width}x{found.height} in "
            f"{found.bands}; the file is damaged"
        )
        raise undecodable(where, message)
    bits = f"BitsStored {layout.stored} of BitsAllocated {layout.allocated}, HighBit {layout.high}"
    whole = found.kind == "JPEG" and found.bits == 8  # PS3.5 8.2.1; films of 10 bits lie in JPEG of 12
    fits = layout.stored <= found.bits <= layout.allocated and not (whole and layout.stored != 8)
    if not fits or layout.high != layout.stored - 1:
        message = f"its header says {bits}, its compressed pixels have {found.bits} bits; the file is damaged"
        raise undecodable(where, message)
    signed = found.signed and not layout.signed
    if signed or (layout.signed and found.kind == "JPEG"):
        message = f"PixelRepresentation {int(layout.signed)} contradicts its {found.kind} pixels"
        raise undecodable(where, f"{message}; the file is damaged")
    turned = photometric in ("YBR_ICT", "YBR_RCT") and found.colours != "RGB"
    if turned or photometric not in COLOURS[found.kind]:
        raise undecodable(where, f"{photometric} contradicts its {found.kind} pixels; the file is damaged")


def _run_decoder(data: bytes, found: Stream, layout: Layout) -> np.ndarray:
    """Values as a decoder gives them, colours as RGB."""
    turned = layout.photometric.startswith("YBR")
    if found.kind == "JPEG" and layout.bands == 3:
        # what the stream tells of its colours is what wrote it; headers are often wrong
        colours = found.colours or ("YBR" if turned else "RGB")
        return imagecodecs.jpeg8_decode(
            data, colorspace="YCBCR" if colours == "YBR" else "RGB", outcolorspace="RGB"
        )
    if found.kind == "JPEG 2000":
        values = imagecodecs.jpeg2k_decode(data, verbose=0)
    elif found.kind == "JPEG-LS":
        values = imagecodecs.jpegls_decode(data)
    else:  # three bands without loss are never turned, whatever the stream tells
        same = "RGB" if layout.bands == 3 else None
        values = imagecodecs.jpeg8_decode(data, colorspace=same, outcolorspace=same)
    return convert_color_space(values, "YBR_FULL", "RGB") if layout.photometric == "YBR_FULL" else values


def _fit_bits(values: np.ndarray, layout: Layout, lossy: bool) -> np.ndarray:
    """Values as their sign and the bits that are stored say; loss may have pushed some over the end."""
    if layout.signed and values.dtype.kind == "u":  # as in the file: two's complement
        unused = values.dtype.itemsize * 8 - layout.stored
        cut = values.view(f"i{values.dtype.itemsize}") << unused >> unused
        without_sign = cut & np.array(2**layout.stored - 1, cut.dtype) if unused else cut
        lost = (values.view(cut.dtype) != cut) & (values.view(cut.dtype) != without_sign)
    else:
        half = 2 ** (layout.stored - 1)
        low, high = (-half, half - 1) if layout.signed else (0, 2 * half - 1)
        if lossy:
            return values.clip(low, high)
        cut, lost = values, (values < low) | (values > high)
    if lost.any():
        message = f"its compressed pixels have values beyond BitsStored {layout.stored}; the file is damaged"
        raise undecodable(layout.where, message)
    return cut
