"""|x dz_c / dx|: the gradient weighed with the pixel, x in [0, 1] as the model is given it."""

from torch import Tensor

from pipeline.explain.explanations import logit_gradient, per_pixel
from pipeline.model import CamClassifier

SIGNED = False
PAIR = None
DIFFERENTIABLE = True


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, H, W) of pixels, 0 or more."""
    return per_pixel(images * logit_gradient(model, images, classes))
