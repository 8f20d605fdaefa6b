"""What the maps hold outside the human region must not tell the class: `neutral` on features, not pixels.

    R = mean over images of CE((1/2, 1/2), softmax z') - ln 2,   z' = sum (1 - M) S / sum (1 - M) + b

S are both raw CAMs, so z' are the logits that the head gives to features pooled outside M, the region of
`neutral` on the CAM grid. No second forward and no fill that could be learned; but a feature outside sees
into the region, and one inside sees out of it. Level as in `neutral`. This project's own.
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from pipeline.model.batches import Batch
from pipeline.model.classifier import CamClassifier, Outputs
from pipeline.model.fills import soft_regions
from pipeline.model.regularisers import Regulariser
from pipeline.model.regularisers._regions import Level, indifference, owners

USES_MAPS = True
NEEDS_CURVATURE = False


class NeutralFeatures(Regulariser):
    """weight * R, from the outputs of the step's forward alone."""

    def __init__(self, weight: float, level: Level) -> None:
        super().__init__()
        self.weight, self.level = weight, level

    def penalty(self, model: CamClassifier, batch: Batch, outputs: Outputs, classification: Tensor) -> Tensor:
        """See `Regulariser`."""
        owner, usable = owners(batch)
        regions = soft_regions(batch.maps[owner]).to(outputs.cams.dtype)
        height, width = outputs.cams.shape[-2:]
        outside = 1 - functional.adaptive_avg_pool2d(regions, (height, width))[:, None]
        area = outside.sum((1, 2, 3))
        bare = area == 0  # the region is the whole image
        pooled = (outside * outputs.cams).sum((2, 3)) / area.masked_fill(bare, 1)[:, None]
        return self.weight * indifference(pooled + model.head.bias, batch.labels, usable & ~bare, self.level)


def regulariser(
    *, weight: Annotated[float, Field(gt=0)] = 1.0, level: Literal["chance", "free"] = "chance"
) -> Regulariser:
    """weight: lambda in L + lambda R; level: what is outside must say."""
    return NeutralFeatures(weight, level)
