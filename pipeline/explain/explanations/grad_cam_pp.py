"""Grad-CAM++ of z_c (Chattopadhay et al., WACV 2018) at what the pooling sees."""

import torch
from torch import Tensor

from pipeline.explain.explanations import with_graph
from pipeline.model import CamClassifier, cam

SIGNED = False
PAIR = None
DIFFERENTIABLE = False


@torch.enable_grad()
def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid, 0 or more."""
    outputs = model(with_graph(images))
    return cam.grad_cam_pp(outputs.logits.gather(1, classes[:, None])[:, 0], outputs.features)
