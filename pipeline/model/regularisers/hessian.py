"""Curvature of the decision as a penalty: a network that bends less has explanations that turn less.

    R = mean over samples of ||u||^2,   u = d <v, dg/dx> / dx,   g = sum of margins z_t - z_f,   v = +-1

The mean of R over v is the squared Frobenius norm of the Hessian (Hutchinson), one draw per step. After
Dombrowski et al., "Towards robust explanations for deep neural networks", Pattern Recognition 2022. The
margin in place of the true class's logit is this project's reading: it is blind to what both logits share.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pipeline.model.batches import Batch
from pipeline.model.cam import margin
from pipeline.model.classifier import CamClassifier, Outputs
from pipeline.model.input_gradients import input_gradient
from pipeline.model.regularisers import Regulariser, signs

USES_MAPS = False
NEEDS_CURVATURE = True


class Hessian(Regulariser):
    """weight * R, with x in [0, 1] and batch statistics in training mode; three more backward passes.

    Where batch normalisation ties samples together, u holds these ties too. Needs a smooth activation: with
    ReLU the second derivative is 0 wherever it exists.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def penalty(self, model: CamClassifier, batch: Batch, outputs: Outputs, classification: Tensor) -> Tensor:
        """See `Regulariser`; a forward of its own, in float32."""
        images, slope = input_gradient(model, batch.images, lambda logits: margin(logits, batch.labels))
        with torch.autocast(images.device.type, enabled=False):
            (along,) = torch.autograd.grad((slope * signs(slope)).sum(), images, create_graph=True)
        return self.weight * along.square().sum((1, 2, 3)).mean()


def regulariser(*, weight: Annotated[float, Field(gt=0)] = 0.001) -> Regulariser:
    """weight: lambda in L + lambda R."""
    return Hessian(weight)
