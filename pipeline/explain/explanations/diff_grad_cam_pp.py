"""DiffGradCAM++: Grad-CAM++ of z_c minus the other logit, this project's reading of arXiv 2506.08514."""

from torch import Tensor

from pipeline.explain.explanations import grad_cam_pp
from pipeline.model import CamClassifier
from pipeline.model.cam import margin

SIGNED = False
PAIR = "grad_cam_pp"
DIFFERENTIABLE = False


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid, 0 or more."""
    return grad_cam_pp.of_score(model, images, lambda logits: margin(logits, classes))
