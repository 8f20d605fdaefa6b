"""Run lengths in COCO's text, against a packer written apart and against pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as cocomask

from pipeline.data.coco_runs import decode_counts


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_those_of_pycocotools(mask: np.ndarray) -> None:
    packed = cocomask.encode(np.asfortranarray(mask.astype(np.uint8)))
    lengths = decode_counts(packed["counts"].decode())
    marked = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    assert np.array_equal(marked.reshape(mask.shape, order="F"), mask)


def pack(lengths: list[int]) -> str:
    """Run lengths as COCO writes them: 5 bits a character, a sign in the last, differences from the third."""
    text = ""
    for number, length in enumerate(lengths):
        value, more = length - (lengths[number - 2] if number > 2 else 0), True
        while more:
            part, value = value & 31, value >> 5
            more = value != (-1 if part & 16 else 0)
            text += chr(48 + part + 32 * more)
    return text


@given(st.lists(st.integers(0, 2**22), max_size=40))
def test_what_was_packed_is_unpacked(lengths: list[int]) -> None:
    assert decode_counts(pack(lengths)).tolist() == lengths


def test_packed_by_hand() -> None:
    # 6: one character. -1 from 4 to 3: 31 without sign continuation. 40 = 8 + 32: two characters
    assert pack([4, 6, 40, 5]) == "46X1O"
    assert decode_counts("46X1O").tolist() == [4, 6, 40, 5]


@given(st.text(max_size=12))
def test_any_text_is_unpacked_or_refused(text: str) -> None:
    try:
        assert decode_counts(text).ndim == 1
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize("text", ["a ", "PPPPPPPPPPPPPPPP", "P", "\x7f"])
def test_damage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        decode_counts(text)
