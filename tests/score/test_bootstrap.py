"""The bootstrap over draws, seeds and subjects: a slow reference, known variances, and what is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipeline.score.bootstrap import Pairs, Resamples, interval, mean_of_draws

LABELS = np.array([1, 1, 1, 0, 0, 0, 0])
SUBJECTS = np.array(["a", "a", "b", "b", "c", "d", "d"])
EVERY = Pairs(np.arange(3), np.arange(3, 7), np.ones((3, 4), bool))


def scores(seeds: int, ties: bool = True) -> np.ndarray:
    found = np.random.default_rng(0).normal(LABELS, 1, (seeds, len(LABELS)))
    return np.round(found) if ties else found


def test_every_place_is_the_auroc_of_its_resampled_images() -> None:
    """Images repeated as often as their subject was taken, scikit-learn, then the mean over seeds taken."""
    found = Resamples([3], [SUBJECTS], resamples=60)
    values, given = found.of_scores(0, scores(3), [EVERY]), scores(3)
    for place, (times, taken) in enumerate(zip(found.images[0], found.seeds[0], strict=True)):
        assert taken.sum() == 3
        kept = np.repeat(np.arange(len(LABELS)), times)
        if len(set(LABELS[kept])) < 2:
            assert np.isnan(values[place])
            continue
        aurocs = [roc_auc_score(LABELS[kept], own[kept]) for own in given]
        assert values[place] == pytest.approx(np.average(aurocs, weights=taken), abs=1e-6)


def test_images_of_a_subject_come_and_go_together() -> None:
    weights = Resamples([1], [SUBJECTS], resamples=50).images[0]
    for one, other in ((0, 1), (2, 3), (5, 6)):
        assert (weights[:, one] == weights[:, other]).all()
    assert (weights[:, [0, 2, 4, 5]].sum(axis=1) == 4).all()  # as many subjects as there are


def test_only_counted_pairs_count_and_groups_have_equal_weight() -> None:
    conflict = EVERY._replace(counted=np.array([[1, 0, 0, 0]] * 3, bool))
    found = Resamples([1], [np.arange(7)], resamples=200)
    given = np.array([[2.0, 2, 0, 1, 3, 3, 3]])
    one, every, both = (
        found.of_scores(0, given, groups) for groups in ([conflict], [EVERY], [conflict, EVERY])
    )
    times = found.images[0].astype(float)
    pairs = times[:, :3].sum(axis=1) * times[:, 3]
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(one, times[:, :2].sum(axis=1) * times[:, 3] / pairs, atol=1e-6)
    assert np.isnan(one[pairs == 0]).all() and (pairs == 0).any()
    np.testing.assert_allclose(both, np.where(np.isnan(one), every, (one + every) / 2), atol=1e-6)


def test_a_seed_without_scores_is_left_out() -> None:
    given = scores(2)
    given[1] = np.nan
    found = Resamples([2], [SUBJECTS], resamples=100)
    values = found.of_scores(0, given, [EVERY])
    taken = found.seeds[0][:, 0] > 0
    both = (found.images[0][:, :3].sum(axis=1) > 0) & (found.images[0][:, 3:].sum(axis=1) > 0)
    assert np.isnan(values[~taken]).all() and not np.isnan(values[taken & both]).any()


def test_one_value_stands_for_all_seeds() -> None:
    assert set(Resamples([5], resamples=20).of_values(0, np.array([0.25]))) == {0.25}


def test_estimates_are_means_over_the_draws_taken() -> None:
    found = Resamples([1, 1, 1], resamples=300)
    values = [found.of_values(draw, np.array([float(draw)])) for draw in range(3)]
    means = found.estimates(values)
    assert set(np.round(3 * means)) == set(range(7))  # sums of three draws of 0, 1, 2
    assert means.mean() == pytest.approx(1, abs=0.1)


def test_a_draw_without_values_is_left_out() -> None:
    found = Resamples([1, 1], resamples=100)
    means = found.estimates([found.of_values(0, np.array([0.5])), found.of_values(1, np.array([np.nan]))])
    assert set(means[~np.isnan(means)]) == {0.5} and 0.1 < np.isnan(means).mean() < 0.4


def test_spread_is_that_of_draws_and_of_seeds_within_them() -> None:
    """Variance of a mean over 6 draws of means over 5 seeds, from the parts: between draws, and within."""
    values = np.random.default_rng(1).normal(np.linspace(0, 3, 6)[:, None], 0.5, (6, 5))
    found = Resamples([5] * 6)
    means = found.estimates([found.of_values(draw, own) for draw, own in enumerate(values)])
    between, within = values.mean(axis=1).var() / 6, values.var(axis=1).mean() / 30
    assert means.var() == pytest.approx(between + within, rel=0.05)
    assert means.mean() == pytest.approx(values.mean(), abs=0.02)


def test_resamples_repeat() -> None:
    one, other = (Resamples([2, 3], [SUBJECTS, SUBJECTS], resamples=10) for _ in range(2))
    assert all(
        (a == b).all() for a, b in zip(one.images + one.seeds, other.images + other.seeds, strict=True)
    )


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1, max_size=4))
def test_an_interval_holds_no_more_than_the_values(values: list[list[float]]) -> None:
    found = Resamples([len(own) for own in values], resamples=50)
    means = found.estimates([found.of_values(draw, np.array(own)) for draw, own in enumerate(values)])
    value, low, high = interval(mean_of_draws([np.array(own) for own in values]), means, 0.9)
    assert value == pytest.approx(np.mean([np.mean(own) for own in values]))
    flat = [each for own in values for each in own]
    assert min(flat) - 1e-6 <= low <= high <= max(flat) + 1e-6


def test_what_is_not_defined_has_no_interval() -> None:
    assert np.isnan(interval(float("nan"), np.ones(3), 0.95)).all()
    assert np.isnan(interval(0.5, np.full(3, np.nan), 0.95)[1:]).all()
    assert np.isnan(mean_of_draws([np.array([np.nan])]))
