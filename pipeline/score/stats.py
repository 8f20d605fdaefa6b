"""Uncertainty of scores: DeLong intervals over test samples, t intervals and exact tests over units.

DeLong (1988), computed by midranks as in Sun and Xu (2014), covers the noise of one model's test sample;
intervals over seeds cover the noise of training; `bootstrap` has both at once, and that of draws. Small
numbers of units limit what a test can say: the smallest two-sided sign-flip p is 2 / 2^n, above 0.05 for
less than FEWEST of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit
from scipy.stats import rankdata

from pipeline.common.seeding import numpy_rng
from pipeline.score import refuses_undefined_scores

FEWEST = 6  # units below which no p is given
MAX_FLIPS = 24  # 2^23 sums are held in memory
DRAWN_FLIPS = 2**16  # random sign patterns where there are more pairs than that
ROUNDING = 1e-9  # of a difference: files hold ten digits, and sums that are equal must stay so


class Interval(NamedTuple):
    """An estimate with its confidence limits; NaN where it is undefined."""

    value: float
    low: float
    high: float


@refuses_undefined_scores
def auroc_interval(labels: np.ndarray, scores: np.ndarray, confidence: float = 0.95) -> Interval:
    """AUROC with its DeLong interval on the logit scale, so that it stays within 0..1.

    Where the variance is 0 or undefined (perfect separation, all scores tied, one sample of a class), the
    limits are Clopper-Pearson's for as many trials as the smaller class has samples. NaN with one class
    only. Raises ValueError for scores that are NaN or infinite.
    """
    if not (np.any(labels == 0) and np.any(labels == 1)):
        return Interval(float("nan"), float("nan"), float("nan"))
    positive, negative = placements(labels, scores)
    value = float(positive.mean())
    variance = _variance_of_mean(positive) + _variance_of_mean(negative)
    if not variance > 0:
        return Interval(value, *_clopper_pearson(value, min(len(positive), len(negative)), confidence))
    centre = np.log(value / (1 - value))
    reach = _normal_quantile(confidence) * np.sqrt(variance) / (value * (1 - value))
    low, high = 1 / (1 + np.exp(-np.array([centre - reach, centre + reach])))
    return Interval(value, float(low), float(high))


@refuses_undefined_scores
def placements(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components, ties counted 1/2; both means are the AUROC.

    Returns, per positive, the share of negatives that it beats (V10), and per negative, the share of
    positives that beat it (V01).

    >>> placements(np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 2.0, 4.0]))
    (array([0.5, 1. ]), array([1. , 0.5]))
    """
    positive, negative = scores[labels == 1], scores[labels == 0]
    ranks = rankdata(np.concatenate([positive, negative]))
    beaten = ranks[: len(positive)] - rankdata(positive)
    beating = rankdata(negative) + len(positive) - ranks[len(positive) :]
    return beaten / len(negative), beating / len(positive)


def t_interval(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Interval:
    """Mean over seeds with Student's t limits; the limits are NaN for fewer than two values."""
    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < 2:
        return Interval(mean, float("nan"), float("nan"))
    reach = float(stdtrit(n - 1, (1 + confidence) / 2) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - reach, mean + reach)


def sign_flip_p(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p, exact, of paired differences whose signs could as well have been any other.

    The share of all 2^n sign patterns whose absolute sum is at least the observed one; NaN without
    differences. For more than MAX_FLIPS differences, of DRAWN_FLIPS random patterns (always the same ones)
    and the observed one.

    >>> sign_flip_p([0.1, 0.2, 0.3])
    0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) == 0:
        return float("nan")
    if len(values) > MAX_FLIPS:
        signs = numpy_rng(0, "sign flips").choice((-1.0, 1.0), (DRAWN_FLIPS, len(values)))
        sums = np.append(signs @ values, values.sum())
    else:
        sums = values[:1]  # the first sign is fixed: every pattern has a mirror image of equal size
        for value in values[1:]:
            sums = np.concatenate([sums + value, sums - value])
    rounding = ROUNDING * len(values)
    return float(np.mean(np.abs(sums) >= abs(values.sum()) - rounding))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values, in the given order; NaN stays NaN and is not counted.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    order = np.argsort(given, kind="stable")[: int(np.sum(~np.isnan(given)))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1)
    return adjusted


def _variance_of_mean(values: np.ndarray) -> float:
    return float(np.cov(values)) / len(values) if len(values) > 1 else float("nan")


def _clopper_pearson(share: float, n: int, confidence: float) -> tuple[float, float]:
    hits, tail = share * n, (1 - confidence) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return low, high


def _normal_quantile(confidence: float) -> float:
    return float(ndtri((1 + confidence) / 2))
