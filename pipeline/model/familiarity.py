"""Is an image like those that a model was trained on? If not, its score says little.

An image is known by the mean and spread of every channel of the last layer. Those of training images fill few
of all directions; an image that leaves them farther than nearly all of validation is unlike the training
images. The residual is that of ViM (Wang et al., CVPR 2022). To take the spread too, and no logits, is our
own: for films and faces shown to models of phantoms, it found more than Mahalanobis distance and the nearest
neighbour did.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor

VARIANCE = 0.95  # of training images that the directions hold
SHARE = 0.99  # of validation images that are not farther than the limit
LEAST = 1e-9  # spread of what is the same in all training images


class Familiarity(NamedTuple):
    """Where training images lie, and how far from there is too far."""

    mean: np.ndarray  # (K,)
    scale: np.ndarray  # (K,)
    directions: np.ndarray  # (d, K), orthonormal
    limit: float

    def distances(self, statistics: np.ndarray) -> np.ndarray:
        """Distances (N,), at least 0, of images by their channel statistics (N, K)."""
        gaps = (statistics - self.mean) / self.scale
        found: np.ndarray = np.linalg.norm(gaps - gaps @ self.directions.T @ self.directions, axis=1)
        return found

    def unlike(self, statistics: np.ndarray) -> np.ndarray:
        """Which images are unlike the training images, bool (N,)."""
        found: np.ndarray = self.distances(statistics) > self.limit
        return found


def channel_statistics(features: Tensor) -> np.ndarray:
    """Mean and spread of every channel of features (N, K, h, w), float64 (N, 2K)."""
    values = features.double().flatten(2)
    found: np.ndarray = np.hstack([values.mean(2).cpu().numpy(), values.std(2, correction=0).cpu().numpy()])
    return found


def fit(training: np.ndarray, validation: np.ndarray) -> Familiarity:
    """From channel statistics of training images (N, K) and of validation images (M, K), both not empty."""
    from sklearn.decomposition import PCA

    mean, scale = training.mean(axis=0), np.maximum(training.std(axis=0), LEAST)
    directions = PCA(VARIANCE, svd_solver="full").fit((training - mean) / scale).components_
    open_ended = Familiarity(mean, scale, directions, np.inf)
    limit = np.quantile(open_ended.distances(validation), SHARE, method="higher")
    return open_ended._replace(limit=float(limit))
