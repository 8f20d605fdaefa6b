"""How well a map agrees with a reference: eight scores per image, all images at once.

Maps (N, h, w) are class activation maps or difference salience: signed, any scale. References (N, H, W) are
human maps or exact masks of phantoms: 0 or more, not all zero. Both are brought to one grid, four times as
fine as the map's but no finer than the reference's: the map bilinearly, the reference by area averaging,
after which its maximum is 1 again.

CC, SIM, KL, NSS and AUC-Judd follow the code of the MIT saliency benchmark (cvzoya/saliency), energy pointing
follows Score-CAM, the pointing game Zhang et al. 2016 (no tolerance). Where a score needs a map that is not
negative (SIM, KL, energy pointing) it sees ReLU(map); elsewhere the signed map, which gives the same value as
its min-max normalisation. Fixations, and the region of the games and of IoU, are the cells with a reference
of at least 0.5. IoU compares that region with the equally many cells where the map is highest, so that it
needs no threshold on the map.

A flat map has no CC and no NSS (NaN: callers count them as undefined), AUC-Judd 0.5, no hit and no IoU; where
ReLU leaves nothing, SIM and KL compare with the uniform map and energy pointing is 0. A flat reference has no
CC; one whose region covers everything has no AUC-Judd.
"""

from typing import Literal

import numpy as np
import torch
from torch.nn.functional import interpolate

from pipeline.common.seeding import numpy_rng
from pipeline.model.cam import FLAT

METRICS = ("cc", "sim", "kl", "nss", "auc_judd", "pointing", "energy_pointing", "iou")
FINER = 4  # the common grid against the map's
REGION = 0.5  # reference value from which a cell belongs to the region
_EPS = np.finfo(np.float64).eps  # of the MIT code's KL: MATLAB's eps
_JITTER = 1e-7  # of the MIT code's AUC-Judd


def align(maps: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
    """All METRICS of (N, h, w) maps against (N, H, W) references, each (N,) float64."""
    return measure(*to_common_grid(maps, references))


def to_common_grid(maps: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring (N, h, w) maps and (N, H, W) references to one (N, min(4h, H), min(4w, W)) grid, float64."""
    sides = zip(maps.shape[1:], references.shape[1:], strict=True)
    grid = tuple(min(FINER * small, large) for small, large in sides)
    return resize(maps, grid, "bilinear"), coarsen(references, grid)


def coarsen(references: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Area averages of (N, H, W) references on `grid`, scaled so that each maximum is 1, (N, *grid)."""
    averages = resize(references, grid, "area")
    return averages / np.maximum(averages.max(axis=(1, 2), keepdims=True), _EPS)


def resize(maps: np.ndarray, grid: tuple[int, ...], mode: Literal["bilinear", "area"]) -> np.ndarray:
    """Resize (N, h, w) to (N, *grid); bilinear by a whole factor, and area, keep every map's mean."""
    tensor = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32))[:, None]
    corners = False if mode == "bilinear" else None
    resized = interpolate(tensor, size=grid, mode=mode, align_corners=corners)[:, 0]
    return resized.numpy().astype(np.float64)


def measure(maps: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
    """All METRICS of maps and references that share one grid (N, H, W), each (N,) float64."""
    flat_map, reference = _flatten_maps(maps), _flatten_maps(references)
    region = reference >= REGION
    scores = {
        "cc": cc(flat_map, reference),
        "sim": sim(np.maximum(flat_map, 0), reference),
        "kl": kl(np.maximum(flat_map, 0), reference),
        "nss": nss(flat_map, region),
        "auc_judd": auc_judd(flat_map, region),
        "pointing": pointing(flat_map, region),
        "energy_pointing": energy_pointing(np.maximum(flat_map, 0), region),
        "iou": iou(flat_map, region),
    }
    assert tuple(scores) == METRICS
    return scores


def cc(maps: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Pearson correlation over cells of (N, P) rows, -1..1; NaN where either is flat."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.mean(_standardise_rows(maps, 0) * _standardise_rows(references, 0), axis=1)


def sim(maps: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Shared mass of two (N, P) distributions, 0..1, each min-max normalised, then of unit sum."""
    return np.minimum(_divide_by_sum(normalise(maps)), _divide_by_sum(normalise(references))).sum(axis=1)


def kl(maps: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Divergence of the (N, P) reference from the map, both of unit sum, in nats; 0 is best."""
    expected, given = _divide_by_sum(references), _divide_by_sum(maps)
    return np.sum(expected * np.log(_EPS + expected / (given + _EPS)), axis=1)


def nss(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Mean of the standardised (sample deviation) map over the region; NaN where the map is flat."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.mean(_standardise_rows(maps, 1), axis=1, where=region)


def auc_judd(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Area under hits against false alarms with a threshold at each cell of the region, 0..1.

    Ties are broken by a fixed jitter. Points are joined by straight lines from (0, 0) to (1, 1); so a cell
    outside with i of F region cells above it adds (i + 1/2) / F, or 1 when all are above it.
    """
    cells = maps.shape[1]
    jitter = numpy_rng(0, "auc_judd").random(cells) * _JITTER
    order = np.argsort(-(normalise(maps) + jitter), axis=1)
    hit = np.take_along_axis(region, order, axis=1)
    above, all_hits = np.cumsum(hit, axis=1), region.sum(axis=1, keepdims=True)
    height = np.where(above < all_hits, above + 0.5, all_hits) / np.maximum(all_hits, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = np.sum(height * ~hit, axis=1) / (cells - all_hits[:, 0])
    return np.where(is_flat(maps) & (all_hits[:, 0] < cells), 0.5, area)


def pointing(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """1 where the map's highest cell lies in the region, else 0; a flat map misses."""
    hit = np.take_along_axis(region, maps.argmax(axis=1)[:, None], axis=1)[:, 0]
    return (hit & ~is_flat(maps)).astype(np.float64)


def energy_pointing(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Share of the mass of a non-negative (N, P) map that lies in the region; 0 for an empty map."""
    total = maps.sum(axis=1)
    return np.sum(maps, axis=1, where=region) / np.where(total > 0, total, 1)


def iou(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Overlap over union of the region with equally many highest cells of the map; a flat map has none."""
    order = np.argsort(-maps, axis=1, kind="stable")
    size = region.sum(axis=1)
    chosen = np.arange(maps.shape[1]) < size[:, None]
    overlap = np.sum(np.take_along_axis(region, order, axis=1) & chosen, axis=1)
    return np.where(is_flat(maps), 0.0, overlap / np.maximum(2 * size - overlap, 1))


def _flatten_maps(maps: np.ndarray) -> np.ndarray:
    return maps.reshape(len(maps), -1).astype(np.float64)


def is_flat(maps: np.ndarray) -> np.ndarray:
    """Which of (N, P) maps have no shape, (N,) bool: their range is rounding beside their largest value.

    As `pipeline.model.cam.normalise` sees it; a map with NaN is not flat.

    >>> is_flat(np.array([[0.0, 0.0], [7.0, 7.0], [0.0, 1e-12]])).tolist()
    [True, True, False]
    """
    return np.ptp(maps, axis=1) <= FLAT * np.abs(maps).max(axis=1)


def normalise(maps: np.ndarray) -> np.ndarray:
    """N(X) = (X - min X) / (max X - min X) of (N, P) maps, in 0..1; a flat map becomes 0."""
    low, span = maps.min(axis=1, keepdims=True), np.ptp(maps, axis=1, keepdims=True)
    flat = is_flat(maps)[:, None]
    return np.where(flat, 0, (maps - low) / np.where(flat, 1, span))


def _standardise_rows(maps: np.ndarray, ddof: int) -> np.ndarray:
    """Zero mean, unit deviation per row; NaN for a flat row."""
    deviation = np.where(is_flat(maps), np.nan, maps.std(axis=1, ddof=ddof))
    return (maps - maps.mean(axis=1, keepdims=True)) / deviation[:, None]


def _divide_by_sum(maps: np.ndarray) -> np.ndarray:
    """Non-negative rows divided by their sum; a row without mass becomes uniform."""
    total = maps.sum(axis=1, keepdims=True)
    return np.where(total > 0, maps / np.where(total > 0, total, 1), 1 / maps.shape[1])
