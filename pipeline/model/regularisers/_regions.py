"""Human regions of a batch, lent to images that have none, and the demand that what is left says nothing."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.model.batches import Batch

Level = Literal["chance", "free"]


def marked(batch: Batch) -> Tensor:
    """Which images have a human map that is not empty, (N,) bool."""
    return batch.has_map & batch.maps.flatten(1).any(1)


def owners(batch: Batch) -> tuple[Tensor, Tensor]:
    """(whose region each image is given, int64 (N,); whether there is one, (N,) bool).

    A positive's is its own, a negative's that of a random marked positive of the batch, so that the shape
    of a region never tells the class. Nothing waits for the device.
    """
    count = len(batch.labels)
    lends = (batch.labels == 1) & marked(batch)
    lender = (torch.rand(count, count, device=lends.device) + lends).argmax(1)
    owner = torch.where(batch.labels == 1, torch.arange(count, device=lends.device), lender)
    return owner, lends[owner]


def indifference(logits: Tensor, labels: Tensor, usable: Tensor, level: Level) -> Tensor:
    """Mean over `usable` samples of CE((1/2, 1/2), softmax z) - ln 2 = ln cosh(u / 2), a scalar >= 0.

    logits z (N, 2), labels (N,) in {0, 1}, usable (N,) bool. u = z1 - z0 with level `chance`; with `free` u
    is what z1 - z0 differs from the midpoint of its two class means, so that all must say the same, whatever
    it be, and nothing is demanded of samples of one class alone. 0 if nothing is usable.
    """
    difference = logits[:, 1] - logits[:, 0]
    if level == "free":
        means = [_mean(difference, usable & (labels == label)) for label in (0, 1)]
        difference = difference - (means[0] + means[1]) / 2
        usable = usable & torch.stack([(usable & (labels == label)).any() for label in (0, 1)]).all()
    return _mean(functional.softplus(difference) - difference / 2 - math.log(2), usable)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)
