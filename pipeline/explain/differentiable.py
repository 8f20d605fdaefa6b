"""Explanations inside a loss: maps with a graph to the images and to the model's weights.

Each function is (model, images (N, C, H, W) in [0, 1], classes (N,) int64) -> maps, equal in value to the one
of the same name in `explanations`: (N, h, w) on the CAM grid, (N, H, W) for those of pixels, which are the
sum over channels of the absolute attribution. Nothing is detached and the model runs in the mode that it is
in. A gradient of a gradient explanation needs a second derivative, which is zero almost everywhere in
networks of ReLUs: swap softplus in to optimise one (Dombrowski et al., NeurIPS 2019).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pipeline.model import CamClassifier
from pipeline.model import cam as cams

STEPS = 30  # of integrated gradients, as in Dombrowski et al. 2019


def cam(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """M_c, raw and signed (Zhou et al., CVPR 2016)."""
    return cams.select(model(images).cams, classes)[0]


def grad_cam(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """ReLU(M_c) / (h w): what Grad-CAM of z_c is on GAP and a linear head, without a backward pass."""
    return _per_cell(cam(model, images, classes).relu())


def difference_salience(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """M_c minus the other class's map, raw and signed (after arXiv 2507.17000)."""
    return cams.difference_salience(model(images).cams, classes)


def diff_grad_cam(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """ReLU(M_c - M_other) / (h w): what DiffGradCAM (after arXiv 2506.08514) is on such a head."""
    return _per_cell(difference_salience(model, images, classes).relu())


def gradient(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """|dz_c / dx| (Simonyan et al., 2013)."""
    images = _with_graph(images)
    return _per_pixel(_gradient(model, images, classes))


def gradient_x_input(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """|x dz_c / dx|, x in [0, 1] as the model is given it."""
    images = _with_graph(images)
    return _per_pixel(images * _gradient(model, images, classes))


def integrated_gradients(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """|x times the mean of dz_c / dx between black and x| (Sundararajan et al., ICML 2017)."""
    return _per_pixel(integrate(model, images, classes))


def integrate(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """Integrated gradients with their signs, (N, C, H, W); they add up to z_c(x) - z_c(black).

    The path goes straight from black (0) to the image and is seen at the STEPS points of Gauss-Legendre
    quadrature, all in one forward: memory is that of STEPS images for each one.
    """
    nodes, weights = np.polynomial.legendre.leggauss(STEPS)  # on [-1, 1]
    places, shares = (torch.as_tensor(values).to(images) for values in ((1 + nodes) / 2, weights / 2))
    path = torch.outer(places, _with_graph(images).flatten()).reshape(-1, *images.shape[1:])
    slopes = _gradient(model, path, classes.repeat(STEPS)).reshape(STEPS, *images.shape)
    return images * torch.einsum("s,snchw->nchw", shares, slopes)


Differentiable = Callable[[CamClassifier, Tensor, Tensor], Tensor]
DIFFERENTIABLE: dict[str, Differentiable] = {
    "cam": cam,
    "grad_cam": grad_cam,
    "diff_grad_cam": diff_grad_cam,
    "difference_salience": difference_salience,
    "gradient": gradient,
    "gradient_x_input": gradient_x_input,
    "integrated_gradients": integrated_gradients,
}


def _gradient(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """dz_c / dx with its own graph, like images, which have one."""
    own = model(images).logits.gather(1, classes[:, None])
    return torch.autograd.grad(own.sum(), images, create_graph=True)[0]


def _with_graph(images: Tensor) -> Tensor:
    """The images themselves if gradients reach them, else a leaf in their place."""
    return images if images.requires_grad else images.detach().requires_grad_()


def _per_pixel(attributions: Tensor) -> Tensor:
    return attributions.abs().sum(1)


def _per_cell(maps: Tensor) -> Tensor:
    """Divide (N, h, w) by h w."""
    return maps / maps[0].numel()
