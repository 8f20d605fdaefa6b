"""Images, maps and contours as uint8 RGB tiles, and mosaics of them; NumPy and Pillow only.

Colours are told apart by colour-blind readers: signed maps run blue, white, red with limits symmetric about
0; unsigned maps run from dark violet to yellow.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

SIGNED = np.array([(5, 48, 97), (67, 147, 195), (247, 247, 247), (214, 96, 77), (103, 0, 31)], float)
UNSIGNED = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], float)
HUMAN, CAUSAL, SHORTCUT = (0, 158, 115), (230, 159, 0), (204, 121, 167)  # Okabe and Ito
EMPTY = 236  # grey of a tile that has nothing to show


def resize(values: np.ndarray, side: int) -> np.ndarray:
    """A map (h, w) at (side, side), bilinear."""
    picture = Image.fromarray(np.asarray(values, dtype=np.float32))
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))


def grey_or_colour(image: np.ndarray, side: int) -> np.ndarray:
    """An image uint8 (C, S, S), C 1 or 3, as RGB (side, side, 3)."""
    pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    picture = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))


def signed(values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """A signed map (h, w) as RGB: blue below 0, white at 0, red above; `limit` None: its largest size.

    >>> signed(np.array([[-1.0, 0.0, 1.0]])).tolist()
    [[[5, 48, 97], [247, 247, 247], [103, 0, 31]]]
    """
    limit = float(np.abs(values).max()) if limit is None else limit
    return _colours(values / (2 * limit) + 0.5 if limit > 0 else np.full(values.shape, 0.5), SIGNED)


def unsigned(values: np.ndarray) -> np.ndarray:
    """A map (h, w) as RGB between its own least and largest value; a flat map is all at the least."""
    low, high = float(values.min()), float(values.max())
    return _colours((values - low) / (high - low) if high > low else np.zeros(values.shape), UNSIGNED)


def _colours(share: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    place = np.linspace(0, 1, len(anchors))
    channels = [np.interp(share, place, anchors[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def overlay(picture: np.ndarray, values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """A signed map laid over an RGB picture (side, side, 3); the stronger, the less of the picture shows."""
    limit = float(np.abs(values).max()) if limit is None else limit
    strength = np.abs(values) / limit if limit > 0 else np.zeros(values.shape)
    opacity = (0.75 * np.clip(strength, 0, 1))[..., None]
    return (picture * (1 - opacity) + signed(values, limit) * opacity).round().astype(np.uint8)


def outlined(
    picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], width: int = 1
) -> np.ndarray:
    """The RGB picture with the inner edge of a boolean mask (side, side) drawn `width` px wide."""
    inner = np.pad(mask, width, mode="constant")
    for _ in range(width):
        smaller = inner.copy()
        for axis in (0, 1):
            smaller &= np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
        inner = smaller
    edge = mask & ~inner[width:-width, width:-width]
    return np.where(edge[..., None], np.array(colour, np.uint8), picture)


def blank(side: int) -> np.ndarray:
    """The tile for something that does not exist."""
    return np.full((side, side, 3), EMPTY, np.uint8)


def mosaic(rows: Sequence[Sequence[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Square RGB tiles of one size in rows, white between them; short rows are filled up with white.

    >>> mosaic([[blank(2), blank(2)], [blank(2)]], gap=1).shape
    (5, 5, 3)
    """
    side, columns = len(rows[0][0]), max(map(len, rows))
    step = side + gap
    canvas = np.full((len(rows) * step - gap, columns * step - gap, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            canvas[y * step : y * step + side, x * step : x * step + side] = tile
    return canvas
