"""Exchange of the human region between two classes: what is outside it goes with no label any more.

    a~ = R a + (1 - R) n,   n~ = R n + (1 - R) a,   R = min(1, H_a / (0.3 max H_a))

a is a positive with a human map H_a, n a negative of the same batch; a~ is positive, n~ negative, and both
have a's map. Whatever surrounds the region is seen once with either label, and the seams along its edge are
alike in both classes, so that they say nothing. The region comes from people, so a control's maps make a
control of this too. This project's own; a relative is CarveMix (Zhang et al., MICCAI 2021), which carves
lesions from one image into another to have more of them.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pipeline.model.batches import Batch
from pipeline.model.classifier import CamClassifier
from pipeline.model.fills import fill, soft_regions
from pipeline.model.regularisers import Regulariser
from pipeline.model.regularisers._regions import marked

USES_MAPS = True
NEEDS_CURVATURE = False


class Exchange(Regulariser):
    """Exchanges the region in as many disjoint pairs as the batch allows, each with some probability."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def perturb(self, model: CamClassifier, batch: Batch, epoch: int) -> Batch:
        """See `Regulariser`; labels stay, and images outside a pair stay with their maps."""
        partner = partners(batch.labels, marked(batch), self.probability)
        owner = torch.where(batch.labels == 1, torch.arange(len(partner), device=partner.device), partner)
        maps = batch.maps[owner]
        mixed = fill(batch.images[partner], batch.images, soft_regions(maps))
        mixed = mixed.contiguous(memory_format=torch.channels_last)
        return batch._replace(images=mixed, maps=maps, has_map=batch.has_map[owner])


def partners(labels: Tensor, has_region: Tensor, probability: float) -> Tensor:
    """Whom each sample exchanges with, int64 (N,), itself if with nobody; everybody is asked once at most.

    Positives that have a region, (N,) bool, are paired at random with negatives, labels (N,) in {0, 1}, until
    one of the two runs out, and each pair is kept with `probability`. Nothing waits for the device.
    """
    positive, negative = (labels == 1) & has_region, labels == 0
    draws = torch.rand(3, len(labels), device=labels.device)
    first, second = (draws[0] + ~positive).argsort(), (draws[1] + ~negative).argsort()  # who can, in front
    everybody = torch.arange(len(labels), device=labels.device)
    kept = (everybody < torch.minimum(positive.sum(), negative.sum())) & (draws[2] < probability)
    rank = torch.where(positive, first.argsort(), second.argsort())
    other = torch.where(positive, second[rank], first[rank])
    return torch.where(kept[rank] & (positive | negative), other, everybody)


def regulariser(*, probability: Annotated[float, Field(ge=0, le=1)] = 0.5) -> Regulariser:
    """probability: that a pair exchanges, 0..1."""
    return Exchange(probability)
