"""|dz_c / dx| where each ReLU passes back positive gradients only (Springenberg et al., 2015), by captum.

The rule is one for ReLUs. Other activations (swish, softplus, half-Huber) pass the plain gradient, so on
networks without ReLUs this is `gradient`.
"""

import warnings

from captum.attr import GuidedBackprop
from torch import Tensor

from pipeline.explain.explanations import Logits, per_pixel, with_graph
from pipeline.model import CamClassifier

SIGNED = False
PAIR = None
DIFFERENTIABLE = False


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, H, W) of pixels, 0 or more."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
        return per_pixel(GuidedBackprop(Logits(model)).attribute(with_graph(images), target=classes))
