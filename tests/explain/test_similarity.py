"""Similarity of maps by hand, against MONAI, and at the edges: flat maps, tiny grids, broken values."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import SSIMMetric
from scipy.stats import entropy as scipy_entropy
from scipy.stats import pearsonr

from pipeline.explain.similarity import SIMILARITIES, compare, energy_share, entropy, ssim


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def unit(maps: np.ndarray) -> np.ndarray:
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return (maps - low) / (high - low)


def test_by_hand() -> None:
    """N() gives [0, .25, .5, 1] and [0, 1, 0, 0]."""
    found = compare(np.array([[[-1.0, 0.0], [1.0, 3.0]]]), np.array([[[2.0, 4.0], [2.0, 2.0]]]))
    assert found["mse"] == pytest.approx([(0.75**2 + 0.5**2 + 1) / 4])
    assert found["pearson"] == pytest.approx([-3 / np.sqrt(105)])


def test_pearson_and_mse_against_scipy() -> None:
    maps, others = draw(4, 5, 6), draw(4, 5, 6, seed=1)
    found = compare(maps, others)
    assert found["mse"] == pytest.approx(((unit(maps) - unit(others)) ** 2).mean(axis=(1, 2)))
    expected = [pearsonr(a.ravel(), b.ravel())[0] for a, b in zip(maps, others, strict=True)]
    assert found["pearson"] == pytest.approx(expected)


@pytest.mark.parametrize("side", [3, 7, 12, 40])
def test_ssim_against_monai_on_mirrored_maps(side: int) -> None:
    maps, others = draw(3, side, side), draw(3, side, side, seed=1)
    others[0] = maps[0] + 0.3 * others[0]
    border = ((0, 0), (3, 3), (3, 3))
    pair = [
        torch.from_numpy(np.pad(unit(values), border, mode="symmetric"))[:, None] for values in (maps, others)
    ]
    metric = SSIMMetric(spatial_dims=2, data_range=1.0, win_size=7, kernel_sigma=1.5)
    assert compare(maps, others)["ssim"] == pytest.approx(metric(*pair)[:, 0].numpy(), abs=1e-5)


def test_ssim_of_flat_maps_by_hand() -> None:
    """Of luminance alone: C1 / (0.02^2 + C1), C1 = 0.01^2; and (2 * 0.06 + C1) / (0.04 + 0.09 + C1)."""
    maps, others = np.zeros((2, 4, 5)), np.zeros((2, 4, 5))
    others[0], maps[1], others[1] = 0.02, 0.2, 0.3
    assert ssim(maps, others) == pytest.approx([0.2, 0.1201 / 0.1301])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(2, 9), st.integers(1, 9), st.floats(1e-12, 1e6), st.floats(-10, 10))
def test_symmetric_bounded_and_blind_to_scale_and_level(
    seed: int, height: int, width: int, scale: float, level: float
) -> None:
    maps, others = draw(2, height, width, seed=seed), draw(2, height, width, seed=seed + 1)
    found, mirrored, moved = (
        compare(maps, others),
        compare(others, maps),
        compare((maps + level) * scale, others),
    )
    for name in SIMILARITIES:
        np.testing.assert_allclose(found[name], mirrored[name], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found[name], moved[name], rtol=1e-6, atol=1e-9)
        assert (np.abs(found[name]) <= 1 + 1e-9).all()


@pytest.mark.parametrize("side", [1, 2, 3, 7, 16])
def test_equal_maps(side: int) -> None:
    maps = draw(2, side, side)
    found = compare(maps, maps)
    assert found["mse"].tolist() == [0, 0]
    assert found["ssim"] == pytest.approx([1, 1])
    assert found["pearson"] == pytest.approx([np.nan, np.nan] if side == 1 else [1, 1], nan_ok=True)


@pytest.mark.parametrize("value", [0.0, 0.3, -1e9])
def test_a_flat_map_has_no_pearson_and_no_warning(value: float) -> None:
    """N() of a flat map is zeros; float32 rounding is not a shape."""
    flat = np.full((1, 4, 4), value, dtype=np.float32)
    flat[0, 0, 0] = np.nextafter(np.float32(value), np.float32(np.inf)) if value else 0
    other = draw(1, 4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare(flat, other)
        both = compare(flat, flat)
    assert np.isnan(found["pearson"]).all() and np.isnan(both["pearson"]).all()
    assert found["mse"] == pytest.approx((unit(other) ** 2).mean(axis=(1, 2)))
    assert 0 <= found["ssim"][0] < 0.5
    assert (both["mse"][0], both["ssim"][0]) == (0, 1)


def test_a_broken_map_is_undefined_not_flat() -> None:
    maps = draw(2, 4, 4)
    maps[0, 1, 1] = np.nan
    found = compare(maps, draw(4, 4, seed=1))
    assert all(np.isnan(values[0]) and np.isfinite(values[1]) for values in found.values())


def test_one_map_for_all() -> None:
    maps, other = draw(3, 4, 5), draw(4, 5, seed=1)
    alone, repeated = compare(maps, other), compare(maps, np.stack([other] * 3))
    assert all(np.array_equal(alone[name], repeated[name]) for name in SIMILARITIES)


def test_energy_share_by_hand() -> None:
    maps = np.array([[[4.0, 1.0], [-9.0, 3.0]], [[-1.0, 0.0], [0.0, -2.0]]])
    assert energy_share(maps, np.array([[1, 1], [1, 0]])).tolist() == [0.625, 0]
    masks = np.array([[[0, 0], [0, 1]], [[1, 1], [1, 1]]])
    assert energy_share(maps, masks).tolist() == [0.375, 0]


def test_entropy_counts_the_cells_that_share_the_energy() -> None:
    border = np.zeros((1, 7, 7))
    border.reshape(-1)[:28] = 0.2
    assert entropy(border) == pytest.approx([np.log(28)]) and np.log(28) == pytest.approx(3.33, abs=0.005)
    maps = draw(3, 4, 5)
    assert entropy(maps) == pytest.approx(scipy_entropy(np.maximum(maps, 0).reshape(3, -1), axis=1))


def test_entropy_at_its_ends() -> None:
    maps = np.zeros((3, 3, 4))
    maps[0, 1, 1], maps[1] = 5, -1
    assert entropy(maps) == pytest.approx([0, np.log(12), np.log(12)])
