"""|dz_c / dx|: how much each pixel moves the logit (Simonyan et al., 2013)."""

from torch import Tensor

from pipeline.explain.explanations import logit_gradient, per_pixel
from pipeline.model import CamClassifier

SIGNED = False
PAIR = None
DIFFERENTIABLE = True


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, H, W) of pixels, 0 or more."""
    return per_pixel(logit_gradient(model, images, classes))
