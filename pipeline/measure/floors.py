"""Floors: what models without a network score, so that a task which they solve is not taken for a proof.

Each floor is an L2 logistic regression of scikit-learn on standardised features of an image, fitted on the
training rows; its C is the one of CS with the lowest loss on validation. Test data choose nothing.

    block_means             means of 12 x 12 blocks: a thumbnail
    sorted_block_means      the same values in order of size: a histogram without places
    radial_spectrum         log power by distance from the spectrum's centre
    band_energies           quantiles over patches of their log power in bands of frequency
    patch_detector          log power spectra of single patches, taught by human maps: a patch that lies in a
                            positive's map is positive; an image scores the mean of its 10 highest patches
    patch_detector_shuffled the same, taught by other positives' maps

The last two exist where training positives have maps. Images larger than SIDE are reduced to it first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from pipeline.common.seeding import numpy_rng
from pipeline.data.store import Store
from pipeline.measure import Measurement, evaluation
from pipeline.measure.roles import measured
from pipeline.model import fills
from pipeline.model.batches import as_floats

FLOOR = "floor"  # the column that names one
Features = Callable[[Tensor], Tensor]  # images (N, C, S, S) in [0, 1] -> (N, ...)
Floor = Callable[[Tensor], np.ndarray]  # images -> scores (N,), higher: more positive

SIDE = 96  # px
BLOCKS = 12  # by side
PATCH, STRIDE = 16, 8  # px
BANDS = (1, 2, 3, 4, 6, 9)  # limits of the patches' bands, waves per patch
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
TOP = 10  # patches that make up an image's score
INSIDE = 0.8  # share of a patch that must lie in the map's region
TAUGHT = 400  # training images of either class, at most, whose patches teach
CS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
PATCH_C = 1.0  # patches are many: its choice moves nothing
NOISE = 1 / 12 / 255**2
BATCH = 128  # images whose features are computed at once


def measure(store: Store, settings: Mapping[str, Any]) -> Measurement:
    """The tables of `evaluation.decisions` for every floor, which the column `floor` names.

    settings: those of `evaluation.measure`.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    results: dict[str, float] = {}
    rows = measured(store)["row"].to_numpy()
    for name, floor in fitted(store).items():
        scores = evaluation.scored(store, score(floor, store, rows))
        found, headlines = evaluation.decisions(floor, scores, store, settings)
        results |= {f"{name}_{headline}": value for headline, value in headlines.items()}
        for table, part in found.items():
            part.insert(0, FLOOR, name)
            tables.setdefault(table, []).append(part)
    return Measurement(
        {table: pd.concat(parts, ignore_index=True) for table, parts in tables.items()}, results
    )


def fitted(store: Store, seed: int = 0) -> dict[str, Floor]:
    """Every floor, fitted on the training rows of a store; seed: of who teaches and whose map."""
    floors = {name: _global(features, store) for name, features in GLOBAL.items()}
    taught = _taught(store, seed)
    labels = store.labels[taught]
    maps = torch.cat(list(_batches(store.maps[:, None], taught)))[:, 0]
    count = int(labels.sum())  # the last ones
    if count:
        floors["patch_detector"] = _detector(store, taught, maps)
    if count > 1:
        others = torch.cat([maps[:-count], maps[-count:].roll(1, 0)])
        floors["patch_detector_shuffled"] = _detector(store, taught, others)
    return floors


def block_means(images: Tensor) -> Tensor:
    """Means of 12 x 12 blocks of every channel (N, C * 144)."""
    return adaptive_avg_pool2d(images, BLOCKS).flatten(1)


def sorted_block_means(images: Tensor) -> Tensor:
    """Block means of every channel in rising order (N, C * 144)."""
    return adaptive_avg_pool2d(images, BLOCKS).flatten(2).sort(dim=2).values.flatten(1)


def radial_spectrum(images: Tensor) -> Tensor:
    """Log power of the grey image in rings one wave wide, without the mean (N, S / 2 - 1)."""
    return _rings(images.mean(1), tuple(range(1, images.shape[-1] // 2 + 1)))


def band_energies(images: Tensor) -> Tensor:
    """Quantiles over patches of their log power by band of frequency (N, bands * quantiles)."""
    patches = _patches(images)
    energies = _rings(patches.flatten(0, 1), BANDS).unflatten(0, patches.shape[:2])
    return torch.quantile(energies, torch.tensor(QUANTILES), dim=1).movedim(0, 1).flatten(1)


def patch_spectra(images: Tensor) -> Tensor:
    """Each grey patch's brightness against the image's, and its log power spectrum (N, patches, 1 + 144)."""
    patches = _patches(images)
    means = patches.mean((2, 3)) - images.mean((1, 2, 3))[:, None]
    spectra = _power(patches.flatten(0, 1)).log().flatten(1).unflatten(0, patches.shape[:2])
    return torch.cat([means[..., None], spectra], dim=2)


GLOBAL: dict[str, Features] = {
    "block_means": block_means,
    "sorted_block_means": sorted_block_means,
    "radial_spectrum": radial_spectrum,
    "band_energies": band_energies,
}


def _global(features: Features, store: Store) -> Floor:
    """A regression on features of the whole image, with the C of the lowest loss on validation."""
    train, val = store.rows("train"), store.rows("val")
    given, unseen = (_features(features, _batches(store.images, rows)) for rows in (train, val))
    models = [_regression(c).fit(given, store.labels[train]) for c in CS]
    losses = [log_loss(store.labels[val], model.predict_proba(unseen), labels=[0, 1]) for model in models]
    best = models[int(np.argmin(losses))]
    return lambda images: best.decision_function(_features(features, reduced(images).split(BATCH)))


def _detector(store: Store, rows: np.ndarray, maps: Tensor) -> Floor:
    """A regression on single patches of some rows, by maps (n, S, S): those of negatives are not read.

    Positive: the patches of positives that lie in the map's region, at least the one that lies there most.
    Negative: all patches of negatives, and those of positives that the region does not touch.
    """
    regions = torch.from_numpy(fills.peak_regions(maps.numpy())).float()
    shares = avg_pool2d(regions[:, None], PATCH, STRIDE).flatten(1).numpy()
    most = shares.max(axis=1, keepdims=True)
    labels = store.labels[rows]
    inside = (labels == 1)[:, None] & (shares > 0) & ((shares >= INSIDE) | (shares == most))
    used = inside | (labels == 0)[:, None] | (shares == 0)
    patches = _features(patch_spectra, _batches(store.images, rows))
    model = _regression(PATCH_C, class_weight="balanced").fit(patches[used], inside[used])

    def score(images: Tensor) -> np.ndarray:
        found = _features(patch_spectra, reduced(images).split(BATCH))
        heights = model.decision_function(found.reshape(-1, found.shape[-1])).reshape(found.shape[:2])
        scores: np.ndarray = np.sort(heights, axis=1)[:, -TOP:].mean(axis=1)
        return scores

    return score


def _taught(store: Store, seed: int) -> np.ndarray:
    """The training rows whose patches teach: up to TAUGHT negatives, and as many annotated positives."""
    rows = numpy_rng(seed, "taught patches").permutation(store.rows("train"))
    negative = rows[store.labels[rows] == 0]
    positive = rows[(store.labels[rows] == 1) & store.has_map[rows]]
    return np.concatenate([negative[:TAUGHT], positive[:TAUGHT]])


def _regression(c: float, class_weight: str | None = None) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, class_weight=class_weight, max_iter=1000))


def _rings(grey: Tensor, limits: tuple[int, ...]) -> Tensor:
    """Log of the mean power of grey images (N, S, S) between waves per side [a, b), (N, len(limits) - 1)."""
    side = grey.shape[-1]
    power = _power(grey).flatten(1)
    waves = torch.fft.fftfreq(side) * side
    distance = torch.hypot(waves[:, None], waves[None, : side // 2 + 1]).round().flatten()
    rings = [(distance >= a) & (distance < b) for a, b in pairwise(limits)]
    return torch.stack([power[:, ring].mean(1) for ring in rings], dim=1).log()


def _power(grey: Tensor) -> Tensor:
    """Power spectra of grey images (N, S, S) without their mean, under a Hann window (N, S, S // 2 + 1).

    NOISE, what rounding to 256 grey levels adds, is under all.
    """
    side = grey.shape[-1]
    window = torch.hann_window(side, periodic=False)
    window = window[:, None] * window
    centred = grey - grey.mean((1, 2), keepdim=True)
    return torch.fft.rfft2(centred * window).abs().square() / window.square().sum() + NOISE


def _patches(images: Tensor) -> Tensor:
    """Grey patches of images (N, C, S, S), (N, P, PATCH, PATCH)."""
    grey = images.mean(1)
    return grey.unfold(1, PATCH, STRIDE).unfold(2, PATCH, STRIDE).flatten(1, 2)


def reduced(images: Tensor) -> Tensor:
    """Images (N, C, S, S) no larger than SIDE."""
    return images if images.shape[-1] <= SIDE else adaptive_avg_pool2d(images, SIDE)


def _batches(array: np.ndarray, rows: np.ndarray) -> Iterator[Tensor]:
    """Rows of a store's uint8 images (N, C, S, S) in [0, 1], no larger than SIDE, BATCH by BATCH."""
    for start in range(0, len(rows), BATCH):
        yield reduced(as_floats(array[rows[start : start + BATCH]], torch.device("cpu")))


def _features(features: Features, batches: Iterable[Tensor]) -> np.ndarray:
    return torch.cat([features(batch) for batch in batches]).numpy()


def score(floor: Floor, store: Store, rows: np.ndarray) -> np.ndarray:
    """The scores of some rows of a store by one floor, float64 `(len(rows),)`."""
    return np.concatenate([floor(batch) for batch in _batches(store.images, rows)])
