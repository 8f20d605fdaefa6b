"""DiffGradCAM (after arXiv 2506.08514): Grad-CAM of z_c minus the other logit, without a backward pass.

With two classes every way to join the other logits gives this map, ReLU(M_c - M_other) / (h w).
"""

import torch
from torch import Tensor

from pipeline.explain.explanations import difference_salience, with_graph
from pipeline.model import CamClassifier, cam

SIGNED = False
PAIR = "grad_cam"
DIFFERENTIABLE = True


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid, 0 or more."""
    maps = difference_salience.explanation(model, images, classes)
    return maps.relu() / maps[0].numel()


@torch.enable_grad()
def by_backward_pass(model: CamClassifier, images: Tensor, classes: Tensor, baseline: cam.Baseline) -> Tensor:
    """The same maps for any number of classes, whose other logits are joined by `baseline`; detached."""
    outputs = model(with_graph(images))
    return cam.diff_grad_cam(outputs.logits, outputs.features, classes, baseline=baseline)
