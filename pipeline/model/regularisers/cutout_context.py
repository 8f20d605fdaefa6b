"""The human region in another image's surroundings, of whatever class: only the region goes with the label.

    x~ = R x + (1 - R) y

y is another image of the batch. R is the soft human region, min(1, H / (0.3 max H)): a positive's is its own,
a negative's that of y where y is a positive, so that y's cause goes, else that of a random positive. What
surrounds a region, and the seam along its edge, then say nothing of the label. The map is the region's; where
both images are positive it is mixed as they are. `exchange` makes a positive and a negative of such a pair;
this draws surroundings for each image alone. This project's own; relatives are the mixed backgrounds of Xiao
et al., ICLR 2021, and CarveMix (Zhang et al., MICCAI 2021).
"""

from typing import Annotated

import torch
from pydantic import Field

from pipeline.model.batches import Batch
from pipeline.model.classifier import CamClassifier
from pipeline.model.fills import fill, soft_regions
from pipeline.model.regularisers import Regulariser
from pipeline.model.regularisers._regions import marked, owners

USES_MAPS = True
NEEDS_CURVATURE = False


class CutoutContext(Regulariser):
    """Gives each image new surroundings, with some probability."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def perturb(self, model: CamClassifier, batch: Batch, epoch: int) -> Batch:
        """See `Regulariser`; labels stay, and images that keep their surroundings keep their maps."""
        count, device = len(batch.labels), batch.labels.device
        everybody, positive = torch.arange(count, device=device), batch.labels == 1
        drawn = torch.randperm(count, device=device)
        owner, usable = owners(batch)
        given = ~positive & positive[drawn]
        owner = torch.where(given, drawn, owner)
        usable = torch.where(given, marked(batch)[drawn], usable) & (drawn != everybody)
        usable &= torch.rand(count, device=device) < self.probability
        other, owner = torch.where(usable, drawn, everybody), torch.where(usable, owner, everybody)
        regions = soft_regions(batch.maps[owner])
        images = fill(batch.images[other], batch.images, regions)
        both = (positive & positive[other] & batch.has_map[other])[:, None, None]
        maps = torch.where(both, torch.lerp(batch.maps[other], batch.maps, regions), batch.maps[owner])
        images = images.contiguous(memory_format=torch.channels_last)
        return batch._replace(images=images, maps=maps, has_map=batch.has_map[owner])


def regulariser(*, probability: Annotated[float, Field(ge=0, le=1)] = 0.5) -> Regulariser:
    """probability: that an image's surroundings are replaced, 0..1."""
    return CutoutContext(probability)
