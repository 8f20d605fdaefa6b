"""Map sources: what each gives whom, on arrays small enough to see, and what all of them promise."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.common.limits import MapSource
from pipeline.model.batches import StoreRows
from pipeline.model.map_sources import maps_of

SOURCES = get_args(MapSource)
SIDE = 8


def samples(labels: list[int], unmapped: tuple[int, ...] = (), rows: list[int] | None = None) -> StoreRows:
    """Random maps with a peak of 255, all of them different."""
    n = len(labels)
    random = np.random.default_rng(0)
    maps = random.integers(1, 255, (n, SIDE, SIDE), np.uint8)
    maps[:, 0, 0] = 255
    has_map = ~np.isin(np.arange(n), unmapped)
    maps[~has_map] = 0
    causal = np.zeros_like(maps)
    causal[:, 2:4, 3:6] = 255 * (np.array(labels) == 1)[:, None, None].astype(np.uint8)
    used = np.arange(n) if rows is None else np.array(rows)
    return StoreRows(np.zeros((n, 1, SIDE, SIDE), np.uint8), maps, has_map, np.array(labels), used, causal)


def given_to(source: str, data: StoreRows, seed: int = 0) -> np.ndarray:
    """The maps of all rows of the store."""
    return maps_of(source, data, seed)(np.arange(len(data.labels)))


def owner(found: np.ndarray, data: StoreRows) -> list[int]:
    """Whose map each row got, -1 for nobody's."""
    same = (found[:, None] == data.maps[None]).all((2, 3))
    return [int(np.flatnonzero(row)[0]) if row.any() else -1 for row in same]


MANY = st.lists(st.sampled_from([0, 1]), min_size=6, max_size=14).map(lambda drawn: [0, 0, 1, 1, *drawn])


@given(MANY, st.integers(0, 1000), st.sampled_from(SOURCES), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=150)
def test_what_every_source_promises(labels: list[int], seed: int, source: str, random) -> None:
    """Only annotated rows in use change and are looked at; a row's map hangs on seed and row alone."""
    rows = sorted({*range(4), *random.sample(range(len(labels)), len(labels) // 2)})
    unmapped = tuple(row for row in range(4, len(labels)) if random.random() < 0.3)
    data = samples(labels, unmapped, rows)
    found = given_to(source, data, seed)
    assert found.dtype == np.uint8 and found.shape == data.maps.shape
    untouched = np.setdiff1d(np.arange(len(labels)), data.rows[data.has_map[data.rows]])
    assert np.array_equal(found[untouched], data.maps[untouched])
    order = np.array(random.sample(range(len(labels)), len(labels)))
    assert np.array_equal(maps_of(source, data, seed)(order), found[order])
    others = data.maps.copy()
    others[untouched] = 77  # of no annotated row in use
    blind = StoreRows(data.images, others, data.has_map, data.labels, data.rows, data.causal)
    used = np.setdiff1d(np.arange(len(labels)), untouched)
    assert np.array_equal(given_to(source, blind, seed)[used], found[used])


@given(MANY, st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_shuffled_maps_are_a_derangement_of_the_annotated_rows_in_use(labels: list[int], seed: int) -> None:
    data = samples(labels, unmapped=(3, 5), rows=list(range(2, len(labels))))
    lender = owner(given_to("shuffled", data, seed), data)
    annotated = [row for row in range(2, len(labels)) if row not in (3, 5)]
    assert sorted(lender[row] for row in annotated) == annotated
    assert all(lender[row] != row for row in annotated)


def test_shuffled_maps_are_those_they_always_were() -> None:
    """A ring drawn from (seed, "shuffled maps"): the keys of old studies stay good."""
    assert owner(given_to("shuffled", samples([0, 1] * 4), 3), samples([0, 1] * 4)) == SHUFFLED


SHUFFLED = [6, 7, 1, 4, 2, 3, 5, 0]


@given(MANY, st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_maps_within_a_class_are_a_derangement_of_each(labels: list[int], seed: int) -> None:
    data = samples(labels)
    lender = np.array(owner(given_to("within_class", data, seed), data))
    for label in (0, 1):
        rows = np.flatnonzero(data.labels == label)
        assert sorted(lender[rows]) == rows.tolist() and all(lender[rows] != rows)


def test_mean_maps_by_hand() -> None:
    """Peak 255 again: (10 + 30, 100 + 60) is (1, 4) times 40."""
    data = samples([0, 0, 1, 1, 1], unmapped=(4,))
    data.maps[:] = 0
    data.maps[:2, 0, :2] = [[10, 100], [30, 60]]
    data.maps[2:, 7, 7] = [200, 200, 0]
    by_class = given_to("class_mean", data)
    assert by_class[0, 0, :2].tolist() == by_class[1, 0, :2].tolist() == [64, 255]
    assert by_class[2].sum() == by_class[2, 7, 7] == 255 and not by_class[4].any()
    whole = given_to("mean", data)
    assert (whole[:4] == whole[0]).all() and not whole[4].any()
    assert (whole[0, 0, 0], whole[0, 0, 1], whole[0, 7, 7]) == (26, 102, 255)  # of sums 40, 160, 400


def test_many_maps_have_the_mean_of_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    data = samples([0, 1] * 6)
    whole, field = given_to("mean", data), given_to("noise", data)
    monkeypatch.setattr("pipeline.model.map_sources.CHUNK", 5)
    assert np.array_equal(given_to("mean", data), whole) and np.array_equal(given_to("noise", data), field)


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_a_moved_map_is_the_own_one_shifted_cyclically_and_never_by_nothing(seed: int) -> None:
    data = samples([0, 1] * 4)
    for own, found in zip(data.maps, given_to("moved", data, seed), strict=True):
        shifts = [divmod(step, SIDE) for step in range(SIDE * SIDE)]
        fitting = [shift for shift in shifts if np.array_equal(np.roll(own, shift, (0, 1)), found)]
        assert len(fitting) == 1 and fitting != [(0, 0)]


def test_maps_move_everywhere() -> None:
    """Of 2000 maps with one bright cell it comes to lie in every other cell about equally often."""
    data = samples([0, 1] * 1000)
    data.maps[:] = 0
    data.maps[:, 2, 5] = 255
    counts = (given_to("moved", data) > 0).sum(0)
    assert counts[2, 5] == 0 and counts.sum() == 2000
    assert np.abs(np.delete(counts.ravel(), 2 * SIDE + 5) - 2000 / 63).max() < 30


def test_noise_is_smooth_as_the_maps_and_says_nothing_of_them() -> None:
    """Maps with one period across give fields with one period across, at places that differ by image."""
    data = samples([0, 1] * 50)
    phase = 2 * np.pi * np.arange(SIDE) / SIDE
    data.maps[:] = np.rint(127.5 + 127.5 * np.cos(phase))[None, None, :]
    found = given_to("noise", data)
    assert (found.min((1, 2)) == 0).all() and (found.max((1, 2)) == 255).all()
    spectrum = np.abs(np.fft.fft2(found - found.mean((1, 2), keepdims=True)))
    assert spectrum[:, 0, [1, 7]].min() > 50 * np.delete(spectrum.reshape(100, -1), [1, 7], 1).max()
    assert len(np.unique(found[:, 0, :].argmax(1))) == SIDE
    assert not np.array_equal(found, given_to("noise", data, 1))


def test_noise_of_constant_maps_is_flat() -> None:
    data = samples([0, 1, 0, 1])
    data.maps[:] = 255
    assert not given_to("noise", data).any()


def test_inverted_and_own_maps() -> None:
    data = samples([0, 1, 0], unmapped=(2,))
    assert np.array_equal(given_to("human", data), data.maps)
    assert np.array_equal(given_to("inverted", data)[:2], 255 - data.maps[:2])


def test_truth_is_the_causal_mask_of_a_positive_and_a_negatives_own_map() -> None:
    data = samples([0, 1, 1], unmapped=(2,))
    found = given_to("truth", data)
    assert data.causal is not None and data.causal[1].any()
    assert np.array_equal(found[1], data.causal[1])
    assert np.array_equal(found[0], data.maps[0]) and not found[2].any()


@pytest.mark.parametrize(
    ("source", "labels", "unmapped", "expected"),
    [
        ("shuffled", [0, 1, 1], (0, 1), "shuffled needs at least 2 annotated training images, got 1"),
        ("mean", [0, 1, 1], (0, 1), "mean needs at least 2 annotated training images, got 1"),
        ("within_class", [0, 0, 1], (), "within_class needs at least 2 annotated training images of a class"),
        ("class_mean", [0, 0, 1], (), "images of a class, got 1 of label 1"),
    ],
)
def test_what_cannot_be(source: str, labels: list[int], unmapped: tuple[int, ...], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        maps_of(source, samples(labels, unmapped), 0)


def test_a_class_without_maps_needs_none() -> None:
    data = samples([0, 0, 0, 1, 1], unmapped=(0, 1, 2))
    for source in ("within_class", "class_mean"):
        assert not given_to(source, data)[:3].any()


def test_truth_of_real_data() -> None:
    data = samples([0, 1])
    real = StoreRows(data.images, data.maps, data.has_map, data.labels, data.rows)
    with pytest.raises(UserError, match="truth needs masks of the causes, which only phantoms have"):
        maps_of("truth", real, 0)
