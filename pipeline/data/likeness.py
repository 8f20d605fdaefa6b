"""Which pictures of a set are worth comparing closely: those whose coarse texture is nearest.

Every picture becomes its local texture: smoothed grey minus its surroundings, divided by the local spread
(local contrast normalisation; Jarrett et al., "What is the Best Multi-Stage Architecture for Object
Recognition?", 2009). Brightness, contrast and equalisation leave it as it is, a negative changes its sign,
and text burnt into a corner changes that corner only. What all pictures of the set share, such as the ribs of
every chest film, is taken out by whitening, so that the nearest picture is one with the same details.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 64  # px of a texture
TURNS = 8  # four rotations by 90 degrees, then those of the mirrored picture
CELLS = 8  # a picture is looked up by the means of 8 x 8 cells
# Parts of a texture that are looked up: px left out at each side, then px to the right and down. All are
# looked up among the first parts, so that either picture of a pair may be a part of the other.
PARTS = ((3, 0, 0), (0, 0, 0), (3, 2, 2), (3, 2, -2))
NEAREST = 2  # pictures that each picture is compared with
FINE, WIDE = 0.7, 2.0  # px: Gaussians of detail and of surroundings
DAMPING = 0.003  # share of the largest variance that whitening adds to each
BLOCK = 512
Features = Callable[[np.ndarray], np.ndarray]


def textures(images: np.ndarray) -> np.ndarray:
    """Local texture of prepared images: uint8 (N, C, S, S) -> float16 (N, 64, 64), around 0, 0 where flat."""
    found = np.empty((len(images), SIDE, SIDE), dtype=np.float16)
    for start in range(0, len(images), BLOCK):
        grey = np.asarray(images[start : start + BLOCK]).mean(axis=1, dtype=np.float32)
        small = np.stack([_resize(one) for one in grey])
        detail = _blur(small, FINE) - _blur(small, WIDE)
        spread = np.sqrt(_blur(detail**2, WIDE))
        typical = np.sqrt((detail**2).mean(axis=(1, 2), keepdims=True))
        found[start : start + BLOCK] = detail / (spread + 0.1 * typical + 1e-3)
    return found


def _resize(grey: np.ndarray) -> np.ndarray:
    how = Image.Resampling.BOX if len(grey) >= SIDE else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), how))


def _blur(pictures: np.ndarray, sigma: float) -> np.ndarray:
    blurred: np.ndarray = ndimage.gaussian_filter(pictures, (0, sigma, sigma), mode="reflect")
    return blurred


def turned(pictures: np.ndarray, turn: int) -> np.ndarray:
    """Pictures (N, S, S) in one of 8 turns: rotated `turn % 4` times by 90 degrees, mirrored from 4 on."""
    rotated = np.rot90(pictures, turn % 4, axes=(1, 2))
    return rotated[:, :, ::-1] if turn >= TURNS // 2 else rotated


def cells(texture: np.ndarray) -> list[np.ndarray]:
    """Means of the 8 x 8 cells of each of PARTS of textures (N, 64, 64): float32 (N, 8, 8) each."""
    parts = []
    for margin, right, down in PARTS:
        rows, columns = (_weigh(margin + step, SIDE - margin + step) for step in (down, right))
        blocks = [texture[at : at + BLOCK].astype(np.float32) for at in range(0, len(texture), BLOCK)]
        parts.append(np.concatenate([rows @ block @ columns.T for block in blocks]))
    return parts


def _weigh(start: float, stop: float) -> np.ndarray:
    """Weights float32 (8, 64) of the pixels in 8 equal cells from `start` to `stop`."""
    edges, pixel = np.linspace(start, stop, CELLS + 1), np.arange(SIDE)
    weights = np.clip(np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def propose(texture: np.ndarray) -> np.ndarray:
    """Pairs i < j of textures (N, 64, 64), one among the 2 nearest of the other: int64 (P, 2), sorted.

    Nearest in any of the 8 turns, as it is or as a negative, whole or cropped by 5 %. Takes a time that grows
    with N squared (seconds for 10,000), and gives at most 2 N pairs, whatever the pictures are.
    """
    n, k = len(texture), min(NEAREST, len(texture) - 1)
    if k < 1:
        return np.zeros((0, 2), dtype=np.int64)
    parts = cells(texture)
    features = whitening(parts[0])
    kept = features(parts[0])
    asked = [features(turned(part, turn)) for part in parts for turn in range(TURNS)]
    nearest = np.empty((n, k), dtype=np.int64)
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        best = np.zeros((len(rows), n), dtype=np.float32)
        for one in asked:
            product = one[rows] @ kept.T
            np.maximum(best, np.abs(product, out=product), out=best)
        best[np.arange(len(rows)), rows] = -1
        nearest[rows] = np.argpartition(-best, k - 1, axis=1)[:, :k]
    pairs = np.stack([np.repeat(np.arange(n), k), nearest.ravel()], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def whitening(means: np.ndarray) -> Features:
    """Cells (N, 8, 8) -> unit features float32 (N, 64), white over these pictures in all turns and signs."""
    second = np.zeros((CELLS**2, CELLS**2))
    for turn in range(TURNS):
        flat = turned(means, turn).reshape(len(means), -1).astype(np.float64)
        second += flat.T @ flat
    variances, axes = np.linalg.eigh(second)
    white = (axes / np.sqrt(variances.clip(0) + DAMPING * variances.max() + 1e-9)).astype(np.float32)

    def features(part: np.ndarray) -> np.ndarray:
        flat: np.ndarray = part.reshape(len(part), -1) @ white
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)

    return features
