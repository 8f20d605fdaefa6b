"""Run lengths as COCO writes them into JSON: text of 6 bits a character, differences from the fourth on.

So pycocotools writes them, against which tests run. Adapters and kinds of maps both read them.
"""

import numpy as np

OFFSET, BITS, MORE, NEGATIVE = 48, 5, 0b100000, 0b010000
LONGEST = 30  # bits of one number; more is damage


def decode_counts(text: str) -> np.ndarray:
    """Lengths of runs, not marked and marked in turn, column by column; ValueError if the text is damaged.

    >>> decode_counts("42d0").tolist()
    [4, 2, 20]
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        part = ord(character) - OFFSET
        if not 0 <= part < 2 * MORE or shift > LONGEST:
            raise ValueError(f"character {character!r} cannot stand in run lengths of COCO")
        value |= (part & (MORE - 1)) << shift
        shift += BITS
        if part & MORE:
            continue
        if part & NEGATIVE:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the text of run lengths ends too early")
    return np.array(lengths, dtype=np.int64)
