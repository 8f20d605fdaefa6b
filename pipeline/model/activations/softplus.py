"""Softplus: a rectifier without a kink, so that curvature exists, can be measured and can be lowered.

    softplus_beta(x) = log(1 + exp(beta x)) / beta

Dombrowski et al., "Explanations can be manipulated and geometry is to blame", NeurIPS 2019: explanations of
a network turn no faster than its curvature, and the second derivative here is at most beta / 4.
"""

from typing import Annotated

from pydantic import Field
from torch import nn


def activation(*, beta: Annotated[float, Field(gt=0)] = 20.0) -> nn.Module:
    """At most ln 2 / beta above ReLU, at 0; the smaller beta, the smoother.

    >>> import torch
    >>> [round(value, 4) for value in activation(beta=1)(torch.tensor([-1.0, 0.0, 1.0])).tolist()]
    [0.3133, 0.6931, 1.3133]
    """
    return nn.Softplus(beta)
