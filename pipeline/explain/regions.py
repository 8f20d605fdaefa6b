"""The post-hoc tool: which regions decide, how much each one weighs, and which come back from image to image.

Works on any trained two-logit model with global average pooling and needs no human map. The difference
salience of class c against the other one, DS = M_c - M_c', sums exactly to the decision:

    mean over cells of DS + b_c - b_c' = z_c - z_c'

so a region's importance is the sum of DS over it divided by the number of cells; regions, the rest and the
bias add up to the margin, and so do channels: g_k = (W_ck - W_c'k) * mean of A_k. Important regions are the
connected parts of the top share of positive DS (evidence for c) and of negative DS (evidence against it),
on a grid four times finer than the CAM's, to which DS is brought bilinearly (which keeps its mean). Parts
smaller than one cell of the CAM are more than it can tell, and count to the rest.

The shared-salience ratio rho = 2 E(Mbar) / (2 E(Mbar) + E(D) / 2), with E the centred energy and Mbar the
mean of both classes' CAMs, is the share of single-class CAM energy that softmax cannot see: near 1,
single-class CAMs cannot be trusted. All of this is this project's reading of the post-hoc tool of arXiv
2507.17000.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from pipeline.common.seeding import numpy_rng
from pipeline.explain.alignment import FINER, REGION, coarsen, is_flat, resize

LEAST = FINER**2  # fine cells in a region: one cell of the CAM, the smallest thing that it can tell
_IN_ONE_IMAGE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])  # 8 neighbours, same image
LEARNED = 2000  # regions at most that concepts are learned from; silhouettes cost their square
SEPARATE = 0.1  # mean silhouette below which regions are one concept


class Regions(NamedTuple):
    """Important regions of N images: a table with one row each, and where they lie.

    Columns: image (0..N-1), region (1.. in its image: those for the class first, then by importance), x, y
    (left and top of its box), width, height (shares of the side), area (share of the image), sign (1 or -1)
    and importance (its part of the margin).
    """

    table: pd.DataFrame
    labels: np.ndarray  # (N, H, W) int32 on the fine grid: row of `table` + 1, or 0


class Overlap(NamedTuple):
    """Agreement of found regions with a mask, each (N,) in 0..1."""

    precision: np.ndarray  # share of the found area that lies in the mask; 0 when nothing was found
    recall: np.ndarray  # share of the mask that was found
    iou: np.ndarray
    energy: np.ndarray  # share of positive salience that lies in the mask


def shared_salience(cams: np.ndarray) -> np.ndarray:
    """Shared-salience ratio rho of (N, 2, h, w) CAMs, 0..1; NaN where both CAMs are flat."""
    shared = 2 * _measure_energy(cams.mean(axis=1))
    seen = _measure_energy(cams[:, 1] - cams[:, 0]) / 2
    with np.errstate(invalid="ignore"):
        return shared / (shared + seen)


def channel_importance(pooled: np.ndarray, weight: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """g_k of (N, K) pooled activations and the head's (2, K) weight: what each channel adds to the margin."""
    sign = 2 * classes[:, None] - 1
    return sign * (weight[1] - weight[0]) * pooled


def important(salience: np.ndarray, share: float) -> np.ndarray:
    """Cells among the top `share` of each image's positive cells; bool like `salience` (N, H, W).

    An image with any positive cell has at least one important cell.
    """
    rows = salience.reshape(len(salience), -1)
    ordered = -np.sort(-rows, axis=1)
    count = np.ceil(share * np.sum(rows > 0, axis=1)).astype(int)
    least = np.take_along_axis(ordered, np.maximum(count - 1, 0)[:, None], axis=1)
    return ((rows >= least) & (rows > 0)).reshape(salience.shape)


def find_regions(salience: np.ndarray, share: float) -> Regions:
    """Important regions of (N, h, w) difference salience, for (sign 1) and against (sign -1) the class."""
    fine = refine(salience)
    positive, count = _number_parts(important(fine, share))
    negative, _ = _number_parts(important(-fine, share))
    labels = np.where(negative > 0, negative + count, positive)
    table = _describe_parts(labels, fine)
    table["sign"] = np.where(np.arange(len(table)) < count, 1, -1)
    keys, rising = ["image", "sign", "importance"], [True, False, False]
    table = table.sort_values(keys, ascending=rising, kind="stable")
    number = np.zeros(len(table) + 1, dtype=np.int32)
    number[table.index.to_numpy() + 1] = np.arange(1, len(table) + 1)
    table = table.reset_index(drop=True)
    table.insert(1, "region", table.groupby("image").cumcount() + 1)
    return Regions(table, number[labels])


def refine(maps: np.ndarray) -> np.ndarray:
    """Bring (N, h, w) to the fine grid (N, 4h, 4w); every map keeps its mean."""
    return resize(maps, tuple(FINER * side for side in maps.shape[1:]), "bilinear")


def patterns(
    regions: Regions, activations: np.ndarray, weight: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """What each region shows and where, (R, K + 2): the vectors that are clustered into concepts.

    Channel contributions to the margin (`activations` (N, K, h, w) averaged over the region, times the
    head's difference), scaled to unit length, then the centre of the region's box as shares of the side.
    """
    image = regions.table["image"].to_numpy()
    inside = regions.labels[image] == np.arange(1, len(image) + 1)[:, None, None]
    height, width = activations.shape[2:]
    cover = inside.reshape(len(image), height, FINER, width, FINER).mean(axis=(2, 4))
    cover /= np.maximum(cover.sum(axis=(1, 2), keepdims=True), 1 / FINER**2)
    pooled = np.einsum("rij,rkij->rk", cover, activations[image], optimize=True)
    shown = channel_importance(pooled, weight, classes[image])
    shown /= np.maximum(np.linalg.norm(shown, axis=1, keepdims=True), 1e-12)
    return np.column_stack([shown, centres(regions.table)])


def centres(table: pd.DataFrame) -> np.ndarray:
    """Centres (R, 2) of the regions' boxes: x, y as shares of the side."""
    x, y = table["x"] + table["width"] / 2, table["y"] + table["height"] / 2
    return np.column_stack([x, y]).astype(np.float64)


def concepts(vectors: np.ndarray, max_concepts: int, seed: int) -> np.ndarray:
    """Group (R, D) region patterns into concepts; returns their centres (k, D), k <= max_concepts.

    k-means with the k of the highest mean silhouette, on at most LEARNED regions drawn by `seed`; one concept
    where none separates, no concept without regions.
    """
    if len(vectors) > LEARNED:
        vectors = vectors[numpy_rng(seed, "learned").choice(len(vectors), LEARNED, replace=False)]
    distinct = len(np.unique(vectors, axis=0))
    best, best_score = vectors.mean(axis=0, keepdims=True) if distinct else vectors, SEPARATE
    for k in range(2, min(max_concepts, distinct - 1) + 1):
        found = KMeans(k, n_init=4, random_state=seed).fit(vectors)
        score = silhouette_score(vectors, found.labels_)
        if score > best_score:
            best, best_score = found.cluster_centers_, score
    return best


def nearest_concept(vectors: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The closest of k concepts' centres for each of R vectors: its index (R,) and its distance (R,)."""
    distance = np.stack([np.linalg.norm(vectors - place, axis=1) for place in centres], axis=1)
    return distance.argmin(axis=1), distance.min(axis=1)


def overlap(found: np.ndarray, salience: np.ndarray, masks: np.ndarray) -> Overlap:
    """How well found regions (N, 4h, 4w) and salience (N, h, w) agree with non-empty masks (N, H, W)."""
    inside = coarsen(masks, found.shape[1:]) >= REGION
    positive, axes = np.maximum(refine(salience), 0), (1, 2)
    both, either = np.sum(found & inside, axis=axes), np.sum(found | inside, axis=axes)
    area, energy = np.sum(found, axis=axes), positive.sum(axis=axes)
    return Overlap(
        precision=both / np.maximum(area, 1),
        recall=both / inside.sum(axis=axes),
        iou=both / either,
        energy=np.sum(positive, axis=axes, where=inside) / np.where(energy > 0, energy, 1),
    )


def share_inside(regions: Regions, salience: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """How much of each region's importance lies in its image's mask, (R,) in 0..1.

    `salience` (N, h, w) is that of the regions; `masks` (N, H, W) are boolean and may be empty.
    """
    fine = refine(salience)
    covered = fine * resize(masks, fine.shape[1:], "area")
    where, least = regions.labels.ravel(), len(regions.table) + 1
    inside, whole = (np.bincount(where, values.ravel(), least)[1:] for values in (covered, fine))
    return inside / whole


def _number_parts(cells: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the connected parts (8 neighbours) of each image's cells, leaving out those below LEAST."""
    labels, count = ndimage.label(cells, _IN_ONE_IMAGE)
    large = np.bincount(labels.ravel(), minlength=count + 1) >= LEAST
    large[0] = False
    return np.where(large, np.cumsum(large), 0)[labels], int(large.sum())


def _describe_parts(labels: np.ndarray, fine: np.ndarray) -> pd.DataFrame:
    """Box, area and importance of every labelled region, in the order of the labels 1, 2, ..."""
    _, height, width = labels.shape
    cells, found = height * width, ndimage.find_objects(labels)
    boxes = [
        (image.start, x.start / width, y.start / height, _count_cells(x) / width, _count_cells(y) / height)
        for image, y, x in found
    ]
    table = pd.DataFrame(boxes, columns=["image", "x", "y", "width", "height"]).astype({"image": np.int64})
    flat = labels.ravel()
    table["area"] = np.bincount(flat, minlength=len(found) + 1)[1:] / cells
    table["importance"] = np.bincount(flat, weights=fine.ravel(), minlength=len(found) + 1)[1:] / cells
    return table


def _count_cells(place: slice) -> int:
    return int(place.stop - place.start)


def _measure_energy(maps: np.ndarray) -> np.ndarray:
    """Sum of squared deviations from the mean of (N, h, w) maps, (N,); 0 for flat ones."""
    energy = np.var(maps, axis=(1, 2), dtype=np.float64) * maps.shape[1] * maps.shape[2]
    return np.where(is_flat(maps.reshape(len(maps), -1)), 0, energy)
