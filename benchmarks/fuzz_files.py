"""Writes drawn pixels as DICOM files in every transfer syntax, and all that the standard leaves free."""

from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

Generator = np.random.Generator
PLAIN = {
    "implicit": uid.ImplicitVRLittleEndian,
    "explicit": uid.ExplicitVRLittleEndian,
    "big endian": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
}
PACKED = {
    "run lengths": uid.RLELossless,
    "lossless JPEG": uid.JPEGLosslessSV1,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
    "HTJ2K": uid.HTJ2KLossless,
}
NAMES = {syntax: name for name, syntax in (PLAIN | PACKED).items()} | {
    uid.JPEGBaseline8Bit: "JPEG",
    uid.JPEGExtended12Bit: "JPEG extended",
    uid.JPEG2000: "JPEG 2000, lossy",
    uid.JPEGLSNearLossless: "JPEG-LS, near",
}
TABLES = ("ModalityLUTSequence", "VOILUTSequence")


class Pixels(NamedTuple):
    """Stored values (frames, H, W), or (frames, H, W, 3), int64, and what the header says of them."""

    values: np.ndarray
    allocated: int
    stored: int
    signed: bool
    photometric: str


def name_of(path: Path) -> str:
    """The transfer syntax of a file, in a word."""
    return NAMES[pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID]


def write(path: Path, pixels: Pixels, tags: dict[str, Any], rng: Generator) -> None:
    """A file of some transfer syntax that can hold the pixels without loss."""
    plain = pixels.allocated in (1, 32) or rng.random() < 0.5
    names = list(PLAIN) if plain else list(PACKED)
    if pixels.photometric == "YBR_FULL":
        names = [name for name in names if "2" not in name]  # JPEG 2000 has other words for these colours
    syntax = (PLAIN | PACKED)[str(rng.choice(names))]
    high = pixels.stored - 1
    if syntax in (*PLAIN.values(), uid.RLELossless) and rng.random() < 0.3:
        high = int(rng.integers(high, pixels.allocated))
    planar = int(rng.integers(2)) if syntax in PLAIN.values() else 0
    dataset = _head(pixels, syntax, high, planar)
    little = syntax != uid.ExplicitVRBigEndian
    for keyword, value in tags.items():
        _add(dataset, keyword, value, rng, little)
    if syntax in PLAIN.values():
        data = _plain_bytes(pixels, high, planar, little, rng)
        # PS3.5 A.2: with explicit types, bytes may lie in words of 16 bits; these are swapped in big endian
        _set_pixels(dataset, data, "OW" if pixels.allocated > 8 or syntax == PLAIN["implicit"] else "OB")
    else:
        frames = [_pack(frame, pixels, high, syntax, rng) for frame in pixels.values]
        _set_pixels(dataset, encapsulate(frames, has_bot=bool(rng.integers(2))), "OB")
    dataset.save_as(path, enforce_file_format=True)


def write_422(path: Path, four: np.ndarray, rng: Generator) -> None:
    """Plain YBR_FULL_422 from (H, pairs, 4) uint8: two Y, one Cb, one Cr each."""
    rows, pairs, _ = four.shape
    values = np.zeros((1, rows, 2 * pairs, 3), np.int64)
    syntax = PLAIN[str(rng.choice(["implicit", "explicit"]))]
    dataset = _head(Pixels(values, 8, 8, False, "YBR_FULL_422"), syntax, 7, 0)
    _set_pixels(dataset, four.tobytes(), "OW" if syntax == PLAIN["implicit"] else "OB")
    dataset.save_as(path, enforce_file_format=True)


def write_lossy(path: Path, pixels: Pixels, tags: dict[str, Any], rng: Generator) -> None:
    """A grey file in lossy JPEG or JPEG 2000, or in near-lossless JPEG-LS."""
    values = pixels.values[0].astype(np.uint8 if pixels.allocated == 8 else np.uint16)
    if pixels.stored == 12:
        syntax = uid.JPEGExtended12Bit
        stream = imagecodecs.jpeg8_encode(values, level=95, bitspersample=12)
    else:
        syntax = [uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEGLSNearLossless][rng.integers(3)]
        if syntax == uid.JPEGBaseline8Bit:
            stream = imagecodecs.jpeg8_encode(values, level=95)
        elif syntax == uid.JPEG2000:
            stream = imagecodecs.jpeg2k_encode(values, codecformat="j2k", level=50)
        else:
            stream = imagecodecs.jpegls_encode(values, level=2)
    dataset = _head(pixels, syntax, pixels.stored - 1, 0)
    for keyword, value in tags.items():
        _add(dataset, keyword, value, rng, little=True)
    _set_pixels(dataset, encapsulate([bytes(stream)]), "OB")
    dataset.save_as(path, enforce_file_format=True)


def _head(pixels: Pixels, syntax: str, high: int, planar: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.99"
    dataset.PhotometricInterpretation = pixels.photometric
    frames, dataset.Rows, dataset.Columns = pixels.values.shape[:3]
    dataset.SamplesPerPixel = 1 if pixels.values.ndim == 3 else 3
    if frames > 1:
        dataset.NumberOfFrames = frames
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = planar
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = pixels.allocated, pixels.stored, high
    dataset.PixelRepresentation = int(pixels.signed)
    return dataset


def _add(dataset: Dataset, keyword: str, value: Any, rng: Generator, little: bool) -> None:
    if keyword in TABLES:
        number, first, bits, entries, signed = value
        item = Dataset()
        held = number - 2**16 if signed and number >= 2**15 else number  # the same 16 bits
        item.add_new("LUTDescriptor", "SS" if signed else "US", [held, first, bits])
        if rng.random() < 0.5 and len(entries) < 2**15:  # an element of explicit VR US holds 64 KiB at most
            item.add_new("LUTData", "US", entries)
        else:
            item.add_new("LUTData", "OW", np.array(entries, "<u2" if little else ">u2").tobytes())
        item.ModalityLUTType = "US"
        setattr(dataset, keyword, Sequence([item]))
    elif keyword == "palette":
        first, bits, tables = value
        for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
            name = f"{colour}PaletteColorLookupTable"
            dataset.add_new(f"{name}Descriptor", "US", [len(table), first, bits])
            words = table.astype("<u2" if little else ">u2").tobytes()
            if bits == 8 and little and rng.random() < 0.5:  # two entries in a word
                words = table.astype(np.uint8).tobytes() + b"\0" * (len(table) % 2)
            dataset.add_new(f"{name}Data", "OW", words)
    elif isinstance(value, tuple):
        dataset.add_new(keyword, *value)
    else:
        setattr(dataset, keyword, value)


def _set_pixels(dataset: Dataset, data: bytes, vr: str) -> None:
    dataset.add_new("PixelData", vr, data + b"\0" * (len(data) % 2))


def _words(pixels: Pixels, values: np.ndarray, high: int, rng: Generator) -> np.ndarray:
    """Values where the header says that they lie; bits that do not count are anything."""
    kind = np.dtype(f"u{max(pixels.allocated // 8, 1)}")
    mask, low = 2**pixels.stored - 1, high + 1 - pixels.stored
    words = (values & mask) << low
    rest = (2**pixels.allocated - 1) ^ (mask << low)
    choice = rng.integers(3)
    if choice == 0:
        words |= rng.integers(0, 2**pixels.allocated, values.shape) & rest
    elif choice == 1 and pixels.signed:
        words |= np.where(values < 0, rest >> low << low, 0)
    return words.astype(kind)


def _plain_bytes(pixels: Pixels, high: int, planar: int, little: bool, rng: Generator) -> bytes:
    if pixels.allocated == 1:
        return np.packbits(pixels.values.astype(np.uint8), bitorder="little").tobytes()
    words = _words(pixels, pixels.values, high, rng)
    if planar and words.ndim == 4:
        words = words.transpose(0, 3, 1, 2)
    return words.astype(words.dtype.newbyteorder("<" if little else ">")).tobytes()


def _pack(frame: np.ndarray, pixels: Pixels, high: int, syntax: str, rng: Generator) -> bytes:
    if syntax == uid.RLELossless:
        return _run_lengths(_words(pixels, frame, high, rng))
    kind = np.uint8 if pixels.allocated == 8 else np.uint16
    words = np.ascontiguousarray((frame & (2**pixels.stored - 1)).astype(kind))
    if syntax == uid.JPEGLosslessSV1:
        bits = 8 if pixels.allocated == 8 else max(pixels.stored, 9)
        same = "RGB" if frame.ndim == 3 else None
        made = imagecodecs.jpeg8_encode(
            words, lossless=True, bitspersample=bits, colorspace=same, outcolorspace=same
        )
    elif syntax == uid.JPEGLSLossless:
        made = imagecodecs.jpegls_encode(words)
    elif syntax == uid.JPEG2000Lossless:
        made = imagecodecs.jpeg2k_encode(
            words, codecformat="j2k", level=0, reversible=True, bitspersample=pixels.stored
        )
    else:
        made = imagecodecs.htj2k_encode(frame.astype(f"i{words.itemsize}") if pixels.signed else words)
    return bytes(made)


def _run_lengths(words: np.ndarray) -> bytes:
    """PS3.5 G.3: planes of bytes, the highest first, each as runs and copies."""
    bands = words[..., None] if words.ndim == 2 else words
    size = words.dtype.itemsize
    segments = []
    for band in range(bands.shape[2]):
        octets = np.ascontiguousarray(bands[..., band].astype(words.dtype.newbyteorder(">"))).view(np.uint8)
        for place in range(size):
            plane = octets.reshape(words.shape[0], -1, size)[..., place]
            segment = b"".join(_pack_row(row.tobytes()) for row in plane)
            segments.append(segment + b"\0" * (len(segment) % 2))
    starts = 64 + np.cumsum([0, *map(len, segments[:-1])])
    header = np.zeros(16, "<u4")
    header[0], header[1 : 1 + len(segments)] = len(segments), starts
    return header.tobytes() + b"".join(segments)


def _pack_row(row: bytes) -> bytes:
    packed, at = bytearray(), 0
    while at < len(row):
        run = 1
        while run < 128 and row[at : at + 1] == row[at + run : at + run + 1]:
            run += 1
        if run > 1:
            packed += bytes([257 - run, row[at]])
        else:
            run = 1
            packed += bytes([0, row[at]])
        at += run
    return bytes(packed)
