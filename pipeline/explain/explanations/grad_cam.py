"""Grad-CAM of z_c (Selvaraju et al., ICCV 2017) at what the pooling sees, which needs no backward pass.

With global average pooling and a linear head the gradient of z_c in channel k is w_ck / (h w) in every cell,
so that Grad-CAM is ReLU(M_c) / (h w).
"""

from torch import Tensor

from pipeline.explain.explanations import cam
from pipeline.model import CamClassifier

SIGNED = False
PAIR = None
DIFFERENTIABLE = True


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid, 0 or more."""
    maps = cam.explanation(model, images, classes)
    return maps.relu() / maps[0].numel()
