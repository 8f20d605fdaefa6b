"""The share of the margin's input gradient that lies outside the human map."""

from typing import Annotated

from pydantic import Field

from pipeline.model.cam import margin
from pipeline.model.input_gradients import input_gradient
from pipeline.model.regularisers import Regulariser

USES_MAPS = True
NEEDS_CURVATURE = False


class OutsideGradients(Regulariser):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def penalty(self, model, batch, outputs, classification):
        _, slope = input_gradient(model, batch.images, lambda logits: margin(logits, batch.labels))
        energy = slope.square().sum(1)
        share = (energy * (1 - batch.maps)).sum((1, 2)) / energy.sum((1, 2)).clamp(min=1e-12)
        return self.weight * share.where(batch.has_map, 0).mean()


def regulariser(*, weight: Annotated[float, Field(gt=0)] = 1.0) -> Regulariser:
    return OutsideGradients(weight)
