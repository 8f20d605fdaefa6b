"""Hand values, scikit-learn as reference, and properties that hold for any scores."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.explain import alignment
from pipeline.score import metrics

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
SCORES = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.5, 0.7, 0.9])
TYPES = np.array(["live"] * 4 + ["print", "print", "lens", "lens"])
ONE_CLASS = (np.zeros(3, int), np.array([0.1, 0.2, 0.3]), np.array(["live"] * 3))


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels of both classes and scores with many ties."""
    count = draw(st.integers(2, 30))
    labels = draw(arrays(np.int64, count, elements=st.integers(0, 1)))
    labels[:2] = 0, 1
    return labels, draw(arrays(np.float64, count, elements=st.integers(-4, 4).map(lambda n: n / 2)))


def brute_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    gaps = scores[labels == 1][:, None] - scores[labels == 0]
    return float(np.mean((gaps > 0) + 0.5 * (gaps == 0)))


@given(scored())
def test_auroc_counts_ties_half(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert metrics.auroc(*pair) == pytest.approx(brute_auroc(*pair))


@given(scored())
def test_ranking_metrics_ignore_monotone_changes(pair: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = pair
    for metric in (metrics.auroc, metrics.ap, metrics.eer):
        assert metric(labels, np.exp(scores)) == pytest.approx(metric(labels, scores))


def test_scikit_learn_agrees() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 200), rng.normal(size=200)
    assert metrics.auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
    assert metrics.ap(labels, scores) == average_precision_score(labels, scores)


def test_error_rates_by_hand() -> None:
    by_type = metrics.apcer_by_type(LABELS, SCORES, TYPES, 0.45)
    assert by_type == {"lens": 0.0, "print": 0.5}
    assert metrics.apcer_pooled(LABELS, SCORES, 0.45) == 0.25
    assert metrics.bpcer(LABELS, SCORES, 0.45) == 0.25
    assert metrics.accuracy(LABELS, SCORES, 0.45) == 0.75
    found = metrics.detection(LABELS, SCORES, TYPES, 0.45)
    assert (found["apcer_max"], found["apcer_mean"], found["apcer_pooled"]) == (0.5, 0.25, 0.25)
    assert (found["acer_max"], found["acer_mean"]) == (0.375, 0.25)


def test_a_score_at_the_threshold_is_called_positive() -> None:
    assert metrics.bpcer(LABELS, SCORES, 0.6) == 0.25
    assert metrics.apcer_pooled(LABELS, SCORES, 0.4) == 0.0


def test_thresholds_are_not_rounded_to_float32() -> None:
    scores = np.array([0.1], dtype=np.float32)
    above = float(np.nextafter(float(scores[0]), 1))
    assert metrics.bpcer(np.array([0]), scores, above) == 0.0


def test_livdet_2025_example() -> None:
    """The challenge's three rows; -1 is no response and counts as an attack decision."""
    labels, raw = np.array([0, 1, 1]), np.array([0.02, 0.97, -1.0])
    types = np.array(["live", "high_quality", "pixelated"])
    scores = np.where(raw == -1, 1.0, raw)
    assert metrics.auroc(labels, scores) == 1
    assert metrics.apcer_pooled(labels, scores, 0.5) == 0
    assert metrics.bpcer(labels, scores, 0.5) == 0
    assert metrics.apcer_by_type(labels, scores, types, 0.5) == {"high_quality": 0, "pixelated": 0}


@pytest.mark.parametrize(
    ("negatives", "positives", "expected"),
    [
        ([1, 2, 3, 4], [5, 6], 0),  # separated
        ([5, 6], [1, 2, 3, 4], 1),  # separated the wrong way round
        ([1, 2, 3, 5], [4, 6, 7, 8], 0.25),  # at 5: one of four of each
        ([1, 1], [1, 1], 0.5),  # one threshold only: half-way along the line from (0, 1) to (1, 0)
        ([1, 3], [2, 4, 5], 1 / 3),  # apcer 1/3 at both thresholds around bpcer 1/2 -> 0: on the vertical
    ],
)
def test_eer_by_hand(negatives: list[int], positives: list[int], expected: float) -> None:
    labels = np.array([0] * len(negatives) + [1] * len(positives))
    assert metrics.eer(labels, np.array(negatives + positives, float)) == pytest.approx(expected)


@given(scored())
def test_eer_lies_on_both_interpolated_curves(pair: tuple[np.ndarray, np.ndarray]) -> None:
    apcers, bpcers, _ = metrics.error_curves(*pair)
    place = np.linspace(0, len(apcers) - 1, 20001)
    steps = np.arange(len(apcers))
    gap = np.abs(np.interp(place, steps, apcers) - np.interp(place, steps, bpcers))
    nearest = np.interp(place[gap.argmin()], steps, apcers)
    assert metrics.eer(*pair) == pytest.approx(nearest, abs=2e-3)


@given(scored(), st.floats(-3, 3))
def test_error_curves_agree_with_the_rates(pair: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    apcers, bpcers, thresholds = metrics.error_curves(*pair)
    place = np.searchsorted(thresholds, threshold)  # the next threshold above decides alike
    assert apcers[place] == pytest.approx(metrics.apcer_pooled(*pair, threshold))
    assert bpcers[place] == pytest.approx(metrics.bpcer(*pair, threshold))


def test_bpcer_at_apcer_by_hand() -> None:
    """At most half of each type may be lost: the threshold is the second lowest print, 0.5."""
    assert metrics.bpcer_at_apcer(LABELS, SCORES, TYPES, 0.5) == 0.25
    assert metrics.bpcer_at_apcer(LABELS, SCORES, TYPES, 0.0) == 0.25
    assert metrics.bpcer_at_apcer(LABELS, SCORES, TYPES, 1.0) == 0.0


def test_apcer_at_bpcer_by_hand() -> None:
    assert metrics.apcer_at_bpcer(LABELS, SCORES, TYPES, 0.25) == 0.0  # just above 0.3
    assert metrics.apcer_at_bpcer(LABELS, SCORES, TYPES, 0.0) == 1.0  # just above 0.6: no print is found
    assert metrics.apcer_at_bpcer(LABELS, SCORES, TYPES, 1.0) == 0.0


@given(scored(), st.integers(0, 100))
def test_operating_points_are_the_best_allowed(pair: tuple[np.ndarray, np.ndarray], percent: int) -> None:
    labels, scores = pair
    types, limit = np.where(np.arange(len(labels)) % 2, "a", "b"), percent / 100
    candidates = [*np.unique(scores), np.inf]
    worst = [max(metrics.apcer_by_type(labels, scores, types, t).values()) for t in candidates]
    refused = [metrics.bpcer(labels, scores, t) for t in candidates]
    lowest = min(b for a, b in zip(worst, refused, strict=True) if a <= limit + 1e-9)
    assert metrics.bpcer_at_apcer(labels, scores, types, limit) == pytest.approx(lowest)
    lowest = min(a for a, b in zip(worst, refused, strict=True) if b <= limit + 1e-9)
    assert metrics.apcer_at_bpcer(labels, scores, types, limit) == pytest.approx(lowest)


def test_limits_are_not_lost_to_rounding() -> None:
    """29 of 100 may be lost at 0.29, although 0.29 * 100 is 28.999999999999996."""
    labels, scores = np.array([0] + [1] * 100), np.array([29.5, *range(1, 101)])
    assert metrics.bpcer_at_apcer(labels, scores, np.full(101, "a"), 0.29) == 0


@given(scored(), st.integers(0, 100))
def test_fitted_thresholds_keep_their_promise(pair: tuple[np.ndarray, np.ndarray], percent: int) -> None:
    labels, scores = pair
    types, limit = np.full(len(labels), "a"), percent / 100
    tight = metrics.fit_threshold(labels, scores, types, "bpcer", limit)
    assert metrics.bpcer(labels, scores, tight) <= limit + 1e-9
    assert metrics.apcer_pooled(labels, scores, tight) == pytest.approx(
        metrics.apcer_at_bpcer(labels, scores, types, limit)
    )
    loose = metrics.fit_threshold(labels, scores, types, "apcer", limit)
    assert metrics.apcer_pooled(labels, scores, loose) <= limit + 1e-9
    assert metrics.bpcer(labels, scores, loose) == pytest.approx(
        metrics.bpcer_at_apcer(labels, scores, types, limit)
    )


def test_fitted_thresholds_lie_between_scores() -> None:
    assert metrics.fit_threshold(LABELS, SCORES, TYPES, "bpcer", 0.25) == pytest.approx(0.35)
    assert metrics.fit_threshold(LABELS, SCORES, TYPES, "apcer", 0.5) == pytest.approx(0.45)
    assert metrics.fit_threshold(LABELS, SCORES, TYPES, "eer", 0) == pytest.approx(0.45)


def test_fixed_threshold_is_a_probability() -> None:
    assert metrics.fit_threshold(*ONE_CLASS, "fixed", 0.5) == 0
    assert metrics.fit_threshold(*ONE_CLASS, "fixed", 0.9) == pytest.approx(np.log(9))
    assert metrics.fit_threshold(*ONE_CLASS, "fixed", 1) == np.inf


def test_one_class_gives_nan_not_zero() -> None:
    found = metrics.detection(*ONE_CLASS, threshold=0.15)
    defined = {name for name, value in found.items() if not np.isnan(value)}
    assert defined == {"bpcer", "accuracy", "ece"}
    attacks_only = metrics.detection(np.ones(2, int), np.array([0.1, 0.9]), np.array(["a", "b"]), 0.5)
    assert attacks_only["apcer_max"] == 1
    assert attacks_only["apcer_mean"] == 0.5
    assert np.isnan(attacks_only["bpcer"])


def test_expected_calibration_error_by_hand() -> None:
    """Two bins: P = 0.5 with no positive among one sample, P = 0.9 with two positives of two."""
    margins = np.array([0, np.log(9), np.log(9)])
    found = metrics.expected_calibration_error(np.array([0, 1, 1]), margins)
    assert found == pytest.approx((0.5 + 2 * 0.1) / 3)


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e4, 1e4)))
def test_calibration_error_stays_in_range(margins: np.ndarray) -> None:
    labels = np.arange(len(margins)) % 2
    assert 0 <= metrics.expected_calibration_error(labels, margins) <= 1


UNDEFINED = [np.nan, np.inf, -np.inf]
TAKES_SCORES = {  # every public function of scores, with what it takes besides labels and scores
    "auroc": (), "ap": (), "eer": (), "error_curves": (), "expected_calibration_error": (),
    "apcer_pooled": (0.5,), "bpcer": (0.5,), "accuracy": (0.5,),
    "apcer_by_type": (TYPES, 0.5), "bpcer_at_apcer": (TYPES, 0.5), "apcer_at_bpcer": (TYPES, 0.5),
    "detection": (TYPES, 0.5), "fit_threshold": (TYPES, "eer", 0.0),
}  # fmt: skip


def test_every_metric_is_tested_for_undefined_scores() -> None:
    functions = {
        name for name, value in vars(metrics).items()
        if callable(value) and value.__module__ == metrics.__name__ and not name.startswith("_")
    }  # fmt: skip
    assert functions - {"Metric"} == set(TAKES_SCORES)


@pytest.mark.parametrize("undefined", UNDEFINED)
@pytest.mark.parametrize("name", TAKES_SCORES)
def test_undefined_scores_end_in_one_line_that_names_the_metric(name: str, undefined: float) -> None:
    scores = SCORES.copy()
    scores[[1, 6]] = undefined
    with pytest.raises(ValueError, match=f"^{name}: 2 of 8 scores are NaN or infinite$"):
        getattr(metrics, name)(LABELS, scores, *TAKES_SCORES[name])


def test_each_metric_is_declared_with_title_and_direction() -> None:
    """Of detection and of alignment; errors by type have the names of types and stay in the CSV."""
    found = metrics.detection(LABELS, SCORES, TYPES, 0.45)
    named = {name for name in found if name not in ("apcer_print", "apcer_lens")}
    assert set(metrics.METRICS) == named | set(alignment.METRICS)
    assert {about.table for about in metrics.METRICS.values()} == {
        "generalisation", "attack_errors", "alignment", "",
    }  # fmt: skip


def test_the_declared_direction_is_the_metrics_own() -> None:
    """From scores without information to perfect ones, each metric moves as it says, or stays."""
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 2
    types = np.where(labels == 1, np.where(rng.random(200) < 0.5, "print", "lens"), "live")
    worse, better = (metrics.detection(labels, strength * (2 * labels - 1) + rng.normal(size=200), types, 0)
                     for strength in (0.0, 3.0))  # fmt: skip
    for name, about in metrics.METRICS.items():
        if name in worse:
            change = better[name] - worse[name]
            assert (change > 0.05) if about.better == "higher" else (change < -0.02), name


def test_detection_on_random_scores_equals_brute_force() -> None:
    """Both classes are predicted, types are unequal, the threshold is away from 0."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 150)
    types = np.where(labels == 1, rng.choice(["a", "b", "c"], 150, p=[0.6, 0.3, 0.1]), "live")
    scores, threshold = rng.normal(labels, 1.0), 0.3
    called = scores >= threshold
    by_type = [np.mean(~called[types == kind]) for kind in "abc"]
    refused = np.mean(called[labels == 0])
    found = metrics.detection(labels, scores, types, threshold)
    expected = {
        "auroc": brute_auroc(labels, scores),
        "apcer_a": by_type[0], "apcer_b": by_type[1], "apcer_c": by_type[2],
        "apcer_max": max(by_type), "acer_max": (max(by_type) + refused) / 2,
        "apcer_mean": np.mean(by_type), "acer_mean": (np.mean(by_type) + refused) / 2,
        "apcer_pooled": np.mean(~called[labels == 1]), "bpcer": refused,
        "accuracy": np.mean(called == (labels == 1)),
    }  # fmt: skip
    assert len({*by_type}) == 3 and 0.2 < np.mean(called) < 0.8
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    for name, limit in {"bpcer10": 0.10, "bpcer20": 0.05, "bpcer100": 0.01}.items():
        allowed = [t for t in scores if all(np.mean(scores[types == kind] < t) <= limit for kind in "abc")]
        assert found[name] == pytest.approx(np.mean(scores[labels == 0] >= max(allowed))), name
    fine = [t for t in [*scores, 9.0] if np.mean(scores[labels == 0] >= t) <= 0.01]
    lost = max(np.mean(scores[types == kind] < min(fine)) for kind in "abc")
    assert found["apcer_at_bpcer1"] == pytest.approx(lost)


def test_calibration_error_of_random_scores_equals_a_loop_over_bins() -> None:
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 300), 2 * rng.normal(size=300)
    probability = 1 / (1 + np.exp(-scores))
    surplus = 0.0
    for low in np.arange(15) / 15:
        inside = (probability >= low) & (probability < low + 1 / 15)
        surplus += abs((probability[inside] - labels[inside]).sum())
    assert metrics.expected_calibration_error(labels, scores) == pytest.approx(surplus / 300)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("metric", [metrics.auroc, metrics.ap, metrics.eer])
def test_a_ranking_of_one_class_is_undefined(metric: Callable[..., float], label: int) -> None:
    assert np.isnan(metric(np.full(3, label), np.array([0.1, 0.2, 0.3])))


@pytest.mark.parametrize("metric", [metrics.bpcer_at_apcer, metrics.apcer_at_bpcer])
@pytest.mark.parametrize("label", [0, 1])
def test_an_operating_point_of_one_class_is_undefined(metric: Callable[..., float], label: int) -> None:
    assert np.isnan(metric(np.full(3, label), np.array([0.1, 0.2, 0.3]), np.full(3, "a"), 0.5))


@pytest.mark.parametrize(("rule", "label"), [("bpcer", 0), ("eer", 0), ("apcer", 1), ("eer", 1)])
def test_a_rule_names_the_label_that_it_lacks(rule: str, label: int) -> None:
    labels = np.full(3, 1 - label)
    with pytest.raises(ValueError, match=f"{rule}.*label {label}, got none"):
        metrics.fit_threshold(labels, np.arange(3.0), np.full(3, "a"), rule, 0.1)
