"""Drawing helpers: noise of the asked scale, shapes of the asked size, people who err as asked."""

import numpy as np
import pytest

from pipeline.drawing import _shapes as shapes
from pipeline.drawing._annotators import Annotator, annotate

SHAPE = (60, 80)
DISC = shapes.ellipse(SHAPE, 40, 30, 8, 8) > 0.5
EVERYWHERE = np.ones(SHAPE, dtype=bool)


def correlation(field: np.ndarray, distance: int) -> float:
    return float(np.corrcoef(field[:, :-distance].ravel(), field[:, distance:].ravel())[0, 1])


@pytest.mark.parametrize("scale", [3, 12, 30])
def test_noise_is_smooth_below_its_scale_and_rough_above(scale: int) -> None:
    fields = [shapes.noise(np.random.default_rng(seed), (120, 160), scale) for seed in range(4)]
    for field in fields:
        assert (abs(field.mean()), field.std()) == pytest.approx((0, 1), abs=0.15)
    assert np.mean([correlation(field, max(1, scale // 4)) for field in fields]) > 0.6
    assert abs(np.mean([correlation(field, 2 * scale) for field in fields])) < 0.35


def test_band_noise_has_no_coarse_part() -> None:
    field = shapes.band_noise(np.random.default_rng(0), SHAPE, 2, 6)
    assert field.std() == pytest.approx(1, abs=1e-3)
    assert shapes.smooth(field, 12).std() < 0.05


def test_a_wide_blur_on_a_small_copy_equals_a_direct_one() -> None:
    from scipy import ndimage

    image = shapes.ellipse((90, 91), 50, 40, 20, 14)
    np.testing.assert_allclose(shapes.smooth(image, 8), ndimage.gaussian_filter(image, 8), atol=0.03)


def test_shapes_cover_their_area() -> None:
    assert shapes.ellipse(SHAPE, 40, 30, 12, 7, angle=0.6).sum() == pytest.approx(np.pi * 12 * 7, rel=0.03)
    square = [(10, 10), (29, 10), (29, 29), (10, 29)]
    assert shapes.polygon(SHAPE, square).sum() == pytest.approx(20 * 20, rel=0.06)
    assert shapes.strokes(SHAPE, [([(10, 30), (70, 30)], 4, 1.0)]).sum() == pytest.approx(60 * 4, rel=0.1)


def test_curves_pass_through_their_knots() -> None:
    knots = np.array([(0.0, 0.0), (4.0, 8.0), (9.0, 1.0)])
    np.testing.assert_allclose(shapes.smooth_curve(knots, 5, closed=False)[[0, 2, 4]], knots, atol=1e-9)
    loop = shapes.smooth_curve(knots, 6, closed=True)
    np.testing.assert_allclose(loop[[0, 2, 4]], knots, atol=1e-9)
    several = shapes.smooth_curve(np.stack([knots, 2 * knots], axis=1), 5, closed=False)
    np.testing.assert_allclose(several[:, 1], 2 * several[:, 0], atol=1e-9)


def marks(annotator: Annotator, regions: list[np.ndarray]) -> list[np.ndarray]:
    return [annotate(np.random.default_rng(seed), regions, EVERYWHERE, annotator) for seed in range(40)]


def test_a_perfect_hand_marks_the_region() -> None:
    for mark in marks(Annotator(miss=0, overreach=0, jitter=0, stray=0), [DISC]):
        assert (mark & DISC).sum() / (mark | DISC).sum() > 0.6


def test_overreach_grows_and_jitter_moves() -> None:
    grown = marks(Annotator(miss=0, overreach=0.5, jitter=0, stray=0), [DISC])
    assert np.mean([mark.sum() for mark in grown]) == pytest.approx(1.5**2 * DISC.sum(), rel=0.25)
    moved = marks(Annotator(miss=0, overreach=0, jitter=0.5, stray=0), [DISC])
    offsets = [np.nonzero(mark)[1].mean() - 40 for mark in moved]
    assert np.std(offsets) == pytest.approx(0.5 * 8, rel=0.4)


def test_misses_keep_at_least_one_region() -> None:
    other = shapes.ellipse(SHAPE, 10, 10, 4, 4) > 0.5
    drawn = marks(Annotator(miss=0.9, overreach=0, jitter=0, stray=0), [DISC, other])
    both = [(mark & DISC).any() and (mark & other).any() for mark in drawn]
    assert all(mark.any() for mark in drawn)
    assert np.mean(both) < 0.3


def test_strays_fall_where_they_may() -> None:
    left = EVERYWHERE.copy()
    left[:, 40:] = False
    annotator = Annotator(miss=0, overreach=0, jitter=0, stray=1)
    for seed in range(20):
        mark = annotate(np.random.default_rng(seed), [], left, annotator)
        assert mark.any()
        assert np.nonzero(mark)[1].mean() < 44
