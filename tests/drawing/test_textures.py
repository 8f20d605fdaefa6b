"""Textures: a regular and an irregular one of the same values, marks that repeat nowhere."""

import numpy as np
import pytest

from pipeline.drawing import _textures as textures
from pipeline.drawing._shapes import bound, ellipse

SHAPE = (96, 128)
WINDOW = ellipse(SHAPE, 60, 50, 30, 24, soft=4)
OUTSIDE = WINDOW <= textures.EDGE


def drawn(family: str, seed: int = 0) -> textures.Textures:
    cue = textures.Cue((family,), (0.06, 0.1))
    return textures.draw_textures(np.random.default_rng(seed), WINDOW, cue)


def peak_share(field: np.ndarray) -> float:
    """Share of a field's power in its strongest eight frequencies: near 1 if it repeats."""
    power = np.sort(np.abs(np.fft.rfft2(field[bound(~OUTSIDE)])).ravel() ** 2)
    return float(power[-8:].sum() / power.sum())


def test_values_are_put_in_the_order_of_another_field() -> None:
    values = np.array([[5.0, 1.0, 9.0], [3.0, 7.0, 7.0]])
    like = np.array([[0.2, 0.9, 0.1], [0.5, 0.0, 0.3]])
    where = np.array([[True, True, False], [True, True, False]])
    found = textures._reorder(values, like, where)
    assert found.tolist() == [[3.0, 7.0, 0.0], [5.0, 1.0, 0.0]]


def test_standardising_by_weight() -> None:
    field, weight = np.array([[1.0, 3.0, 100.0]]), np.array([[1.0, 1.0, 0.0]])
    np.testing.assert_allclose(textures._standardise(field, weight)[0, :2], [-1, 1])


@pytest.mark.parametrize("roughness", [0.0, textures.ROUGHNESS])
@pytest.mark.parametrize("family", sorted(textures.FAMILIES))
def test_both_textures_have_mean_0_deviation_1_and_end_at_the_window(
    family: str, roughness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textures, "ROUGHNESS", roughness)
    for texture in drawn(family):
        assert texture.dtype == np.float32
        assert texture.shape == SHAPE
        assert not texture[OUTSIDE].any()
        mean = np.average(texture, weights=WINDOW)
        deviation = np.sqrt(np.average((texture - mean) ** 2, weights=WINDOW))
        assert (mean, deviation) == pytest.approx((0, 1), abs=0.12)


@pytest.mark.parametrize("family", sorted(textures.FAMILIES))
def test_both_textures_are_made_of_the_same_values(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textures, "ROUGHNESS", 0.0)
    regular, irregular = drawn(family)
    np.testing.assert_array_equal(np.sort(regular[~OUTSIDE]), np.sort(irregular[~OUTSIDE]))
    assert np.mean(regular[~OUTSIDE] == irregular[~OUTSIDE]) < 0.2


@pytest.mark.parametrize("family", sorted(set(textures.FAMILIES) - {"rings"}))
def test_one_of_them_repeats(family: str) -> None:
    shares = np.mean([[peak_share(texture) for texture in drawn(family, seed)] for seed in range(6)], axis=0)
    assert shares[0] > 1.5 * shares[1]


def test_families_by_hand() -> None:
    rng = np.random.default_rng(0)
    u, v = np.array([0.0, 0.5, 0.25]), np.array([0.0, 0.0, 0.5])
    values = {name: textures.FAMILIES[name](u, v, rng) for name in ("stripes", "checks", "lattice", "waves")}
    np.testing.assert_allclose(values["stripes"], [1, -1, 0], atol=1e-12)
    np.testing.assert_allclose(values["checks"], [1, -1, 0], atol=1e-12)
    np.testing.assert_allclose(values["lattice"], [1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(values["waves"][:2], [1, -1], atol=1e-12)
    # three waves that cross at 60 degrees: all at a crest in the middle, in troughs beside it
    dots = textures.FAMILIES["dots"](np.array([0.0, 0.5]), np.array([0.0, 0.5 / np.sqrt(3)]), rng)
    np.testing.assert_allclose(dots, [3, -1], atol=1e-12)
    u, v = np.meshgrid(np.arange(-9.0, 10), np.arange(-9.0, 10))
    assert np.abs(textures.FAMILIES["rings"](u, v, rng)).max() <= 1


def test_polarity_period_and_family_vary() -> None:
    rng = np.random.default_rng(0)
    cue = textures.Cue(("stripes", "dots"), (0.06, 0.1))
    found = [textures.draw_textures(rng, WINDOW, cue).regular for _ in range(12)]
    skewness = [float((texture[~OUTSIDE] ** 3).mean()) for texture in found]
    assert min(skewness) < -0.3 < 0.3 < max(skewness)  # bright dots on dark and dark ones on bright
    assert len({round(peak_share(texture), 3) for texture in found}) > 6


def test_scaled_textures() -> None:
    pair = textures.Textures(np.ones((1, 2)), np.array([[2.0, -4.0]]))
    regular, irregular = pair.scaled(0.5)
    assert (regular.tolist(), irregular.tolist()) == ([[0.5, 0.5]], [[1.0, -2.0]])


@pytest.mark.parametrize("channels", [(), (3,)])
def test_clearing_takes_detail_from_the_window_only(channels: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random((*SHAPE, *channels), dtype=np.float32)
    before = image.copy()
    cleared = textures.clear(image, WINDOW)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(cleared[WINDOW == 0], image[WINDOW == 0])
    middle = WINDOW == 1
    left = cleared[middle].std() / image[middle].std()
    assert left == pytest.approx(1 - textures.FLATTEN, abs=0.1)


def test_a_flat_image_is_clear_already() -> None:
    flat = np.full(SHAPE, 0.25, dtype=np.float32)
    np.testing.assert_allclose(textures.clear(flat, WINDOW), flat, atol=1e-6)


def test_a_mark_is_bright_and_stays_in_its_window() -> None:
    mark = textures.draw_mark(np.random.default_rng(0), WINDOW)
    assert not mark[WINDOW == 0].any()
    assert mark[WINDOW == 1].mean() == pytest.approx(1, abs=0.15)
    assert mark[WINDOW == 1].std() == pytest.approx(textures.SPECKLE, rel=0.15)
    assert peak_share(mark - WINDOW) < 0.5


def test_the_print_is_everywhere_and_always_the_same() -> None:
    device = textures.draw_print(SHAPE)
    np.testing.assert_array_equal(device, textures.draw_print(SHAPE))
    assert device.mean() == pytest.approx(textures.GLOBAL, rel=0.05)
    rows = np.abs(device - device.mean()).mean(axis=1)
    assert rows.min() > 0.3 * rows.max()
