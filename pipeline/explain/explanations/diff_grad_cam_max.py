"""DiffGradCAM whose other logits are joined by their maximum (arXiv 2506.08514), by a backward pass."""

import torch
from torch import Tensor

from pipeline.explain.explanations import with_graph
from pipeline.model import CamClassifier, cam

SIGNED = False
PAIR = "grad_cam"
DIFFERENTIABLE = False


@torch.enable_grad()
def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid, 0 or more; with two classes up to rounding those of `diff_grad_cam`."""
    outputs = model(with_graph(images))
    return cam.diff_grad_cam(outputs.logits, outputs.features, classes, baseline="max")
