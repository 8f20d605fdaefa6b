"""DiffGradCAM (after arXiv 2506.08514): Grad-CAM of z_c minus the other logit, without a backward pass.

With two classes every way to join the other logits gives this map, ReLU(M_c - M_other) / (h w).
"""

from torch import Tensor

from pipeline.explain.explanations import difference_salience
from pipeline.model import CamClassifier

SIGNED = False
PAIR = "grad_cam"
DIFFERENTIABLE = True


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid, 0 or more."""
    maps = difference_salience.explanation(model, images, classes)
    return maps.relu() / maps[0].numel()
