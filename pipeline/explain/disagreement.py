"""Which images are worth a person's second look: models disagree with people there, or with each other."""

import numpy as np
from scipy import ndimage

from pipeline.explain.alignment import align, cc
from pipeline.explain.regions import LEAST, important, refine


def with_people(salience: np.ndarray, human_maps: np.ndarray) -> np.ndarray:
    """1 - Pearson's correlation with the human map, mean over models, (N,) in 0..2; NaN without a map.

    `salience` (M, N, h, w) is each model's difference salience for the true label; `human_maps` (N, H, W).
    """
    found = np.full(salience.shape[1], np.nan)
    annotated = human_maps.reshape(len(human_maps), -1).any(axis=1)
    if annotated.any():
        scores = [align(maps[annotated], human_maps[annotated])["cc"] for maps in salience]
        found[annotated] = 1 - np.nanmean(scores, axis=0)
    return found


def between_models(salience: np.ndarray) -> np.ndarray:
    """1 - Pearson's correlation of two models' maps (M, N, h, w), mean over pairs, (N,); NaN for one model.

    >>> maps = np.array([[[[0.0, 1.0]]], [[[1.0, 0.0]]]])
    >>> between_models(maps).round(6).tolist()
    [2.0]
    """
    rows = salience.reshape(*salience.shape[:2], -1).astype(np.float64)
    pairs = [cc(one, other) for place, one in enumerate(rows) for other in rows[:place]]
    return 1 - np.nanmean(pairs, axis=0) if pairs else np.full(salience.shape[1], np.nan)


def parts(salience: np.ndarray, share: float) -> np.ndarray:
    """The important regions for a class of one map (h, w), bool (R, 4h, 4w), the heaviest first.

    Connected parts of the top `share` of positive cells, as `regions` finds them; none smaller than a cell.
    """
    fine = refine(salience[None])[0]
    labels, count = ndimage.label(important(fine[None], share)[0], np.ones((3, 3)))
    found = [labels == number for number in range(1, count + 1)]
    kept = sorted((part for part in found if part.sum() >= LEAST), key=lambda part: -fine[part].sum())
    return np.array(kept).reshape(-1, *fine.shape)
