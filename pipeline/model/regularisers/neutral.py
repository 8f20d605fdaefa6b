"""An image whose human region is filled must not tell its class: what is left of it decides nothing.

    R = mean over images of CE((1/2, 1/2), softmax z(x')) - ln 2,   x' = (1 - M) x + M fill(x)

M is the image's soft human region, min(1, H / (0.3 max H)); a negative is given that of a random positive of
the batch. The fill is drawn for each image from several, so that none of them can be learned: a wide blur,
the pixels of a random negative, noise, the image's mean. Level `chance` is the formula as it stands; where a
class is the absence of a cause, it can only be met by noticing the fill, since a filled positive looks like a
negative. Level `free` demands that filled images of both classes say the same. This project's own.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline.model.batches import Batch
from pipeline.model.classifier import CamClassifier, Outputs
from pipeline.model.fills import blurred, fill, soft_regions
from pipeline.model.input_gradients import unrecorded
from pipeline.model.regularisers import Regulariser
from pipeline.model.regularisers._regions import Level, indifference, owners

USES_MAPS = True
NEEDS_CURVATURE = False


class Neutral(Regulariser):
    """weight * R; one more forward and backward, which running statistics do not see."""

    def __init__(self, weight: float, level: Level) -> None:
        super().__init__()
        self.weight, self.level = weight, level

    def penalty(self, model: CamClassifier, batch: Batch, outputs: Outputs, classification: Tensor) -> Tensor:
        """See `Regulariser`."""
        owner, usable = owners(batch)
        images = fill(batch.images, fillings(batch.images, batch.labels), soft_regions(batch.maps[owner]))
        with unrecorded(model):
            logits = model(images.contiguous(memory_format=torch.channels_last)).logits
        return self.weight * indifference(logits, batch.labels, usable, self.level)


def fillings(images: Tensor, labels: Tensor) -> Tensor:
    """What may stand in each image's region: one of four fills for each, drawn at random, (N, C, S, S)."""
    count, device = len(images), images.device
    negative = (torch.rand(count, count, device=device) + (labels == 0)).argmax(1)
    mean = images.mean((2, 3), keepdim=True).expand_as(images)
    each = torch.stack([blurred(images), images[negative], torch.rand_like(images), mean])
    return each[torch.randint(len(each), (count,), device=device), torch.arange(count, device=device)]


def regulariser(
    *, weight: Annotated[float, Field(gt=0)] = 1.0, level: Literal["chance", "free"] = "chance"
) -> Regulariser:
    """weight: lambda in L + lambda R; level: what filled images must say."""
    return Neutral(weight, level)
