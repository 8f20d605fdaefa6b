"""Regions of images and what may stand in their place: the material of counterfactual tests.

A region comes from a map or a mask. An image that shows no cause is given the region of one that does, so
that the shape of what was filled never tells the class. Fills: a wide blur of the image itself, or, as a
check, a negative's pixels at the same place, for both classes alike, since either may leave traces.
"""

from functools import cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from pipeline.common.seeding import numpy_rng

PEAK_SHARE = 0.3  # a region is where a map has at least this share of its peak
DILATION = 0.04  # how far an exact mask is widened, share of the side
BLUR = 1 / 6  # sigma of the blur, share of the side


def blurred(images: Tensor) -> Tensor:
    """Images (N, C, S, S) after a Gaussian blur of sigma BLUR of the side, with mirrored edges.

    >>> blurred(torch.full((1, 1, 8, 8), 0.5)).allclose(torch.tensor(0.5))
    True
    """
    matrix = torch.from_numpy(_blur_matrix(images.shape[-1])).to(images, non_blocking=True)
    return matrix @ images @ matrix.T


def fill(images: Tensor, filling: Tensor, regions: Tensor) -> Tensor:
    """Images (N, C, S, S) with `filling` (same shape) inside `regions` (N, S, S), soft in [0, 1] or bool."""
    return torch.lerp(images, filling, regions[:, None].to(images.dtype))


def peak_regions(maps: np.ndarray) -> np.ndarray:
    """Where each map (N, S, S) has at least PEAK_SHARE of its peak, bool; nowhere in an empty map.

    >>> peak_regions(np.array([[[0, 2, 3, 10]]])).tolist()
    [[[False, False, True, True]]]
    """
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return (maps >= PEAK_SHARE * peaks) & (peaks > 0)


def dilated(masks: np.ndarray) -> np.ndarray:
    """Masks (N, S, S), widened by DILATION of the side in every direction, bool."""
    reach = round(DILATION * masks.shape[-1])
    if not masks.size or not reach:
        return masks > 0
    distance = (ndimage.distance_transform_edt(mask == 0) if mask.any() else np.inf for mask in masks)
    return np.stack([np.broadcast_to(each <= reach, masks.shape[1:]) for each in distance])


def lenders(labels: np.ndarray, has_region: np.ndarray, ids: list[str], seed: int) -> np.ndarray:
    """Whose region each sample is given, int64 (N,): its own if it is a positive with one, else that of a
    random positive with one; -1 for a positive without, and for all if no positive has one.

    labels (N,) in {0, 1}; has_region (N,) bool; the draw is a function of (seed, the sample's id) alone and
    of who can lend.
    """
    owners = np.flatnonzero((labels == 1) & has_region)
    found = np.full(len(labels), -1)
    found[owners] = owners
    if len(owners):
        for row in np.flatnonzero(labels == 0):
            found[row] = owners[int(numpy_rng(seed, "lent region", ids[row]).integers(len(owners)))]
    return found


def substitutes(labels: np.ndarray, ids: list[str], seed: int) -> np.ndarray:
    """Whose pixels each sample is given in a swap, int64 (N,): those of a random other negative.

    Of its own class they would bring along what goes with the label elsewhere, and tell it; of a positive
    they might bring a cause. Where no negative can lend, any sample can; one that is alone keeps its own. The
    draw is a function of (seed, the sample's id) alone and of who can lend.
    """
    every, negatives = np.arange(len(labels)), np.flatnonzero(labels == 0)
    found = every.copy()
    for row in every:
        others = negatives[negatives != row]
        others = others if len(others) else every[every != row]
        if len(others):
            found[row] = others[int(numpy_rng(seed, "swapped pixels", ids[row]).integers(len(others)))]
    return found


def soft_regions(maps: Tensor) -> Tensor:
    """Maps (N, S, S) in [0, 1] as soft regions: over PEAK_SHARE of the peak, clipped to 1; zeros stay."""
    peaks = maps.amax((1, 2), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    return (maps / (PEAK_SHARE * peaks)).clamp(0, 1)


@cache
def _blur_matrix(side: int) -> np.ndarray:
    """What blurs a line of `side` px, float32 (S, S); rows sum to 1."""
    return ndimage.gaussian_filter1d(np.eye(side), BLUR * side, axis=0, mode="reflect").astype(np.float32)
