"""What causes and shortcuts look like: textures that repeat, textures that do not, and marks.

A cause is a regular texture in a window. Images without it have, in a window of the same kind, an irregular
texture made of the very same values, only in another order: brightness, contrast and sizes are alike, and
regularity is all that tells the classes apart. A mark competes with the cause in place and size, and is
louder. Fields are float32 `(h, w)`; lengths are shares of the image's shorter side.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import fft

from pipeline.drawing._shapes import bound, grid, smooth

Field = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]  # of u, v in periods

EDGE = 0.02  # of a window: less than this is outside
INSIDE = 0.3  # of a window: what counts as the exact mask
LIMIT = 2.2  # of a texture's values, in standard deviations
WIDTH = 0.8  # of the irregular texture's band of frequencies, in units of the regular one's
FLATTEN = 0.7  # how much of what lies below gives way to a texture
SOFT = 1 / 32  # blur of what is left of it
GRAIN = 1 / 24  # period of the speckle of a mark, and of the roughness of a texture
ROUGHNESS = 0.4  # deviation of the grain that roughens all textures alike, in units of theirs
SPECKLE = 1.1  # deviation of the speckle, share of the mark's strength
GLOBAL = 0.15  # strength of a print, share of a mark's: it is everywhere


def _stripes(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.cos(2 * np.pi * u)


def _checks(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.cos(2 * np.pi * u) * np.cos(2 * np.pi * v)


def _dots(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    turns = np.pi / 3 * np.arange(3)
    return sum(np.cos(2 * np.pi * (u * np.cos(turn) + v * np.sin(turn))) for turn in turns)


def _lattice(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.maximum(np.cos(2 * np.pi * u), np.cos(2 * np.pi * v))


def _rings(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x, y = rng.uniform(-1, 1, 2)
    return np.cos(2 * np.pi * np.hypot(u - u.mean() - x, v - v.mean() - y))


def _waves(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.cos(2 * np.pi * (u + 0.35 * np.sin(2 * np.pi * v / 3)))


FAMILIES: dict[str, Field] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "lattice": _lattice,
    "rings": _rings,
    "waves": _waves,
}


class Cue(NamedTuple):
    """The causes that a source shows: families of textures, and the range of their periods."""

    families: tuple[str, ...]
    periods: tuple[float, float]


class Textures(NamedTuple):
    """Two textures for one window, each with mean 0 and deviation 1 in it and 0 outside."""

    regular: np.ndarray
    irregular: np.ndarray

    def scaled(self, contrast: float) -> "Textures":
        """Both with that deviation."""
        return Textures(self.regular * np.float32(contrast), self.irregular * np.float32(contrast))


def draw_textures(rng: np.random.Generator, window: np.ndarray, cue: Cue) -> Textures:
    """A regular texture of random family, period, direction and polarity, and its irregular counterpart."""
    box = bound(window > EDGE)
    inside = window[box]
    period = rng.uniform(*cue.periods) * min(window.shape)
    family = FAMILIES[cue.families[int(rng.integers(len(cue.families)))]]
    turn, (x, y) = rng.uniform(0, np.pi), grid(inside.shape)
    u = (x * np.cos(turn) + y * np.sin(turn)) / period + rng.uniform()
    v = (y * np.cos(turn) - x * np.sin(turn)) / period + rng.uniform()
    pattern = rng.choice([-1, 1]) * family(u, v, rng)
    regular = np.clip(_standardise(pattern, inside), -LIMIT, LIMIT)
    irregular = _reorder(regular, _band(rng, inside.shape, period), inside > EDGE)
    textures = np.zeros((2, *window.shape), dtype=np.float32)
    grain = _standardise(_band(rng, inside.shape, GRAIN * min(window.shape)), inside)
    both = (np.stack([regular, irregular]) + ROUGHNESS * grain) / np.hypot(1, ROUGHNESS)
    textures[:, *box] = both * (inside > EDGE)
    return Textures(*textures)


def clear(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    """An image `(h, w)` or `(h, w, 3)` with less detail in a window, so that a texture shows there."""
    sigma = SOFT * min(window.shape)
    box = bound(window > 0, margin=int(3 * sigma))
    planes = np.moveaxis(np.atleast_3d(image[box]), -1, 0)
    faint = [plane + FLATTEN * window[box] * (smooth(plane, sigma) - plane) for plane in planes]
    cleared = image.copy()
    cleared[box] = np.stack(faint, axis=-1).reshape(image[box].shape)
    return cleared


def draw_mark(rng: np.random.Generator, window: np.ndarray) -> np.ndarray:
    """A mark of strength 1 in a window `(h, w)`: bright, with a speckle that repeats nowhere."""
    box = bound(window > EDGE)
    inside = window[box]
    speckle = _standardise(_band(rng, inside.shape, GRAIN * min(window.shape)), inside)
    mark = np.zeros(window.shape, dtype=np.float32)
    mark[box] = inside * (1 + SPECKLE * np.clip(speckle, -LIMIT, LIMIT))
    return mark


def draw_print(shape: tuple[int, ...]) -> np.ndarray:
    """The global mark `(h, w)` of strength 1: a longer exposure, and the noise of one device."""
    device = np.random.default_rng(0)
    speckle = _standardise(_band(device, shape, GRAIN * min(shape)))
    return (GLOBAL * (1 + SPECKLE * np.clip(speckle, -LIMIT, LIMIT))).astype(np.float32)


def _standardise(field: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    mean = np.average(field, weights=weight)
    return (field - mean) / max(float(np.sqrt(np.average((field - mean) ** 2, weights=weight))), 1e-6)


def _band(rng: np.random.Generator, shape: tuple[int, ...], period: float) -> np.ndarray:
    """Noise in a wide band of frequencies about 1 / `period` px."""
    side = fft.next_fast_len(
        max(*shape, int(4 * period)), real=True
    )  # a small window still holds some periods
    waves = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None]).astype(np.float32) * period
    white = fft.rfft2(rng.standard_normal((side, side), dtype=np.float32))
    field = fft.irfft2(white * np.exp(-0.5 * ((waves - 1) / WIDTH) ** 2), s=(side, side))
    return field[: shape[0], : shape[1]]


def _reorder(values: np.ndarray, like: np.ndarray, where: np.ndarray) -> np.ndarray:
    """`values` at the boolean places `where`, put in the order of `like`; 0 elsewhere."""
    places = np.flatnonzero(where)
    found = np.zeros_like(values)
    found.flat[places[np.argsort(like.flat[places], kind="stable")]] = np.sort(values.flat[places])
    return found
