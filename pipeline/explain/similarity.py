"""How alike two explanation maps are, and where one map's energy lies: scores per sample, all at once.

Maps are (N, h, w), signed or not, of any scale. `compare` looks at their shape only: each map is first
brought to [0, 1] by N(X) = (X - min X) / (max X - min X). Metrics after Dombrowski et al. 2019 (NeurIPS),
whose maps have unit sum and whose SSIM takes its range from the first map; N() and the fixed range 1, with
which all three are symmetric, are this project's reading. N() makes flat maps zeros; a map with NaN gives
NaN.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import entr

from pipeline.explain.alignment import cc, energy_pointing, normalise

SIMILARITIES = ("mse", "pearson", "ssim")
_RADIUS, _SIGMA = 3, 1.5  # of SSIM's Gaussian window: 7 cells wide
_C1, _C2 = 0.01**2, 0.03**2  # for maps of range 1


def compare(maps: np.ndarray, others: np.ndarray) -> dict[str, np.ndarray]:
    """SIMILARITIES of (N, h, w) maps with others (N, h, w), or with one (h, w) for all; each (N,) float64.

    mse is in 0..1; pearson in -1..1, NaN where either map is flat; ssim in -1..1.

    >>> compare(np.array([[[0.0, 1.0], [1.0, 0.0]]]), np.array([[5.0, 3.0], [3.0, 5.0]]))["pearson"].round(6)
    array([-1.])
    """
    first, second = _scale_to_unit(maps), _scale_to_unit(np.broadcast_to(others, maps.shape))
    return {
        "mse": np.mean((first - second) ** 2, axis=(1, 2)),
        "pearson": cc(first.reshape(len(first), -1), second.reshape(len(second), -1)),
        "ssim": ssim(first, second),
    }


def ssim(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004) of maps in [0, 1], (N, h, w) each: (N,), -1..1, 1 for equals.

    Gaussian window of 7 cells with sigma 1.5, averaged over all cells. Beyond the border maps go on mirrored
    (c b a | a b c), so that grids smaller than the window work by the same rule as larger ones; windows that
    lie inside the map only would be a single one on 7x7 cells.
    """
    mean, other_mean = _average_window(maps), _average_window(others)
    variances = _average_window(maps**2) - mean**2 + _average_window(others**2) - other_mean**2
    covariance = _average_window(maps * others) - mean * other_mean
    luminance = (2 * mean * other_mean + _C1) / (mean**2 + other_mean**2 + _C1)
    structure = (2 * covariance + _C2) / (variances + _C2)
    return np.mean(luminance * structure, axis=(1, 2))


def energy_share(maps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Share of the energy, ReLU(map), of (N, h, w) maps inside a 0/1 mask (h, w) or (N, h, w); (N,), 0..1.

    0 for a map without energy.

    >>> energy_share(np.array([[[3.0, 1.0], [-5.0, 0.0]]]), np.array([[1, 0], [1, 1]]))
    array([0.75])
    """
    inside = np.broadcast_to(mask, maps.shape).reshape(len(maps), -1) > 0
    return energy_pointing(_take_energy(maps), inside)


def entropy(maps: np.ndarray) -> np.ndarray:
    """Entropy in nats of each map's energy, ReLU(map) / sum, (N, h, w) to (N,): from 0 to ln(h w).

    The number of cells that share the energy, as a logarithm; ln(h w) for a map without energy.

    >>> np.exp(entropy(np.array([[[2.0, 2.0], [-1.0, 0.0]]]))).round(6)
    array([2.])
    """
    energy = _take_energy(maps)
    total = energy.sum(axis=1, keepdims=True)
    share = np.where(total > 0, energy / np.where(total > 0, total, 1), 1 / energy.shape[1])
    return entr(share).sum(axis=1)


def _scale_to_unit(maps: np.ndarray) -> np.ndarray:
    """N() of (N, h, w) in float64; zeros for flat maps."""
    return normalise(maps.reshape(len(maps), -1).astype(np.float64)).reshape(maps.shape)


def _average_window(maps: np.ndarray) -> np.ndarray:
    """Gaussian averages around every cell."""
    rows = gaussian_filter1d(maps, _SIGMA, axis=1, radius=_RADIUS, mode="reflect")
    return gaussian_filter1d(rows, _SIGMA, axis=2, radius=_RADIUS, mode="reflect")


def _take_energy(maps: np.ndarray) -> np.ndarray:
    return np.maximum(maps.reshape(len(maps), -1).astype(np.float64), 0)
