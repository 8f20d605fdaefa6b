"""Fixations of an eye tracker as a map of where was looked for how long."""

import numpy as np

from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Fixations

FAINT = 1e-3  # share of a Gaussian's peak below which only its far tail reaches what was shown


def map_fixations(gaze: Fixations, width: int, height: int, shape: tuple[int, int]) -> np.ndarray:
    """Sum of weighted Gaussians in an image of `width` x `height` px, cut to what was shown: `shape`, peak 1.

    A sum of outer products, so one matrix product. Raises UnusableImage (E_FIX).
    """
    numbers = (gaze.x, gaze.y, gaze.sigma_x, gaze.sigma_y, gaze.weight)
    if not all(np.isfinite(values).all() for values in numbers):
        raise _as_unusable("a fixation's position, size or duration is not a number")
    inside = (gaze.x >= 0) & (gaze.x < width) & (gaze.y >= 0) & (gaze.y < height)
    keep = inside & (gaze.weight > 0) & (gaze.sigma_x > 0) & (gaze.sigma_y > 0)
    if not keep.any():
        message = (
            f"none of {len(gaze.x)} fixations lies inside the image of {width}x{height} px and lasts longer "
            "than 0 s; are positions in px of this image?"
        )
        raise _as_unusable(message)
    shown = np.array([[0, 0, width, height]]) if gaze.shown is None else gaze.shown[keep]
    h, w = shape
    across = _sample_gaussians(gaze.x[keep], gaze.sigma_x[keep], shown[:, 0], shown[:, 2], width, w)
    down = _sample_gaussians(gaze.y[keep], gaze.sigma_y[keep], shown[:, 1], shown[:, 3], height, h)
    total = (down * gaze.weight[keep, None]).T @ across
    if total.max() < FAINT * gaze.weight[keep].max():
        raise _as_unusable("all fixations lie outside the part of the image that was shown")
    return total / total.max()


def _sample_gaussians(
    centre: np.ndarray, sigma: np.ndarray, start: np.ndarray, stop: np.ndarray, length: int, cells: int
) -> np.ndarray:
    """Gaussians along one axis, (n, cells), zero outside [start, stop); px i has its centre at i."""
    step = length / cells
    position = (np.arange(cells) + 0.5) * step - 0.5
    wide = np.maximum(sigma, step / 2)[:, None]  # never so narrow that it falls between two cells
    bells = np.exp(-0.5 * ((position - centre[:, None]) / wide) ** 2)
    return bells * ((position >= start[:, None] - 0.5) & (position < stop[:, None] - 0.5))


def _as_unusable(message: str) -> UnusableImage:
    return UnusableImage(Problem("E_FIX", "annotation", message))
