"""Agreement of annotators: Dice by hand, its range, and what prepare keeps of it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.agreement import agreement, summarise
from pipeline.data.annotations import draw_maps
from pipeline.data.samples import Annotation, Boxes, Together


def boxes(*corners: list[int]) -> Boxes:
    return Boxes(np.array(corners, dtype=float).reshape(-1, 4))


def agreed(marks: Sequence[Annotation]) -> float | None:
    return agreement(draw_maps(marks, 8, 4))


def test_mean_over_pairs_by_hand() -> None:
    one, other, third = boxes([0, 0, 4, 4]), boxes([2, 0, 6, 4]), boxes([4, 0, 8, 4])
    assert agreed([one, other]) == pytest.approx(2 * 8 / 32)
    assert agreed([one, other, third]) == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_nothing_against_nothing_and_against_something() -> None:
    assert agreed([Together(()), boxes()]) == 1
    assert agreed([Together(()), boxes([0, 0, 1, 1])]) == 0
    assert agreed([boxes([0, 0, 1, 1])]) is None


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=2, max_size=4))
def test_order_does_not_matter(corners: list[tuple[int, int]]) -> None:
    marks = [boxes([x, y, x + 2, y + 2]) for x, y in corners]
    found = agreed(marks)
    assert found == pytest.approx(agreed(marks[::-1]))
    assert 0 <= (found or 0) <= 1


def test_nobody_to_agree_with_is_no_number() -> None:
    found = summarise(pd.Series([], dtype=float))
    assert found["images"] == 0 and np.isnan(found["dice"]) and np.isnan(found["lowest"])
