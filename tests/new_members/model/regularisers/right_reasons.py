"""Small input gradients outside the human map (Ross et al., IJCAI 2017)."""

from typing import Annotated

from pydantic import Field

from pipeline.model.cam import margin
from pipeline.model.input_gradients import input_gradient
from pipeline.model.regularisers import Regulariser

USES_MAPS = True
NEEDS_CURVATURE = False


class RightReasons(Regulariser):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def penalty(self, model, batch, outputs, classification):
        _, slope = input_gradient(model, batch.images, lambda logits: margin(logits, batch.labels))
        outside = (slope.square() * (1 - batch.maps)[:, None]).sum((1, 2, 3))
        return self.weight * outside.where(batch.has_map, 0).mean()


def regulariser(*, weight: Annotated[float, Field(gt=0)] = 10.0) -> Regulariser:
    return RightReasons(weight)
