"""Intervals by resampling draws, trainings within draws, and test subjects, all at once.

A draw is one data set of several that one generator has drawn, with test images of its own; every method is
trained on each of them with several seeds. A resample takes as many draws as there are, with replacement; in
each place where a draw was taken anew as many of its seeds, and anew as many of its test subjects, whose
images come and go together. All methods see the same resamples, so that differences are paired in all three.

Exact, not linearised: an AUROC under resampled subjects is the share of won pairs, weighted by how often
either image was taken. The resamples are a function of the numbers of draws, seeds and subjects alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.common.seeding import numpy_rng
from pipeline.score.stats import Interval

RESAMPLES = 10_000
BLOCK = 1000  # resamples that are computed at once


class Pairs(NamedTuple):
    """Which positives an AUROC compares with which negatives: places among a draw's test images."""

    positive: np.ndarray  # int (P,)
    negative: np.ndarray  # int (N,)
    counted: np.ndarray  # bool (P, N)


class Resamples:
    """Which draws, seeds and subjects each resample takes.

    seeds: how many trainings each draw has; subjects: the subject of each test image of each draw, any
    values, or None where subjects are not resampled.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        subjects: Sequence[np.ndarray] | None = None,
        resamples: int = RESAMPLES,
    ) -> None:
        rng = numpy_rng(0, "bootstrap")
        count = len(seeds)
        taken = rng.integers(count, size=(resamples, count))
        self.shape = taken.shape
        self.places = [np.flatnonzero(taken.ravel() == draw) for draw in range(count)]
        self.seeds = [
            rng.multinomial(n, np.full(n, 1 / n), len(own)).astype(np.float32)
            for n, own in zip(seeds, self.places, strict=True)
        ]
        self.images = [
            _image_weights(subject, len(own), rng)
            for subject, own in zip(subjects or (), self.places, strict=False)
        ]

    def of_values(self, draw: int, values: np.ndarray) -> np.ndarray:
        """The mean over a draw's seeds in each place that took it, of a number per seed (S,).

        A seed without a value (NaN) is left out; one value stands for all seeds.
        """
        return self._over_seeds(draw, np.broadcast_to(values, (len(self.places[draw]), len(values))))

    def of_scores(self, draw: int, scores: np.ndarray, groups: Sequence[Pairs]) -> np.ndarray:
        """The same of each seed's AUROC on the subjects taken, the mean over `groups` of pairs, at least one.

        scores: (S, test images of the draw), a row of NaN where a seed has none. A group none of whose pairs
        was taken is left out of that mean.
        """
        weights = self.images[draw]
        found = np.empty((len(weights), len(scores)), np.float32)
        for start in range(0, len(weights), BLOCK):
            block = weights[start : start + BLOCK].astype(np.float32)
            parts = [_weighted_auroc(block, scores, pairs) for pairs in groups]
            found[start : start + BLOCK] = _mean(np.stack(parts), axis=0)
        return self._over_seeds(draw, found)

    def _over_seeds(self, draw: int, values: np.ndarray) -> np.ndarray:
        """The mean over the seeds taken of values (places, S); S = 1 stands for all seeds."""
        counts = self.seeds[draw] if values.shape[1] > 1 else np.ones((len(values), 1), np.float32)
        return _weighted_mean(values, counts)

    def estimates(self, by_draw: Sequence[np.ndarray]) -> np.ndarray:
        """Each resample's mean over the draws it took, (resamples,); NaN where none has a value."""
        found = np.full(self.shape, np.nan)
        for places, values in zip(self.places, by_draw, strict=True):
            found.ravel()[places] = values
        return _mean(found, axis=1)


def interval(value: float, resampled: np.ndarray, confidence: float) -> Interval:
    """An estimate with the percentiles of its resamples (those that are defined).

    >>> interval(50.0, np.arange(101.0), 0.5)
    Interval(value=50.0, low=25.0, high=75.0)
    """
    defined = resampled[~np.isnan(resampled)]
    if value != value or not len(defined):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


def mean_of_draws(values: Sequence[np.ndarray]) -> float:
    """The estimate that resamples vary: the mean over draws of the mean over seeds, without what is NaN."""
    return float(_mean(np.array([_mean(np.asarray(own, float), axis=0) for own in values]), axis=0))


def _image_weights(subjects: np.ndarray, times: int, rng: np.random.Generator) -> np.ndarray:
    """How often each image is taken when subjects are, uint8 (times, images)."""
    names, places = np.unique(subjects, return_inverse=True)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), times)
    return counts.astype(np.uint8)[:, places]


def _weighted_auroc(weights: np.ndarray, scores: np.ndarray, pairs: Pairs) -> np.ndarray:
    """AUROC of each row of scores (S, n) under each row of weights (M, n): (M, S), NaN without a pair."""
    first, second = weights[:, pairs.positive], weights[:, pairs.negative]
    total = np.einsum("mn,mn->m", first @ pairs.counted.astype(np.float32), second)
    own = scores[:, pairs.positive, None] - scores[:, None, pairs.negative]
    won = ((own > 0) + 0.5 * (own == 0)) * pairs.counted  # S, P, N
    flat = np.moveaxis(won, 0, 1).reshape(len(pairs.positive), -1).astype(np.float32)
    beaten = (first @ flat).reshape(len(weights), len(scores), -1)
    with np.errstate(invalid="ignore"):
        found = np.einsum("msn,mn->ms", beaten, second) / total[:, None]
    found[:, np.isnan(scores).any(axis=1)] = np.nan
    return found


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Over the last axis, of the values that are defined; NaN where their weights are 0."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values * weights, 0).sum(axis=-1) / (weights * defined).sum(axis=-1)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Of the values that are defined, NaN without any."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(axis=axis) / defined.sum(axis=axis)
