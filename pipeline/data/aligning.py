"""How alike two textures are once one is laid over the other: the smallest affine change that fits best.

Inverse compositional Gauss-Newton (Baker and Matthews, "Lucas-Kanade 20 Years On", 2004), many pairs at once,
from the best of 8 turns and 3 zooms. Then the pictures are compared patch by patch, and the median patch
counts: strangers agree in their outline and differ in most patches, while text, a border or a mark spoils
only the patches that it covers.
"""

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.data.likeness import PARTS, SIDE, TURNS, Features, cells, turned, whitening

WINDOW = 0.85  # share of the side that is compared
PATCHES = 6  # patches a side of that window
ROUNDS = 4  # of alignment at half the size, then as many at the whole size for what may be a copy
HOPELESS = 0.7  # likeness after the first alignment below which a pair is given up (copies: at least 0.85)
LARGEST_STEP = 0.15  # half widths of the picture
BLOCK = 256


class Fit(NamedTuple):
    """How pairs fit, arrays with one entry per pair."""

    likeness: np.ndarray  # median correlation of patches, -1..1; 0 where less than half of them overlap
    turn: np.ndarray  # of the first picture, 0..7
    negative: np.ndarray  # bool
    place: np.ndarray  # (P, 3, 3): from places in the second, -1..1, to places in the turned first


def align(texture: np.ndarray, pairs: np.ndarray) -> Fit:
    """Fit the first onto the second of each pair (P, 2) of rows of textures (N, 64, 64)."""
    if not len(pairs):
        return Fit(np.zeros(0), np.zeros(0, int), np.zeros(0, bool), np.zeros((0, 3, 3)))
    features = whitening(cells(texture)[0])
    blocks = [pairs[at : at + BLOCK] for at in range(0, len(pairs), BLOCK)]
    with threadpool_limits(1):  # for many small products more threads are slower
        parts = [_align_block(texture, block, features) for block in blocks]
    return Fit(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _align_block(texture: np.ndarray, pairs: np.ndarray, features: Features) -> Fit:
    first, second = (texture[rows].astype(np.float32) for rows in pairs.T)
    turn, sign, zoom = _guess(first, second, features)
    for number in range(TURNS):
        first[turn == number] = turned(first[turn == number], number)
    first *= sign[:, None, None]
    place = np.tile(np.eye(3, dtype=np.float32), (len(pairs), 1, 1))
    place[:, [0, 1], [0, 1]] = zoom[:, None]
    place = _improve(_halve(first), _halve(second), place)
    likeness = _compare(first, second, place)
    near = likeness > HOPELESS
    if near.any():
        place[near] = _improve(first[near], second[near], place[near])
        likeness[near] = _compare(first[near], second[near], place[near])
    return Fit(likeness, turn, sign < 0, place)


def _guess(
    first: np.ndarray, second: np.ndarray, features: Features
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn, sign and zoom by which a part of the first is nearest to a part of the second."""
    ours, theirs = cells(first), [features(part) for part in cells(second)]
    extent = [SIDE - 2 * margin for margin, *_ in PARTS]
    parts = [(number, 0) for number in range(len(PARTS))] + [(0, number) for number in range(1, len(PARTS))]
    tried = [
        (turn, extent[one] / extent[two], (features(turned(ours[one], turn)) * theirs[two]).sum(axis=1))
        for turn in range(TURNS)
        for one, two in parts
    ]
    turns, zooms, scores = (np.array(column) for column in zip(*tried, strict=True))
    best = np.abs(scores).argmax(axis=0)
    sign = np.where(np.take_along_axis(scores, best[None], axis=0)[0] < 0, -1, 1)
    return turns[best], sign.astype(np.float32), zooms[best].astype(np.float32)


def _correlate(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Pearson's correlation over the last axes of (P, ...), float (P,); 0 where one is constant."""
    a, b = (pictures.reshape(len(pictures), -1) for pictures in (one, two))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    correlation: np.ndarray = (a * b).sum(axis=1) / np.maximum(norm, 1e-6)
    return correlation


def _halve(pictures: np.ndarray) -> np.ndarray:
    n, side = len(pictures), pictures.shape[1] // 2
    halved: np.ndarray = pictures.reshape(n, side, 2, side, 2).mean(axis=(2, 4))
    return halved


def _places(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Homogeneous pixel centres (3, side^2) from -1 to 1, and which of them lie in the window."""
    centre = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(centre, centre, indexing="ij")
    inside = np.maximum(np.abs(x), np.abs(y)).ravel() <= WINDOW
    return np.stack([x.ravel(), y.ravel(), np.ones(side**2, np.float32)]), inside


def _sample(pictures: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear values (P, K) of pictures at places (P, 3, K), and whether each lies inside."""
    side = pictures.shape[1]
    x, y = ((places[:, axis] + 1) * (side / 2) - 0.5 for axis in (0, 1))
    inside = (np.abs(x - side / 2 + 0.5) < side / 2) & (np.abs(y - side / 2 + 0.5) < side / 2)
    x, y = (np.clip(value, 0, side - 1.001) for value in (x, y))
    left, top = x.astype(np.int32), y.astype(np.int32)
    x, y = x - left, y - top
    flat, corner = pictures.reshape(-1), top * side + left
    corner += (np.arange(len(pictures), dtype=np.int32) * side**2)[:, None]
    upper = flat[corner] * (1 - x) + flat[corner + 1] * x
    lower = flat[corner + side] * (1 - x) + flat[corner + side + 1] * x
    return upper * (1 - y) + lower * y, inside


def _improve(first: np.ndarray, second: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Some rounds of Gauss-Newton on the six numbers of each affine change."""
    n, side = second.shape[:2]
    points, window = _places(side)
    points = points[:, window]
    down, right = (slope.reshape(n, -1)[:, window] * (side / 2) for slope in np.gradient(second, axis=(1, 2)))
    steepest = np.concatenate([right[:, None] * points, down[:, None] * points], axis=1)
    curvature = steepest @ steepest.transpose(0, 2, 1)
    damping = np.trace(curvature, axis1=1, axis2=2) / 600 + 1e-6
    inverse = np.linalg.inv(curvature + damping[:, None, None] * np.eye(6)).astype(np.float32)
    target = second.reshape(n, -1)[:, window]
    for _ in range(ROUNDS):
        seen, inside = _sample(first, place @ points)
        seen, wanted = (_standardise(values, inside) for values in (seen, target))
        scale = np.linalg.norm(target, axis=1, keepdims=True)
        step = inverse @ (steepest @ ((seen - wanted) * scale)[:, :, None])
        change = np.tile(np.eye(3, dtype=np.float32), (n, 1, 1))
        change[:, :2] += step.clip(-LARGEST_STEP, LARGEST_STEP).reshape(n, 2, 3)
        place = place @ np.linalg.inv(change)
    return place


def _standardise(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean 0 and norm 1 over what lies inside, 0 outside."""
    mean = (values * inside).sum(axis=1, keepdims=True) / np.maximum(inside.sum(axis=1, keepdims=True), 1)
    centred = (values - mean) * inside
    unit: np.ndarray = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return unit


def _compare(first: np.ndarray, second: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Median over patches of the correlation of laid over pictures, float32 (P,)."""
    n, side = second.shape[:2]
    seen, inside = _sample(first, place @ _places(side)[0])
    size = int(side * WINDOW / PATCHES)
    start = (side - size * PATCHES) // 2
    shape = (n, PATCHES, size, PATCHES, size)

    def cut(values: np.ndarray) -> np.ndarray:
        window = values.reshape(n, side, side)[:, start : side - start, start : side - start]
        return window.reshape(shape).transpose(0, 1, 3, 2, 4).reshape(n * PATCHES**2, size**2)

    correlation = _correlate(cut(seen), cut(second)).reshape(n, -1)
    whole = cut(inside).mean(axis=1).reshape(n, -1) > 0.9
    median = np.nanmedian(
        np.where(whole | (whole.sum(axis=1, keepdims=True) < 1), correlation, np.nan), axis=1
    )
    likeness: np.ndarray = np.where(whole.mean(axis=1) >= 0.5, median, 0)
    return likeness
