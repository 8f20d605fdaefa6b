"""Energy loss (Rao, Boehle, Parchami-Araghi, Schiele, ICCV 2023) on the true class's CAM.

    l = 1 - sum H ReLU(S_t) / (sum ReLU(S_t) + e),   e = 1e-6
    L = alpha * CE + (1 - alpha) * mean of l over annotated samples

The share of the positive attribution that lies inside the human region, as in the energy pointing game. The
published loss is this up to the 1, with bounding boxes as H, for each class that is there. S_t is raw; a map
that is positive nowhere costs 1 and has no gradient. The false class's map is not seen.
"""

from torch import Tensor

from pipeline.common.limits import Share
from pipeline.model.cam import select
from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms, combine, on_grid

USES_MAPS = True
TINY = 1e-6  # e


def loss(
    outputs: Outputs, labels: Tensor, human_maps: Tensor, has_map: Tensor, *, alpha: Share = 0.5
) -> Terms:
    """Constrains where one class's evidence lies; guidance in [0, 1].

    labels (N,) in {0, 1}; human_maps (N, H, W) in [0, 1]; has_map (N,) bool. Differentiable in outputs.
    """
    human, usable = on_grid(human_maps, has_map, outputs.cams)
    energy = select(outputs.cams, labels)[0].relu()
    in_place = (human * energy).sum((1, 2)) / (energy.sum((1, 2)) + TINY)
    return combine(outputs.logits, labels, 1 - in_place, usable, alpha)
