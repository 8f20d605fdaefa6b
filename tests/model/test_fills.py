"""Regions of images and what may stand in their place, by hand and against SciPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from pipeline.model import fills

IDS = [f"s{index}" for index in range(12)]


@pytest.mark.parametrize(("channels", "side"), [(1, 24), (3, 33)])
def test_blur_is_scipys_with_mirrored_edges(channels: int, side: int) -> None:
    images = np.random.default_rng(0).random((2, channels, side, side))
    sigma = (0, 0, fills.BLUR * side, fills.BLUR * side)
    expected = ndimage.gaussian_filter(images, sigma, mode="reflect")
    np.testing.assert_allclose(fills.blurred(torch.from_numpy(images)), expected, atol=1e-6)


def test_a_fill_stands_inside_alone_and_mixes_where_a_region_is_soft() -> None:
    images, filling = torch.zeros(1, 2, 1, 3), torch.ones(1, 2, 1, 3)
    regions = torch.tensor([[[0.0, 0.25, 1.0]]])
    assert fills.fill(images, filling, regions).tolist() == [[[[0, 0.25, 1]], [[0, 0.25, 1]]]]
    assert fills.fill(images, filling, regions > 0.5).tolist() == [[[[0, 0, 1]], [[0, 0, 1]]]]


def test_peak_regions_begin_at_three_tenths_of_the_peak() -> None:
    maps = np.array([[[29, 30, 100, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 1]]], np.uint8)
    expected = [[[0, 1, 1, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 1]]]
    assert fills.peak_regions(maps).astype(int).tolist() == expected


def test_a_widened_mask_is_all_within_four_hundredths_of_the_side() -> None:
    mask = np.zeros((3, 50, 50), np.uint8)
    mask[0, 20, 30] = 255
    found = fills.dilated(mask)
    y, x = np.indices((50, 50))
    np.testing.assert_array_equal(found[0], np.hypot(y - 20, x - 30) <= 2)
    assert not found[1:].any()
    assert fills.dilated(mask[:0]).shape == (0, 50, 50)


@given(arrays.arrays(np.uint8, (2, 30, 30), elements=st.sampled_from([0, 0, 0, 0, 255])))
def test_widening_keeps_the_mask_and_equals_a_disc(masks: np.ndarray) -> None:
    found = fills.dilated(masks)
    disc = np.hypot(*(np.indices((3, 3)) - 1)) <= 1  # 4 % of 30 px is one
    for mask, wide in zip(masks, found, strict=True):
        np.testing.assert_array_equal(wide, ndimage.binary_dilation(mask > 0, disc))


def test_soft_regions_by_hand() -> None:
    maps = torch.tensor([[[0.0, 0.06, 0.12, 0.4]], [[0.0, 0.0, 0.0, 0.0]]])
    expected = torch.tensor([[[0.0, 0.5, 1.0, 1.0]], [[0.0, 0.0, 0.0, 0.0]]])
    torch.testing.assert_close(fills.soft_regions(maps), expected)


labelled = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=0, max_size=12)


@given(labelled, st.integers(0, 3))
def test_lenders_are_oneself_a_positive_or_nobody(samples: list[tuple[bool, bool]], seed: int) -> None:
    labels = np.array([label for label, _ in samples], int)
    has = np.array([region for _, region in samples], bool)
    found = fills.lenders(labels, has, IDS, seed)
    owners = set(np.flatnonzero((labels == 1) & has))
    for row, lender in enumerate(found):
        if row in owners:
            assert lender == row
        elif labels[row] == 1 or not owners:
            assert lender == -1
        else:
            assert lender in owners


@given(st.lists(st.integers(0, 1), max_size=12), st.integers(0, 3))
def test_substitutes_are_other_negatives(labels: list[int], seed: int) -> None:
    given_ = np.array(labels, int)
    found = fills.substitutes(given_, IDS, seed)
    for row, other in enumerate(found):
        negatives = set(np.flatnonzero(given_ == 0)) - {row}
        others = negatives or set(range(len(labels))) - {row} or {row}
        assert other in others


def test_draws_depend_on_seed_and_id_alone() -> None:
    labels, has = np.array([1] * 6 + [0] * 6), np.ones(12, bool)
    for draw in (
        lambda ids, seed: fills.lenders(labels, has, ids, seed),
        lambda ids, seed: fills.substitutes(labels, ids, seed),
    ):
        first = draw(IDS, 0)
        np.testing.assert_array_equal(first, draw(IDS, 0))
        assert (first != draw(IDS, 1)).any()
        renamed = draw([*IDS[:-1], "another"], 0)
        np.testing.assert_array_equal(first[:-1], renamed[:-1])
