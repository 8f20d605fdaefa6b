"""Masks as Label Studio's brush stores them: bits of the code of thi.ng/rle-pack, over RGBA bytes.

A head has the count of bytes (32 bits), bits per value less one (5), and four widths less one (4 each). Then
follow blocks: one bit (1: a run of one value, 0: single values), the choice of a width (2), how many less
one (so many bits), and the value or values. What is marked has an alpha above 0. So
`label_studio_sdk.converter.brush` reads and writes them, against whose output tests run.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.data.marks.geometry import run_lengths
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Runs

HEAD = 32 + 5 + 16  # bits
WIDTHS = (3, 6, 10, 16)  # of what is written here
CHANNELS = 4


def unpack(packed: Sequence[int], width: int, height: int) -> Runs:
    """The mask in the bytes of a brush, over an image of that size.

    Raises UnusableImage (E_RLE): bytes for another size, values that are no bytes, a code that breaks off.
    """
    try:
        bits = np.unpackbits(np.array(packed, dtype=np.uint8))
    except OverflowError:
        raise _broken("values above 255") from None
    text = (bits + ord("0")).tobytes().decode("ascii")
    if len(text) < HEAD or int(text[:32], 2) != CHANNELS * width * height:
        raise _broken(f"its head does not fit {width}x{height} px")
    if int(text[32:37], 2) != 7:
        raise _broken("values of other than 8 bits")
    widths = [int(text[at : at + 4], 2) + 1 for at in range(37, HEAD, 4)]
    values = np.zeros(CHANNELS * width * height, dtype=np.uint8)
    done, at = 0, HEAD
    while done < len(values):
        start = at + 3
        at = start + widths[int(text[at + 1 : start] or "0", 2)] if len(text) >= start else len(text) + 1
        if at + 8 > len(text):
            raise _broken("it breaks off")
        count, run = int(text[start:at], 2) + 1, text[start - 3] == "1"
        stop = at + 8 * (1 if run else count)
        if stop > len(text) or done + count > len(values):
            raise _broken("a block reaches over the end")
        values[done : done + count] = np.packbits(bits[at:stop])
        done, at = done + count, stop
    return Runs((run_lengths(values[3::CHANNELS] > 0),), height, width, "C")


def pack(mask: np.ndarray) -> list[int]:
    """A boolean mask (h, w) as the bytes of a brush.

    >>> mask = np.array([[False, True, True]])
    >>> unpack(pack(mask), 3, 1).parts[0].tolist()
    [1, 2]
    """
    lengths = CHANNELS * run_lengths(mask.ravel())
    bits = [f"{CHANNELS * mask.size:032b}", f"{7:05b}", *(f"{width - 1:04b}" for width in WIDTHS)]
    for place, length in enumerate(lengths.tolist()):
        value = f"{255 * (place % 2):08b}"
        for part in [2 ** WIDTHS[-1]] * (length // 2 ** WIDTHS[-1]) + [length % 2 ** WIDTHS[-1]]:
            if part:
                choice = next(i for i, width in enumerate(WIDTHS) if part <= 2**width)
                bits.append(f"1{choice:02b}{part - 1:0{WIDTHS[choice]}b}{value}")
    whole = "".join(bits)
    packed: list[int] = np.packbits(np.frombuffer(whole.encode(), np.uint8) - ord("0")).tolist()
    return packed


def _broken(message: str) -> UnusableImage:
    return UnusableImage(Problem("E_RLE", "annotation", f"the brush cannot be read: {message}"))
