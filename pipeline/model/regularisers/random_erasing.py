"""Random erasing (Zhong et al., AAAI 2020): a rectangle of random pixels somewhere in the image; no maps.

With some probability an image loses a rectangle of area `smallest` to `largest`, as a share of the image, and
of a height to width ratio uniform in [0.3, 1 / 0.3], at a uniform place; every value in it is uniform in
[0, 1] (the variant RE-R). As published, but for one thing: a rectangle longer than the image is cut to it and
not drawn again, so that a batch is one computation.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pipeline.model.batches import Batch
from pipeline.model.classifier import CamClassifier
from pipeline.model.fills import fill
from pipeline.model.regularisers import Regulariser

USES_MAPS = False
NEEDS_CURVATURE = False

FLATTEST = 0.3  # r_1: least ratio of height to width, and inverse of the largest


class RandomErasing(Regulariser):
    """Erases in the images alone; maps and labels stay."""

    def __init__(self, probability: float, smallest: float, largest: float) -> None:
        super().__init__()
        self.probability, self.smallest, self.largest = probability, smallest, largest

    def perturb(self, model: CamClassifier, batch: Batch, epoch: int) -> Batch:
        """See `Regulariser`."""
        images = fill(batch.images, torch.rand_like(batch.images), self.rectangles(batch.images))
        return batch._replace(images=images)

    def rectangles(self, images: Tensor) -> Tensor:
        """Where images (N, C, S, S) are erased, bool (N, S, S)."""
        count, side, device = len(images), images.shape[-1], images.device
        erased, area, ratio, top, left = torch.rand(5, count, 1, device=device)
        area = self.smallest + (self.largest - self.smallest) * area
        ratio = FLATTEST + (1 / FLATTEST - FLATTEST) * ratio
        rows = _interval((area * ratio).sqrt(), top, side)
        columns = _interval((area / ratio).sqrt(), left, side)
        return rows[:, :, None] & columns[:, None] & (erased < self.probability)[:, :, None]


def _interval(length: Tensor, start: Tensor, side: int) -> Tensor:
    """Which of `side` pixels lie in intervals of these lengths, shares of the side (N, 1); bool (N, side).

    start: where it begins, as a share of the free space.
    """
    pixels = (length * side).round().clamp(1, side)
    first = (start * (side - pixels + 1)).floor().clamp(max=side - pixels)
    places = torch.arange(side, device=length.device)
    return (places >= first) & (places < first + pixels)


def regulariser(
    *,
    probability: Annotated[float, Field(ge=0, le=1)] = 0.5,
    smallest: Annotated[float, Field(gt=0, le=1)] = 0.02,
    largest: Annotated[float, Field(gt=0, le=1)] = 0.4,
) -> Regulariser:
    """probability: that an image is erased; smallest, largest: area, share of the image."""
    return RandomErasing(probability, smallest, largest)
