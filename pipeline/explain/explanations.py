"""The explanations that are put to the test: one function each, chosen by name, all with the same signature.

    (model, images (N, C, H, W) in [0, 1], classes (N,) int64) -> maps (N, h, w), detached

The CAM family lies on the CAM grid: `cam` and `difference_salience` raw and signed, all *grad_cam* after
ReLU. Those of pixels are (H, W): the sum over channels of the absolute attribution, as in Dombrowski et al.
2019, of the logit z_c of the explained class. captum computes what it has. The model runs in eval mode, is
never written to, and comes back as it was, also when an explanation raises.
"""

import warnings
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.common.errors import UserError, nearest
from pipeline.explain import differentiable
from pipeline.model import CamClassifier
from pipeline.model import cam as cams
from pipeline.model.input_gradients import evaluating

Explanation = Callable[[CamClassifier, Tensor, Tensor], Tensor]
NOISE = 0.15  # SmoothGrad's standard deviation in [0, 1]; its authors advise 0.1 to 0.2
NOISY = 25  # images that SmoothGrad averages over


def explain(name: str, model: CamClassifier, images: Tensor, classes: Tensor, batch_size: int = 64) -> Tensor:
    """Maps (N, h, w) of one explanation by name, so many images at a time, on the model's device.

    Raises UserError for a name that EXPLANATIONS does not have.
    """
    if name not in EXPLANATIONS:
        raise UserError(f"explanation {name!r} is not known: {nearest(name, EXPLANATIONS)}")
    batches = zip(images.split(batch_size), classes.split(batch_size), strict=True)
    return torch.cat([EXPLANATIONS[name](model, *batch) for batch in batches])


def _explanation(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Give `compute` a model in eval mode and images with gradients of their own; detach what it returns."""

    @wraps(compute)
    def explained(model: CamClassifier, images: Tensor, classes: Tensor, **settings: Any) -> Tensor:
        with evaluating(model), torch.enable_grad():
            return compute(model, images.detach().requires_grad_(), classes, **settings).detach()

    return explained


@_explanation
def cam(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """M_c, raw and signed (Zhou et al., CVPR 2016)."""
    with torch.no_grad():
        return differentiable.cam(model, images, classes)


@_explanation
def difference_salience(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """M_c minus the other class's map, raw and signed (after arXiv 2507.17000)."""
    with torch.no_grad():
        return differentiable.difference_salience(model, images, classes)


@_explanation
def grad_cam(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM of z_c (Selvaraju et al., ICCV 2017) at what the pooling sees, by captum."""
    from captum.attr import LayerGradCam

    tool = LayerGradCam(_Logits(model), model.features)
    return tool.attribute(images, target=classes, relu_attributions=True)[:, 0]


@_explanation
def grad_cam_pp(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM++ of z_c (Chattopadhay et al., WACV 2018)."""
    outputs = model(images)
    return cams.grad_cam_pp(outputs.logits.gather(1, classes[:, None])[:, 0], outputs.features)


@_explanation
def diff_grad_cam(
    model: CamClassifier, images: Tensor, classes: Tensor, baseline: cams.Baseline = "lse"
) -> Tensor:
    """DiffGradCAM (after arXiv 2506.08514); with two classes every baseline gives the same map."""
    outputs = model(images)
    return cams.diff_grad_cam(outputs.logits, outputs.features, classes, baseline=baseline)


@_explanation
def diff_grad_cam_pp(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """DiffGradCAM++: Grad-CAM++ of the logit difference, this project's reading of arXiv 2506.08514."""
    outputs = model(images)
    return cams.grad_cam_pp(cams.logit_difference(outputs.logits, classes), outputs.features)


@_explanation
def gradient(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """|dz_c / dx| (Simonyan et al., 2013), by captum."""
    from captum.attr import Saliency

    return _per_pixel(Saliency(_Logits(model)).attribute(images, target=classes, abs=False))


@_explanation
def gradient_x_input(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """|x dz_c / dx|, x in [0, 1] as the model is given it, by captum."""
    from captum.attr import InputXGradient

    return _per_pixel(InputXGradient(_Logits(model)).attribute(images, target=classes))


@_explanation
def integrated_gradients(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """|x times the mean of dz_c / dx between black and x| (Sundararajan et al., ICML 2017), by captum.

    On the straight path from black (0), at the STEPS points of Gauss-Legendre quadrature, one at a time.
    """
    from captum.attr import IntegratedGradients

    tool = IntegratedGradients(_Logits(model))
    steps, at_once = differentiable.STEPS, len(images)
    return _per_pixel(
        tool.attribute(images, baselines=0, target=classes, n_steps=steps, internal_batch_size=at_once)
    )


@_explanation
def smooth_grad(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """|mean of dz_c / dx over NOISY images with Gaussian noise of deviation NOISE| (Smilkov et al., 2017).

    By captum. The noise, which is not clipped to [0, 1], is the same in every call with as many images: it
    hangs on an image's place in the batch and never touches torch's global generator.
    """
    from captum.attr import NoiseTunnel, Saliency

    tool = NoiseTunnel(Saliency(_Logits(model)))
    settings = {"nt_samples": NOISY, "nt_samples_batch_size": 1, "stdevs": NOISE}
    with torch.random.fork_rng([images.device] if images.is_cuda else []):
        torch.manual_seed(0)
        return _per_pixel(tool.attribute(images, target=classes, abs=False, **settings))


@_explanation
def guided_backprop(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """|dz_c / dx| where each ReLU passes back positive gradients only (Springenberg et al., 2015), by captum.

    The rule is one for ReLUs. Other activations (swish, softplus, half-Huber) pass the plain gradient, so on
    networks without ReLUs this is `gradient`.
    """
    from captum.attr import GuidedBackprop

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
        return _per_pixel(GuidedBackprop(_Logits(model)).attribute(images, target=classes))


EXPLANATIONS: dict[str, Explanation] = {
    "cam": cam,
    "grad_cam": grad_cam,
    "grad_cam_pp": grad_cam_pp,
    "diff_grad_cam": diff_grad_cam,
    "diff_grad_cam_mean": partial(diff_grad_cam, baseline="mean"),
    "diff_grad_cam_max": partial(diff_grad_cam, baseline="max"),
    "diff_grad_cam_pp": diff_grad_cam_pp,
    "difference_salience": difference_salience,
    "gradient": gradient,
    "gradient_x_input": gradient_x_input,
    "integrated_gradients": integrated_gradients,
    "smooth_grad": smooth_grad,
    "guided_backprop": guided_backprop,
}


class _Logits(nn.Module):
    """A classifier as captum wants it: a module that returns one tensor."""

    def __init__(self, model: CamClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images).logits
        return logits


def _per_pixel(attributions: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H, W)."""
    return attributions.abs().sum(1)
