"""DiffGradCAM++: Grad-CAM++ of z_c minus the other logit, this project's reading of arXiv 2506.08514."""

import torch
from torch import Tensor

from pipeline.explain.explanations import with_graph
from pipeline.model import CamClassifier, cam

SIGNED = False
PAIR = "grad_cam_pp"
DIFFERENTIABLE = False


@torch.enable_grad()
def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid, 0 or more."""
    outputs = model(with_graph(images))
    return cam.grad_cam_pp(cam.margin(outputs.logits, classes), outputs.features)
