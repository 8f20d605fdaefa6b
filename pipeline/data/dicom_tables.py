"""Lookup tables of DICOM files: modality, VOI and palette.

Source: DICOM PS3.3 C.11.1.1 (modality), C.11.2.1.1 (VOI), C.7.6.3.1.5 and C.7.6.3.1.6 (palette). A table has
as many entries as its descriptor says first, 0 meaning 65536; values below its first mapped value, which
comes second, have its first entry, and those beyond its end the last; third come the bits of an entry.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pydicom

from pipeline.data.dicom_header import undecodable

BITS = range(8, 17)
PALETTE = [
    f"{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for part in ("Descriptor", "Data")
]


class LookupTable(NamedTuple):
    """A lookup table; entries are integers from 0 to 2**bits - 1."""

    first: int  # the value that has the first entry
    entries: np.ndarray
    bits: int

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """The entries of values of any shape, each rounded to a whole number.

        >>> LookupTable(-1, np.array([5, 6, 7]), 8).look_up(np.array([-9, -1, 0, 1, 400])).tolist()
        [5, 5, 6, 7, 7]
        """
        return self.entries[self._find_places(values)]

    def show(self, values: np.ndarray) -> np.ndarray:
        """The same as shares of the largest entry that the bits allow, float32."""
        shares = (self.entries / (2**self.bits - 1)).astype(np.float32)
        return shares[self._find_places(values)]

    def _find_places(self, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind in "ui":
            whole = values.astype(np.int32 if values.dtype.itemsize <= 2 else np.int64)
        else:
            whole = np.rint(values)
        return np.clip(whole - self.first, 0, len(self.entries) - 1).astype(np.int32)


def read_table(descriptor: Any, data: Any, *, signed: bool, little: bool, where: str) -> LookupTable:
    """A table from its two attributes.

    signed: whether values that are looked up may be negative; the first mapped value then is a signed number
    of 16 bits, else an unsigned one, however it was written
    little: whether words of the file have their low byte first

    Raises UnusableImage (E_DECODE) if they contradict each other.
    """
    number, first, bits = (int(part) for part in descriptor)
    number = number & 0xFFFF or 2**16
    first = (first + 2**15) % 2**16 - 2**15 if signed else first % 2**16
    entries = _unpack(data, number, bits, little)
    if bits not in BITS or len(entries) != number or entries.max() >= 2**bits:
        message = (
            f"a lookup table promises {number} entries of {bits} bits, it holds {len(entries)} up to "
            f"{entries.max() if len(entries) else 0}; the file is damaged"
        )
        raise undecodable(where, message)
    return LookupTable(first, entries, bits)


def read_item(header: pydicom.Dataset, keyword: str, *, signed: bool, where: str) -> LookupTable:
    """The first table of a sequence."""
    item = header[keyword].value[0]
    return read_table(item.LUTDescriptor, item.LUTData, signed=signed, little=_is_little(header), where=where)


def apply_palette(stored: np.ndarray, header: pydicom.Dataset, where: str) -> np.ndarray:
    """Colours (H, W, 3), float32 in [0, 1], of the indices (H, W) of a palette file."""
    parts = [header.get(keyword) for keyword in PALETTE]
    if any(part is None for part in parts):
        raise undecodable(where, "its palette is absent, or in segments, which are not read")
    little = _is_little(header)
    tables = [
        read_table(descriptor, data, signed=False, little=little, where=where)
        for descriptor, data in zip(parts[::2], parts[1::2], strict=True)
    ]
    return np.stack([table.show(stored) for table in tables], axis=-1)


def _is_little(header: pydicom.Dataset) -> bool:
    return header.original_encoding[1] is not False


def _unpack(data: Any, number: int, bits: int, little: bool) -> np.ndarray:
    """Entries as int32: of words, or of bytes, which some files put two into a word."""
    order = "<" if little else ">"
    if not isinstance(data, bytes):
        words = data if isinstance(data, Sequence) else [data]
        data = (np.array(words, np.int64) & 0xFFFF).astype(f"{order}u2").tobytes()
    packed = bits == 8 and len(data) == number + number % 2 and len(data) != 2 * number
    if not packed:
        return np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2").astype(np.int32)
    in_order = data if little else np.frombuffer(data, ">u2").astype("<u2").tobytes()
    return np.frombuffer(in_order, np.uint8)[:number].astype(np.int32)
