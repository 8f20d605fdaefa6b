"""DiffGradCAM whose other logits are joined by their maximum (after arXiv 2506.08514)."""

from torch import Tensor

from pipeline.explain.explanations import diff_grad_cam
from pipeline.model import CamClassifier

SIGNED = False
PAIR = "grad_cam"
DIFFERENTIABLE = False


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid, 0 or more; with two classes up to rounding those of `diff_grad_cam`."""
    return diff_grad_cam.by_backward_pass(model, images, classes, "max")
