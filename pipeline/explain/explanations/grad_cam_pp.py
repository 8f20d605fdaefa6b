"""Grad-CAM++ of z_c (Chattopadhay et al., WACV 2018) at what the pooling sees."""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.explain.explanations import with_graph
from pipeline.model import CamClassifier, cam

SIGNED = False
PAIR = None
DIFFERENTIABLE = False


def explanation(model: CamClassifier, images: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) on the CAM grid, 0 or more."""
    return of_score(model, images, lambda logits: logits.gather(1, classes[:, None])[:, 0])


@torch.enable_grad()
def of_score(model: CamClassifier, images: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Grad-CAM++ of a score (N,) of the logits (N, 2); detached."""
    outputs = model(with_graph(images))
    return cam.grad_cam_pp(score(outputs.logits), outputs.features)
