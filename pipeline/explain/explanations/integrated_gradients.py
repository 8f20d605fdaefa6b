"""|x times the mean of dz_c / dx between black and x| (Sundararajan et al., ICML 2017)."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pipeline.explain.explanations import logit_gradient, per_pixel
from pipeline.model import CamClassifier

SIGNED = False
PAIR = None
DIFFERENTIABLE = True


def explanation(
    model: CamClassifier,
    images: Tensor,
    classes: Tensor,
    *,
    steps: Annotated[int, Field(ge=1)] = 30,
) -> Tensor:
    """(N, H, W) of pixels, 0 or more. steps: as in Dombrowski et al. 2019, see `integrate`."""
    return per_pixel(integrate(model, images, classes, steps))


def integrate(model: CamClassifier, images: Tensor, classes: Tensor, steps: int) -> Tensor:
    """Integrated gradients with their signs, (N, C, H, W); they add up to z_c(x) - z_c(black).

    The path goes straight from black (0) to the image and is seen at the `steps` points of Gauss-Legendre
    quadrature, all in one forward: memory is that of `steps` images for each one.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)  # on [-1, 1]
    places, shares = (torch.as_tensor(values).to(images) for values in ((1 + nodes) / 2, weights / 2))
    path = torch.outer(places, images.flatten()).reshape(-1, *images.shape[1:])
    slopes = logit_gradient(model, path, classes.repeat(steps)).reshape(steps, *images.shape)
    return images * torch.einsum("s,snchw->nchw", shares, slopes)
