"""What a compressed stream says of its own picture, read before any decoder sees it.

Sources: ITU-T T.81 B.2.2 (JPEG), T.87 C.2.2 (JPEG-LS), T.800 A.5.1 and A.6.1 (JPEG 2000; high throughput is
the same), JFIF 1.02, Adobe Technical Note 5116 (the marker that tells the colours).
"""

import struct
from typing import NamedTuple

_START_OF_FRAME = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS, _LS = 0xC3, 0xF7
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_END = b"\xff\xd9"
_J2K_START = b"\xff\x4f\xff\x51"  # start of codestream, then the size segment
_JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"  # of the file format, in whose boxes such a codestream may lie
_J2K_CODING, _J2K_TILE = 0xFF52, 0xFF90
_RGB_IDS = (b"RGB", b"rgb")  # ids of components


class Stream(NamedTuple):
    """One compressed picture; sizes in px, `bits` per sample.

    kind: `JPEG` (lossy), `lossless JPEG`, `JPEG-LS` or `JPEG 2000`
    colours: `RGB` or `YBR` where the stream itself tells what its three bands are, else blank; of JPEG 2000,
    `RGB` where the decoder turns them back to that
    """

    kind: str
    width: int
    height: int
    bands: int
    bits: int
    signed: bool = False
    colours: str = ""


def read_stream(data: bytes) -> Stream | None:
    """The first picture of a JPEG, JPEG-LS or JPEG 2000 stream; None if there is none, or not to its end.

    >>> read_stream(bytes.fromhex("ffd8 fff7 000b 0a 0003 0005 01 011100 ffd9"))
    Stream(kind='JPEG-LS', width=5, height=3, bands=1, bits=10, signed=False, colours='')
    """
    try:
        return _read_jpeg_2000(data) if data.startswith((_J2K_START, _JP2_START)) else _read_jpeg(data)
    except (struct.error, IndexError, ValueError):  # it ends too early
        return None


def _read_jpeg(data: bytes) -> Stream | None:
    """JPEG and JPEG-LS; decoders fill up what is missing at the end, so the end must be there."""
    if not data.rstrip(b"\x00\xff").endswith(_END) or not data.startswith(b"\xff\xd8"):
        return None
    at, colours = 2, ""
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _START_OF_FRAME:
            bits, height, width, bands = struct.unpack_from(">BHHB", data, at + 4)
            ids = data[at + 10 : at + 10 + 3 * bands : 3]
            kind = {_LOSSLESS: "lossless JPEG", _LS: "JPEG-LS"}.get(marker, "JPEG")
            return Stream(kind, width, height, bands, bits, colours="RGB" if ids in _RGB_IDS else colours)
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            length = struct.unpack_from(">H", data, at + 2)[0]
            colours = _told_colours(marker, data[at + 4 : at + 2 + length]) or colours
            at += 2 + length
    return None


def _told_colours(marker: int, segment: bytes) -> str:
    """What an application's segment tells of the colours; blank: nothing."""
    if marker == 0xE0 and segment.startswith(b"JFIF"):
        return "YBR"
    if marker == 0xEE and segment.startswith(b"Adobe") and len(segment) >= 12:
        return {0: "RGB", 1: "YBR"}.get(segment[11], "")
    return ""


def _read_jpeg_2000(data: bytes) -> Stream | None:
    """None too where bands differ in depth or in size, which no DICOM picture may."""
    start = data.index(_J2K_START)
    x1, y1, x0, y0 = struct.unpack_from(">4I", data, start + 8)
    (bands,) = struct.unpack_from(">H", data, start + 40)
    if not bands:
        return None
    samples = {data[at : at + 3] for at in range(start + 42, start + 42 + 3 * bands, 3)}
    depth, *steps = samples.pop()
    if samples or steps != [1, 1]:
        return None
    colours = "RGB" if bands == 3 and _transforms_colours(data, start + 2) else ""
    return Stream(
        "JPEG 2000", x1 - x0, y1 - y0, bands, (depth & 0x7F) + 1, signed=depth > 0x7F, colours=colours
    )


def _transforms_colours(data: bytes, at: int) -> bool:
    """Whether the main header of JPEG 2000, whose size segment starts at `at`, has a colour transform."""
    while (marker := struct.unpack_from(">H", data, at)[0]) != _J2K_TILE:
        if marker == _J2K_CODING:
            return data[at + 8] == 1
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return False
