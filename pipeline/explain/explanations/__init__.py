"""What explanations share: how one is called by its name, and the gradient of a class's logit.

An explanation is a file of `pipeline/explain/explanations` with

    def explanation(model: CamClassifier, images: Tensor, classes: Tensor, *, <settings>) -> Tensor

images: (N, C, H, W) in [0, 1]; classes: (N,) int64, the explained ones. The maps lie on the CAM grid,
(N, h, w), or are of pixels, (N, H, W): the sum over channels of the absolute attribution, as in Dombrowski
et al. 2019. A setting `steps` says how many copies of an image one forward sees. Three constants say what the
maps are:

    SIGNED          they are negative where something speaks against the class; if not, they are 0 or more
    PAIR            the map of one class that this map of both classes is compared with, or None
    DIFFERENTIABLE  with autograd on, they have a graph to the images and to the weights, for use in a loss

The model runs in the mode that it is in and is never written to. A gradient of a gradient explanation needs a
second derivative, which is zero almost everywhere in networks of ReLUs: swap softplus in to optimise one
(Dombrowski et al., NeurIPS 2019).
"""

import torch
from torch import Tensor, nn

from pipeline.common import catalogue
from pipeline.model import CamClassifier
from pipeline.model.input_gradients import evaluating

CATALOGUE = "explain/explanations"


def explain(name: str, model: CamClassifier, images: Tensor, classes: Tensor, batch_size: int = 64) -> Tensor:
    """Maps (N, h, w) of one explanation by name, detached, on the model's device.

    batch_size: images that one forward sees. The model runs in eval mode and comes back as it was, also when
    the explanation raises. Raises UserError for a name that is not in the catalogue.
    """
    explanation = catalogue.get(CATALOGUE, name)
    size = images_at_once(name, batch_size)
    batches = zip(images.detach().split(size), classes.split(size), strict=True)
    with evaluating(model), torch.no_grad():
        return torch.cat([explanation(model, *batch).detach() for batch in batches])


def images_at_once(name: str, batch_size: int) -> int:
    """How many images an explanation can take at a time where a forward can take `batch_size`.

    >>> images_at_once("gradient", 64), images_at_once("integrated_gradients", 64)
    (64, 2)
    """
    return max(1, batch_size // catalogue.filled(CATALOGUE, {"name": name}).get("steps", 1))


def logit_gradient(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """dz_c / dx, (N, C, H, W), where autograd is on with a graph of its own; also works where it is off."""
    wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        points = with_graph(images)
        own = model(points).logits.gather(1, classes[:, None])
        return torch.autograd.grad(own.sum(), points, create_graph=wanted)[0]


def with_graph(images: Tensor) -> Tensor:
    """The images themselves if gradients reach them, else a leaf in their place."""
    return images if images.requires_grad else images.detach().requires_grad_()


def per_pixel(attributions: Tensor) -> Tensor:
    """Sum of the absolute attributions over channels, (N, C, H, W) to (N, H, W).

    >>> per_pixel(torch.tensor([[[[1.0]], [[-2.0]]]])).tolist()
    [[[3.0]]]
    """
    return attributions.abs().sum(1)


class Logits(nn.Module):
    """A classifier as captum wants it: a module that returns one tensor."""

    def __init__(self, model: CamClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images).logits
        return logits
