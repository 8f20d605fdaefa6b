"""Brute-force references and published values for intervals and tests."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.score import stats


def sample(seed: int = 0, negatives: int = 30, positives: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.array([0] * negatives + [1] * positives)
    return labels, np.round(rng.normal(labels, 1), 1)  # rounding makes ties


def wins(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """psi(X_i, Y_j) for every positive i and negative j."""
    gaps = scores[labels == 1][:, None] - scores[labels == 0]
    return (gaps > 0) + 0.5 * (gaps == 0)


def test_placements_equal_brute_force() -> None:
    labels, scores = sample()
    psi = wins(labels, scores)
    positive, negative = stats.placements(labels, scores)
    np.testing.assert_allclose(positive, psi.mean(axis=1))
    np.testing.assert_allclose(negative, psi.mean(axis=0))


def test_delong_interval_equals_brute_force() -> None:
    labels, scores = sample()
    psi = wins(labels, scores)
    auc = psi.mean()
    error = np.sqrt(psi.mean(axis=1).var(ddof=1) / 20 + psi.mean(axis=0).var(ddof=1) / 30)
    reach = 1.959964 * error / (auc * (1 - auc))
    logit = np.log(auc / (1 - auc))
    expected = [auc, *(1 / (1 + np.exp(-(logit + side * reach))) for side in (-1, 1))]
    np.testing.assert_allclose(stats.auroc_interval(labels, scores), expected, rtol=1e-6)


def test_delong_interval_covers_as_promised() -> None:
    """AUROC of two unit normals one apart is 0.7602."""
    covered = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = np.array([0] * 40 + [1] * 40)
        _, low, high = stats.auroc_interval(labels, rng.normal(labels, 1), confidence=0.9)
        covered.append(low <= 0.7602 <= high)
    assert 0.85 < np.mean(covered) < 0.95


def test_perfect_separation_falls_back() -> None:
    """Clopper-Pearson for 5 of 5: low = 0.025 ** (1 / 5)."""
    labels, scores = np.array([0] * 9 + [1] * 5), np.arange(14.0)
    np.testing.assert_allclose(stats.auroc_interval(labels, scores), [1, 0.025 ** (1 / 5), 1])
    np.testing.assert_allclose(stats.auroc_interval(labels, -scores), [0, 0, 1 - 0.025 ** (1 / 5)])


@pytest.mark.parametrize("scores", [[1, 1, 1, 1], [1, 2, 3, 2]])
def test_undefined_variance_falls_back(scores: list[float]) -> None:
    """All tied, or one positive only: the limits are wide and hold the value."""
    value, low, high = stats.auroc_interval(np.array([0, 0, 0, 1]), np.array(scores, float))
    assert 0 <= low < value < high <= 1
    assert high - low > 0.8


def test_tied_scores_have_clopper_pearsons_limits_for_half_of_the_smaller_class() -> None:
    for positives in (1, 4):
        labels = np.array([0] * 5 + [1] * positives)
        hits = positives / 2
        limits = (scipy.stats.beta.ppf(0.025, hits, hits + 1), scipy.stats.beta.ppf(0.975, hits + 1, hits))
        assert stats.auroc_interval(labels, np.zeros(len(labels))) == pytest.approx((0.5, *limits))


def test_one_class_has_no_interval() -> None:
    for label in (0, 1):
        assert np.isnan(stats.auroc_interval(np.full(3, label), np.arange(3.0))).all()


def test_t_interval_equals_scipy() -> None:
    values = [0.7, 0.72, 0.69, 0.75, 0.71]
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert stats.t_interval(values) == pytest.approx((np.mean(values), expected.low, expected.high))


def test_two_seeds_have_an_interval() -> None:
    """12.7062 is Student's t of one degree of freedom; the standard error of 0.7 and 0.9 is 0.1."""
    assert stats.t_interval([0.7, 0.9]) == pytest.approx((0.8, 0.8 - 1.27062, 0.8 + 1.27062), abs=1e-5)


def test_t_interval_of_one_seed_is_undefined() -> None:
    value, low, high = stats.t_interval([0.7])
    assert value == 0.7
    assert np.isnan([low, high]).all()
    assert np.isnan(stats.t_interval([])).all()


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
def test_sign_flip_equals_brute_force(values: list[int]) -> None:
    sums = [abs(np.dot(signs, values)) for signs in product((-1, 1), repeat=len(values))]
    assert stats.sign_flip_p(values) == np.mean(np.array(sums) >= abs(sum(values)))


@given(
    st.lists(st.floats(-3, 3).map(lambda x: round(x, 3) + 1e-4 * np.pi), min_size=2, max_size=7, unique=True)
)
def test_sign_flip_equals_scipy(values: list[float]) -> None:
    """Where no other pattern ties with the observed one; SciPy compares sums without room for rounding."""
    sums = np.abs([np.dot(signs, values) for signs in product((-1, 1), repeat=len(values))])
    assume(np.sum(np.abs(sums - abs(sum(values))) < 1e-9) == 2)
    found = scipy.stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert stats.sign_flip_p(values) == pytest.approx(found.pvalue, abs=1e-12)


@pytest.mark.parametrize("undefined", [np.nan, np.inf])
@pytest.mark.parametrize("function", [stats.auroc_interval, stats.placements])
def test_undefined_scores_end_in_one_line(function: Callable[..., object], undefined: float) -> None:
    labels, scores = sample()
    scores[3] = undefined
    with pytest.raises(ValueError, match=f"^{function.__name__}: 1 of 50 scores are NaN or infinite$"):
        function(labels, scores)


@pytest.mark.parametrize(("n", "smallest"), [(1, 1), (3, 0.25), (5, 0.0625), (10, 0.001953125)])
def test_smallest_sign_flip_p(n: int, smallest: float) -> None:
    assert stats.sign_flip_p(np.full(n, 0.1)) == smallest  # 0.1 + 0.1 + ... rounds; p must not


def test_sign_flip_without_pairs_is_undefined() -> None:
    assert np.isnan(stats.sign_flip_p([]))


def test_many_pairs_are_tested_on_drawn_patterns() -> None:
    """The sum of n fair signs is normal to within the drawing, (1 - erf(2 / sqrt 2)) at two deviations."""
    assert stats.sign_flip_p(np.ones(25)) == 1 / (stats.DRAWN_FLIPS + 1)
    values = np.random.default_rng(0).normal(size=60)
    values += 2 * np.linalg.norm(values - values.mean()) / 60 - values.mean()
    expected = 2 * scipy.stats.norm.sf(values.sum() / np.linalg.norm(values))
    assert stats.sign_flip_p(values) == pytest.approx(expected, rel=0.1)
    assert stats.sign_flip_p(values) == stats.sign_flip_p(values)


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(stats.holm([0.01, np.nan, 0.04, 0.03]), [0.03, np.nan, 0.06, 0.06])
    np.testing.assert_allclose(stats.holm([0.6, 0.9]), [1, 1])
    assert stats.holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_never_lowers_and_keeps_order(p_values: list[float]) -> None:
    adjusted = stats.holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert (adjusted >= p_values).all()
    assert (np.diff(adjusted[order]) >= 0).all()
    assert adjusted.max() <= 1


def test_sums_that_are_equal_but_for_ten_digits_are_equal() -> None:
    exact = np.array([1 / 3, 1 / 6, -1 / 6, 1 / 3, -1 / 3, 1 / 6])
    assert stats.sign_flip_p(np.round(exact + 0.5, 10) - 0.5) == stats.sign_flip_p(6 * exact)
