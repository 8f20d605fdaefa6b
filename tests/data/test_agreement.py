"""Agreement of annotators: Dice by hand, its range, and what prepare keeps of it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.agreement import agreement, summarise
from pipeline.data.samples import Boxes, Together


def boxes(*corners: list[int]) -> Boxes:
    return Boxes(np.array(corners, dtype=float).reshape(-1, 4))


def test_mean_over_pairs_by_hand() -> None:
    one, other, third = boxes([0, 0, 4, 4]), boxes([2, 0, 6, 4]), boxes([4, 0, 8, 4])
    assert agreement([one, other], 8, 4) == pytest.approx(2 * 8 / 32)
    assert agreement([one, other, third], 8, 4) == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_nothing_against_nothing_and_against_something() -> None:
    assert agreement([Together(()), boxes()], 8, 4) == 1
    assert agreement([Together(()), boxes([0, 0, 1, 1])], 8, 4) == 0
    assert agreement([boxes([0, 0, 1, 1])], 8, 4) is None


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=2, max_size=4))
def test_order_does_not_matter(corners: list[tuple[int, int]]) -> None:
    marks = [boxes([x, y, x + 2, y + 2]) for x, y in corners]
    found = agreement(marks, 8, 4)
    assert found == pytest.approx(agreement(marks[::-1], 8, 4))
    assert 0 <= (found or 0) <= 1


def test_nobody_to_agree_with_is_no_number() -> None:
    found = summarise(pd.Series([], dtype=float))
    assert found["images"] == 0 and np.isnan(found["dice"]) and np.isnan(found["lowest"])
