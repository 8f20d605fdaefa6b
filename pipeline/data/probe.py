"""Whether the class shows where no finding can be: in border, corners, exposure, sharpness and spectrum.

A linear discriminant (ridge on the label) is cross-validated over leak units, by each group of features and
by all together. Its AUROC is judged by permuting the labels, all models refitted: the p value of a group is
the share of permutations in which the best of all groups did as well, so that looking at six is paid for.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.stats import rankdata

from pipeline.common.seeding import numpy_rng

RING, CORNER = 0.04, 0.2  # shares of the side
BANDS = 8  # rings of the spectrum
BLACK, WHITE = 2.5 / 255, 252.5 / 255
FOLDS, PERMUTATIONS = 5, 299
RIDGE = 0.1  # times the number of rows
FEWEST = 20  # units of each class; fewer say nothing
EXAMPLES = 4
ALL = "all groups"
BLOCK = 256


class Probe(NamedTuple):
    """What groups of features tell: AUROC and p by group, and cross-validated scores of rows by the best."""

    auroc: dict[str, float]
    p: dict[str, float]
    scores: np.ndarray


def measure_looks(images: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Features of some prepared images uint8 (N, C, S, S) by group, float64 (rows, features of the group)."""
    parts = []
    for start in range(0, len(rows), BLOCK):
        pixels = images[rows[start : start + BLOCK]].astype(np.float32) / 255
        grey = pixels.mean(axis=1)
        parts.append({name: measure(grey) for name, measure in GROUPS.items()})
        if pixels.shape[1] == 3:
            parts[-1]["exposure"] = np.hstack([parts[-1]["exposure"], pixels.mean(axis=(2, 3))])
    return {name: np.concatenate([part[name] for part in parts]) for name in GROUPS}


def _border(grey: np.ndarray) -> np.ndarray:
    width = max(1, round(RING * grey.shape[1]))
    sides = (grey[:, :width], grey[:, -width:], grey[:, :, :width], grey[:, :, -width:])
    return np.stack(
        [value for side in sides for value in (side.mean(axis=(1, 2)), side.std(axis=(1, 2)))], axis=1
    )


def _corners(grey: np.ndarray) -> np.ndarray:
    width = max(2, round(CORNER * grey.shape[1]))
    first, last = slice(None, width), slice(-width, None)
    corners = [grey[:, rows, columns] for rows in (first, last) for columns in (first, last)]
    return np.stack(
        [
            value
            for corner in corners
            for value in (corner.mean(axis=(1, 2)), corner.max(axis=(1, 2)), _roughness(corner))
        ],
        axis=1,
    )


def _exposure(grey: np.ndarray) -> np.ndarray:
    flat = grey.reshape(len(grey), -1)
    shares = [(flat < BLACK).mean(axis=1), (flat > WHITE).mean(axis=1)]
    levels = np.quantile(flat, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99], axis=1)
    return np.stack([flat.mean(axis=1), flat.std(axis=1), *shares, *levels], axis=1)


def _sharpness(grey: np.ndarray) -> np.ndarray:
    curvature = ndimage.laplace(grey, axes=(1, 2))
    spread = np.log(grey.std(axis=(1, 2)) + 1e-4)
    fine = np.log(curvature.std(axis=(1, 2)) + 1e-4)
    return np.stack([fine, fine - spread, _roughness(grey) - spread], axis=1)


def _roughness(grey: np.ndarray) -> np.ndarray:
    down, right = np.diff(grey, axis=1), np.diff(grey, axis=2)
    rough: np.ndarray = np.log(np.sqrt((down**2).mean(axis=(1, 2)) + (right**2).mean(axis=(1, 2))) + 1e-4)
    return rough


def _spectrum(grey: np.ndarray) -> np.ndarray:
    side = grey.shape[1]
    window = np.hanning(side)[:, None] * np.hanning(side)
    power = np.abs(np.fft.rfft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    band = np.minimum((radius / 0.5 * BANDS).astype(int), BANDS - 1).ravel()
    total = power.reshape(len(grey), -1) @ np.eye(BANDS)[band]
    shares: np.ndarray = np.log(total / total.sum(axis=1, keepdims=True).clip(1e-12) + 1e-9)
    return shares


GROUPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "border": _border,
    "corners": _corners,
    "exposure": _exposure,
    "sharpness": _sharpness,
    "spectrum": _spectrum,
}


def probe(looks: Mapping[str, np.ndarray], positive: np.ndarray, unit: np.ndarray) -> Probe | None:
    """Try every group of features (rows, k) on labels bool (rows,); rows of one unit stay in one fold.

    Rows of one unit and label count as one, their mean. None if a class has fewer than 20 of these.
    """
    _, member = np.unique(np.stack([unit, positive]), axis=1, return_inverse=True)
    size = np.bincount(member)
    label = np.bincount(member, positive) / size
    if min(label.sum(), len(label) - label.sum()) < FEWEST:
        return None
    kinds = {**looks, ALL: np.hstack(list(looks.values()))}
    means = {name: _mean_by(member, values) / size[:, None] for name, values in kinds.items()}
    rng = numpy_rng(0, "probe", len(label))
    shuffled = np.stack([label, *(rng.permutation(label) for _ in range(PERMUTATIONS))], axis=1)
    fold = rng.permutation(unit.max() + 1)[np.bincount(member, unit).astype(int) // size] % FOLDS
    scores = {name: _cross_validate(values, shuffled, fold) for name, values in means.items()}
    found = {name: _auroc(values, shuffled) for name, values in scores.items()}
    best = np.max([values[1:] for values in found.values()], axis=0)
    p = {name: float((1 + (best >= values[0]).sum()) / (1 + len(best))) for name, values in found.items()}
    auroc = {name: round(float(values[0]), 3) for name, values in found.items()}
    strongest = max(auroc, key=lambda name: auroc[name])
    return Probe(auroc, p, scores[strongest][member, 0])


def _mean_by(member: np.ndarray, values: np.ndarray) -> np.ndarray:
    total = np.zeros((member.max() + 1, values.shape[1]))
    np.add.at(total, member, values)
    return total


def _cross_validate(values: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Scores (rows, labellings) of rows (rows, k) by fits that did not see their fold."""
    scores = np.zeros(labels.shape)
    for number in range(FOLDS):
        test = fold == number
        mean, spread = values[~test].mean(axis=0), values[~test].std(axis=0) + 1e-9
        known, asked = (((values[rows] - mean) / spread).clip(-4, 4) for rows in (~test, test))
        wanted = labels[~test] - labels[~test].mean(axis=0)
        square = known.T @ known + RIDGE * len(known) / len(mean) * np.eye(len(mean))
        scores[test] = asked @ np.linalg.solve(square, known.T @ wanted)
    return scores


def _auroc(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """AUROC of each column of scores for the same column of labels 0 and 1."""
    ranks = rankdata(scores.round(9), axis=0)
    n = labels.sum(axis=0)
    area: np.ndarray = ((ranks * labels).sum(axis=0) - n * (n + 1) / 2) / (n * (len(labels) - n))
    return area


def picture(images: np.ndarray, rows: np.ndarray, positive: np.ndarray, scores: np.ndarray) -> Image.Image:
    """What separates: per class its mean picture and the 4 that the probe is surest of; last the difference.

    Upper row label 0, lower row label 1; the rightmost pictures are the difference of the means (grey: none,
    bright: brighter in label 1), stretched to its largest value, and the spread of all.
    """
    lines = []
    means = [_mean(images, rows[positive == label]) for label in (False, True)]
    middle = _mean(images, rows)
    difference, spread = means[1] - means[0], np.sqrt(_mean(images, rows, around=middle))
    last = (
        127.5 + 127.5 * difference / max(np.abs(difference).max(), 1e-6),
        255 * spread / max(spread.max(), 1e-6),
    )
    for label, sign in ((False, 1), (True, -1)):
        own = rows[positive == label]
        surest = own[np.argsort(sign * scores[positive == label], kind="stable")[:EXAMPLES]]
        lines.append(np.concatenate([means[int(label)], *images[surest], last[int(label)]], axis=2))
    grid = np.concatenate(lines, axis=1).round().astype(np.uint8)
    return Image.fromarray(grid[0] if len(grid) == 1 else grid.transpose(1, 2, 0))


def _mean(images: np.ndarray, rows: np.ndarray, around: np.ndarray | None = None) -> np.ndarray:
    """Mean picture (C, S, S) of some rows, or the mean squared distance to a picture; memory stays flat."""
    total = np.zeros(images.shape[1:])
    for start in range(0, len(rows), BLOCK):
        block = images[rows[start : start + BLOCK]].astype(np.float64)
        total += (block if around is None else (block - around) ** 2).sum(axis=0)
    return total / len(rows)
