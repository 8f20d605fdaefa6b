"""Spectral decoupling (Pezeshki et al., "Gradient starvation", NeurIPS 2021): large logits cost; no maps.

    L = CE + weight / 2 * mean of (z_1 - z_0)^2

Where one feature alone makes cross-entropy small, the others get no gradient any more and are never learned.
The penalty keeps that from happening. The published one is on the single logit of a binary classifier, which
here is the difference of two.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms

USES_MAPS = False


def loss(
    outputs: Outputs,
    labels: Tensor,
    human_maps: Tensor,
    has_map: Tensor,
    *,
    weight: Annotated[float, Field(ge=0)] = 0.1,
) -> Terms:
    """L of the module's docstring; maps are not looked at.

    outputs.logits (N, 2), labels (N,) in {0, 1}.
    """
    classification = functional.cross_entropy(outputs.logits, labels)
    difference = outputs.logits[:, 1] - outputs.logits[:, 0]
    total = classification + weight / 2 * difference.square().mean()
    return Terms(total, classification, classification.new_zeros(()))
