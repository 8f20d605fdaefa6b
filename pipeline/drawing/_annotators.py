"""People who mark what they see, and err."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from pipeline.drawing._shapes import blob, bound, noise, polygon


class Annotator(NamedTuple):
    """How one simulated person errs."""

    miss: float = 0.15  # probability that a region is not marked
    overreach: float = 0.3  # growth of a marked region, share of its radius; spread by half of it
    jitter: float = 0.2  # shift of a marked region, share of its radius (standard deviation)
    stray: float = 0.15  # probability of one more region where nothing is


def annotate(
    rng: np.random.Generator, regions: Sequence[np.ndarray], where: np.ndarray, annotator: Annotator
) -> np.ndarray:
    """What one person marks: a boolean mask `(h, w)`, made from true `regions` with that person's errors.

    Each region may be missed, is grown and shifted, and becomes a smooth hand-drawn outline; a stray region
    of similar size may fall anywhere in the boolean mask `where`. If there are regions, at least one is kept.
    """
    drawn = np.zeros(where.shape, dtype=bool)
    kept = [part for part in regions if rng.random() >= annotator.miss]
    if not kept and regions:
        kept = [regions[int(rng.integers(len(regions)))]]
    for part in kept:
        drawn |= _redraw(rng, part, annotator)
    if rng.random() < annotator.stray and where.any():
        ys, xs = np.nonzero(where)
        spot = int(rng.integers(len(xs)))
        size = np.sqrt(np.mean([part.sum() for part in regions]) / np.pi) if regions else 0.06 * len(where)
        outline = blob(rng, xs[spot], ys[spot], size, size)
        drawn |= polygon(where.shape, outline) > 0.5
    return drawn


def _redraw(rng: np.random.Generator, part: np.ndarray, annotator: Annotator) -> np.ndarray:
    """One region as a hesitant hand draws it: its outline wobbles, is grown and shifted."""
    radius = float(np.sqrt(part.sum() / np.pi))
    growth = annotator.overreach * radius * (1 + 0.5 * rng.normal())
    dx, dy = rng.normal(0, annotator.jitter * radius, 2)
    window = bound(part, margin=int(2 * radius) + 4)
    inside = part[window]
    distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    wobble = 0.15 * radius * noise(rng, inside.shape, max(4.0, radius))
    moved = ndimage.shift(distance + wobble, (dy, dx), order=1, mode="nearest")
    drawn = np.zeros_like(part)
    drawn[window] = moved <= max(growth, float(moved.min()))  # a shrinking hand still leaves a dot
    return drawn
