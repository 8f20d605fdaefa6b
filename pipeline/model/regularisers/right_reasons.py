"""Right for the right reasons (Ross et al., IJCAI 2017): no input gradient outside the human region.

    R = mean over marked samples of sum (A * d(log p_0 + log p_1)/dx)^2,   A = 1 - min(1, H / (0.3 max H))

with x in [0, 1], summed over pixels and channels. As published, gradients are those of the log-probabilities
of all classes together, and A is 1 where a feature must not matter. A from a soft human map is this project's
reading.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pipeline.model.batches import Batch
from pipeline.model.classifier import CamClassifier, Outputs
from pipeline.model.fills import soft_regions
from pipeline.model.input_gradients import input_gradient
from pipeline.model.regularisers import Regulariser
from pipeline.model.regularisers._regions import marked

USES_MAPS = True
NEEDS_CURVATURE = False


class RightReasons(Regulariser):
    """weight * R; a forward of its own, in float32, and two backward passes."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def penalty(self, model: CamClassifier, batch: Batch, outputs: Outputs, classification: Tensor) -> Tensor:
        """See `Regulariser`."""
        _, slope = input_gradient(model, batch.images, lambda logits: logits.log_softmax(1).sum(1))
        outside = 1 - soft_regions(batch.maps)[:, None]
        found = (outside * slope).square().sum((1, 2, 3))
        usable = marked(batch)
        return self.weight * torch.where(usable, found, 0.0).sum() / usable.sum().clamp(min=1)


def regulariser(*, weight: Annotated[float, Field(gt=0)] = 1.0) -> Regulariser:
    """weight: lambda_1 of the paper, which wants both terms of a size."""
    return RightReasons(weight)
