"""ROC curves by hand and against scikit-learn; the same look of a method in all figures."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_curve as reference
from small_grid import grid

from pipeline.present import figures


def test_roc_curve_by_hand() -> None:
    """Negatives 1, 2, positives 1, 2, 3: of equal false positive rates the most found, lines in between."""
    found = figures.roc_curve(np.array([0, 0, 1, 1, 1]), np.array([1.0, 2.0, 1.0, 2.0, 3.0]))
    places = {0.0: 1 / 3, 0.25: 1 / 2, 0.5: 2 / 3, 0.75: 5 / 6, 1.0: 1.0}
    np.testing.assert_allclose([found[round(100 * rate)] for rate in places], list(places.values()))


@given(arrays(np.int64, 12, elements=st.integers(-3, 3)), arrays(np.int64, 12, elements=st.integers(0, 1)))
def test_roc_curve_passes_through_every_threshold(scores: np.ndarray, labels: np.ndarray) -> None:
    labels[:6] = 0, 1, 0, 0, 0, 1
    labels[6:] = 0, 1, 1, 1, 1, 1  # 5 negatives: rates are among those of the figure
    found = figures.roc_curve(labels, scores.astype(float))
    false, true, _ = reference(labels, scores)
    for rate in np.unique(false):
        assert np.isclose(found[round(100 * rate)], true[false == rate].max())


def test_methods_look_the_same_everywhere_and_controls_are_grey() -> None:
    styles = figures.MethodStyles(grid())
    assert styles.line("control_a")["color"] == figures.GREY["control"] and styles.marker("control_a") == "x"
    assert styles.name("control_a") == "control_a (control)"
    lines = [styles.line(name)["color"] for name in ("cross_entropy", "cyborg")]
    assert lines == list(figures.COLOURS[:2])
