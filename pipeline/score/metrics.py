"""Detection metrics: pure functions of labels, scores and attack types.

`labels` (N,) are 0 (bona fide, normal, authentic) or 1 (attack, abnormal, synthetic); `scores` (N,) are
higher for 1; `types` (N,) name what each positive shows (attack species, finding, generator). A sample is
called positive when its score is at or above the threshold. Thresholds are arguments; `fit_threshold`
chooses one, on validation scores only. A metric that needs a class which is absent is NaN, never 0; a score
that is NaN or infinite is a ValueError.

APCER and BPCER follow ISO/IEC 30107-3: APCER is reported per type, for the worst type (`apcer_max`), as the
equal weight mean of types and pooled over all attacks; ACER is no longer part of the standard and says in
its name which APCER it averages with BPCER.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_curve

from pipeline.score import refuses_undefined_scores

OPERATING_POINTS = {"bpcer10": 0.10, "bpcer20": 0.05, "bpcer100": 0.01}  # name -> the APCER it is taken at
CALIBRATION_BINS = 15
_ROUNDING = 1e-9  # 0.29 * 100 is below 29 in floating point, and must allow 29 errors


@refuses_undefined_scores
def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: P(positive scores higher), ties count 1/2; NaN with one class only.

    >>> auroc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    if not _both(labels):
        return float("nan")
    positive = labels == 1
    n, m = int(positive.sum()), int((~positive).sum())
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))  # Mann and Whitney's U


@refuses_undefined_scores
def ap(labels: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of finding positives, without interpolation; NaN with one class only."""
    return float(average_precision_score(labels, scores)) if _both(labels) else float("nan")


@refuses_undefined_scores
def eer(labels: np.ndarray, scores: np.ndarray) -> float:
    """Equal error rate: where pooled APCER and BPCER cross, both interpolated linearly between thresholds.

    >>> eer(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.8]))
    0.5
    """
    if not _both(labels):
        return float("nan")
    apcers, bpcers, _ = error_curves(labels, scores)
    gap = apcers - bpcers  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    weight = gap[after] / (gap[after] - gap[after - 1])
    return float(apcers[after] + weight * (apcers[after - 1] - apcers[after]))


@refuses_undefined_scores
def error_curves(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pooled APCER (rising), BPCER (falling) and their thresholds (rising, the last one infinite)."""
    false_positive, true_positive, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return (1 - true_positive)[::-1], false_positive[::-1], thresholds[::-1]


@refuses_undefined_scores
def apcer_by_type(
    labels: np.ndarray, scores: np.ndarray, types: np.ndarray, threshold: float
) -> dict[str, float]:
    """Share of each type's positives that score below the threshold, by type in alphabetical order."""
    called = _positive(scores, threshold)
    return {
        str(kind): float(np.mean(~called[(labels == 1) & (types == kind)]))
        for kind in np.unique(types[labels == 1])
    }


@refuses_undefined_scores
def apcer_pooled(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """Share of all positives that score below the threshold, whatever their type."""
    return _mean(~_positive(scores[labels == 1], threshold))


@refuses_undefined_scores
def bpcer(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """Share of negatives that score at or above the threshold."""
    return _mean(_positive(scores[labels == 0], threshold))


@refuses_undefined_scores
def accuracy(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """Share of samples on the right side of the threshold."""
    return _mean(_positive(scores, threshold) == (labels == 1))


@refuses_undefined_scores
def bpcer_at_apcer(labels: np.ndarray, scores: np.ndarray, types: np.ndarray, limit: float) -> float:
    """Lowest BPCER at which no type's APCER exceeds `limit`; BPCER20 is the one at 5 %.

    >>> labels, types = np.array([0, 0, 1, 1]), np.array(["", "", "print", "print"])
    >>> bpcer_at_apcer(labels, np.array([0.1, 0.6, 0.4, 0.8]), types, limit=0.5)
    0.0
    """
    if not _both(labels):
        return float("nan")
    return bpcer(labels, scores, _highest_threshold(scores, labels, types, limit))


@refuses_undefined_scores
def apcer_at_bpcer(labels: np.ndarray, scores: np.ndarray, types: np.ndarray, limit: float) -> float:
    """Lowest APCER of the worst type at which BPCER does not exceed `limit`."""
    if not _both(labels):
        return float("nan")
    threshold = np.nextafter(_first_refused(scores[labels == 0], limit), np.inf)
    return max(apcer_by_type(labels, scores, types, threshold).values())


@refuses_undefined_scores
def expected_calibration_error(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean distance between P(abnormal) = sigmoid(score) and the share of positives, over equal-width bins.

    Each of the CALIBRATION_BINS bins weighs as many samples as it holds (Guo et al. 2017, here for the
    probability of the positive class).

    >>> round(expected_calibration_error(np.array([1, 0]), np.array([0.0, 0.0])), 6)
    0.0
    """
    if len(labels) == 0:
        return float("nan")
    probability = 0.5 * (1 + np.tanh(np.asarray(scores, dtype=np.float64) / 2))  # never overflows
    index = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    surplus = np.bincount(index, weights=probability - labels, minlength=CALIBRATION_BINS)
    return float(np.abs(surplus).sum() / len(labels))


@refuses_undefined_scores
def fit_threshold(
    labels: np.ndarray,
    scores: np.ndarray,
    types: np.ndarray,
    rule: Literal["bpcer", "apcer", "eer", "fixed"],
    value: float,
) -> float:
    """The logit difference from which a sample is called positive, chosen on validation.

    bpcer: the lowest threshold whose BPCER does not exceed `value`; apcer: the highest whose worst type's
    APCER does not exceed it; eer: where pooled APCER and BPCER are closest; fixed: P(abnormal) = `value`.
    Fitted thresholds lie half-way between two neighbouring scores. Raises ValueError when the rule needs a
    class that is absent.
    """
    if rule == "fixed":
        with np.errstate(divide="ignore"):
            return float(np.log(value) - np.log1p(-value))
    needed = {"bpcer": (0,), "apcer": (1,), "eer": (0, 1)}[rule]
    missing = [label for label in needed if not np.any(labels == label)]
    if missing:
        raise ValueError(
            f"threshold rule {rule!r} needs samples of label {missing[0]}, got none in validation"
        )
    if rule == "bpcer":
        return _above(scores, _first_refused(scores[labels == 0], value))
    if rule == "apcer":
        return _below(scores, _highest_threshold(scores, labels, types, value))
    apcers, bpcers, thresholds = error_curves(labels, scores)
    return _below(scores, float(thresholds[np.argmin(np.abs(apcers - bpcers))]))


@refuses_undefined_scores
def detection(
    labels: np.ndarray, scores: np.ndarray, types: np.ndarray, threshold: float
) -> dict[str, float]:
    """All threshold-free and threshold metrics of one group of samples, by name (see the module's text)."""
    by_type = apcer_by_type(labels, scores, types, threshold)
    worst = max(by_type.values(), default=float("nan"))
    mean = _mean(list(by_type.values()))
    refused = bpcer(labels, scores, threshold)
    operating = {
        name: bpcer_at_apcer(labels, scores, types, limit) for name, limit in OPERATING_POINTS.items()
    }
    return {
        "auroc": auroc(labels, scores),
        "ap": ap(labels, scores),
        "eer": eer(labels, scores),
        **{f"apcer_{kind}": share for kind, share in by_type.items()},
        "apcer_max": worst,
        "apcer_mean": mean,
        "apcer_pooled": apcer_pooled(labels, scores, threshold),
        "bpcer": refused,
        "acer_max": (worst + refused) / 2,
        "acer_mean": (mean + refused) / 2,
        **operating,
        "apcer_at_bpcer1": apcer_at_bpcer(labels, scores, types, 0.01),
        "accuracy": accuracy(labels, scores, threshold),
        "ece": expected_calibration_error(labels, scores),
    }


def _highest_threshold(scores: np.ndarray, labels: np.ndarray, types: np.ndarray, limit: float) -> float:
    """The highest threshold at which at most `limit` of each type's positives fall below it; may be
    infinite."""
    return min(
        _allowed(np.sort(scores[(labels == 1) & (types == kind)]), limit)
        for kind in np.unique(types[labels == 1])
    )


def _first_refused(negatives: np.ndarray, limit: float) -> float:
    """The negative score that any threshold must exceed so that at most `limit` of them reach it."""
    return -_allowed(np.sort(-negatives), limit)


def _allowed(ascending: np.ndarray, limit: float) -> float:
    """The first value that may not be lost when `limit` of all values may be; infinite when all may."""
    count = int(np.floor(limit * len(ascending) + _ROUNDING))
    return float(ascending[count]) if count < len(ascending) else float("inf")


def _above(scores: np.ndarray, value: float) -> float:
    """Half-way from `value` to the next higher score; just above `value` when there is none."""
    if np.isneginf(value):
        return float(scores.min())
    higher = scores[scores > value]
    return float((value + higher.min()) / 2) if len(higher) else float(np.nextafter(value, np.inf))


def _below(scores: np.ndarray, value: float) -> float:
    """Half-way from `value` to the next lower score; `value` itself when there is none."""
    if np.isposinf(value):
        return float(np.nextafter(float(scores.max()), np.inf))
    lower = scores[scores < value]
    return float((value + lower.max()) / 2) if len(lower) else value


def _positive(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Compared in float64: a threshold must not be rounded to the scores' float32."""
    return np.asarray(scores, dtype=np.float64) >= threshold


def _both(labels: np.ndarray) -> bool:
    return bool(np.any(labels == 0) and np.any(labels == 1))


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


class Metric(NamedTuple):
    """How tables show a metric."""

    title: str
    better: Literal["higher", "lower"]
    table: str  # whose panels show it; blank: the CSV alone


METRICS = {  # each number of an evaluated cell, in the order of columns; `apcer_<type>` are in the CSV alone
    "auroc": Metric("AUROC", "higher", "generalisation"),
    "ap": Metric("AP", "higher", "attack_errors"),
    "eer": Metric("EER", "lower", "attack_errors"),
    "apcer_max": Metric("APCER max", "lower", "attack_errors"),
    "apcer_mean": Metric("APCER mean", "lower", ""),
    "apcer_pooled": Metric("APCER pooled", "lower", ""),
    "bpcer": Metric("BPCER", "lower", "attack_errors"),
    "acer_max": Metric("ACER max", "lower", "attack_errors"),
    "acer_mean": Metric("ACER mean", "lower", ""),
    "bpcer10": Metric("BPCER10", "lower", "attack_errors"),
    "bpcer20": Metric("BPCER20", "lower", "attack_errors"),
    "bpcer100": Metric("BPCER100", "lower", "attack_errors"),
    "apcer_at_bpcer1": Metric("APCER at BPCER 1 %", "lower", ""),
    "accuracy": Metric("accuracy", "higher", "attack_errors"),
    "ece": Metric("ECE", "lower", "attack_errors"),
    "cc": Metric("CC", "higher", "alignment"),
    "sim": Metric("SIM", "higher", ""),
    "kl": Metric("KL", "lower", ""),
    "nss": Metric("NSS", "higher", ""),
    "auc_judd": Metric("AUC-Judd", "higher", "alignment"),
    "pointing": Metric("pointing game", "higher", ""),
    "energy_pointing": Metric("energy", "higher", "alignment"),
    "iou": Metric("IoU", "higher", "alignment"),
}
