"""CYBORG (Boyd, Tinsley, Bowyer, Czajka, WACV 2023): one class's map against the human map.

    L = alpha * CE + (1 - alpha) * mean over annotated samples of mse(N(S_c), H)

S_c is the raw CAM of class c, N the per-sample scaling to [0, 1], H the human map on the CAM grid. The
published code takes the predicted class; its successors (Grains of Saliency, IJCB 2024) the true one.
"""

from typing import Literal

from torch import Tensor

from pipeline.common.limits import Share
from pipeline.model.cam import normalise, select
from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms, combine, mse, on_grid

USES_MAPS = True


def loss(
    outputs: Outputs,
    labels: Tensor,
    human_maps: Tensor,
    has_map: Tensor,
    *,
    alpha: Share = 0.5,
    cam_class: Literal["true", "pred"] = "true",
) -> Terms:
    """The baseline of the field; guidance in [0, 1].

    labels (N,) in {0, 1}; human_maps (N, H, W) in [0, 1]; has_map (N,) bool. Differentiable in outputs.
    """
    human, usable = on_grid(human_maps, has_map, outputs.cams)
    classes = labels if cam_class == "true" else outputs.logits.argmax(1)
    cam, _ = select(outputs.cams, classes)
    return combine(outputs.logits, labels, mse(normalise(cam), human), usable, alpha)
