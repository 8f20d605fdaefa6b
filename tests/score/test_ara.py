"""Robustness curves and areas: by hand, and against the authors' histogram and numerical integration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad

from pipeline.score.ara import accuracy_curve, ara, majority_share

EXAMPLE = np.array([0, 0, 0.1, 0.2, 0.2, 0.3, 0.4, 0.5, 0.5, 1])
RADII = arrays(np.float64, st.integers(1, 30), elements=st.sampled_from(np.arange(11) / 10))
CHANCES = st.sampled_from([0.0, 0.3, 0.5, 0.75])


def test_the_example_by_hand() -> None:
    """0.8, 0.7 on the first two tenths, then 0.5 and less: 0.1 * 0.3 + 0.1 * 0.2."""
    assert ara(EXAMPLE) == pytest.approx(0.05)
    assert ara(EXAMPLE, chance=0.0) == pytest.approx(EXAMPLE.mean())
    assert ara(EXAMPLE[::-1]) == ara(EXAMPLE)


def test_curve_by_hand() -> None:
    """A perturbation of an image's own radius succeeds, so the image no longer counts there."""
    budgets = np.array([0, 0.05, 0.1, 0.2, 0.45, 1, 2])
    np.testing.assert_allclose(accuracy_curve(EXAMPLE, budgets), [0.8, 0.8, 0.7, 0.5, 0.3, 0, 0])


@settings(deadline=None, max_examples=40)
@given(RADII, CHANCES)
def test_area_is_the_integral_of_the_curve(radii: np.ndarray, chance: float) -> None:
    def height(eps: float) -> float:
        return max(0.0, float(accuracy_curve(radii, np.array([eps]))[0]) - chance)

    expected = sum(quad(height, low / 10, (low + 1) / 10)[0] for low in range(10))
    assert ara(radii, chance) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, 200, elements=st.floats(0, 0.5)))
def test_the_authors_histogram_gives_the_same_up_to_a_bin(radii: np.ndarray) -> None:
    counts, edges = np.histogram(radii, 1000, (0, max(radii.max(), 0.01)))
    theirs = (edges[1] * np.maximum(1 - counts.cumsum() / len(radii) - 0.5, 0)).sum()
    assert ara(radii) == pytest.approx(theirs, abs=edges[1])


@settings(deadline=None, max_examples=40)
@given(RADII, CHANCES, st.floats(0.1, 10))
def test_area_has_the_unit_of_the_radii(radii: np.ndarray, chance: float, scale: float) -> None:
    assert ara(radii * scale, chance) == pytest.approx(scale * ara(radii, chance))


def test_no_images_have_no_robustness() -> None:
    nothing = np.empty(0)
    assert np.isnan(ara(nothing)) and np.isnan(majority_share(nothing))
    assert np.isnan(accuracy_curve(nothing, np.array([0.0, 1.0]))).all()


def test_a_network_at_chance_has_no_area() -> None:
    assert ara(np.array([0.0, 0.0, 3.0, 9.0])) == 0
    assert majority_share(np.array([1, 1, 0])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("undefined", [np.nan, np.inf])
def test_undefined_radii_end_in_one_line(undefined: float) -> None:
    radii = np.array([0.1, undefined, 0.2])
    for call in (lambda: ara(radii), lambda: accuracy_curve(radii, np.array([0.1]))):
        with pytest.raises(ValueError, match="1 of 3 radii are NaN or infinite"):
            call()
