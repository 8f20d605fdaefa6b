"""L-DV: CYBORG plus the demand that the two maps part company where humans look.

    l = 1/2 [ mse(P, H) + (1 - r) / 2 ],   r = sum H (P - Q) / sum H  in [-1, 1],   P = N(S_t), Q = N(S_f)
    L = alpha * CE + (1 - alpha) * mean of l over annotated samples

Outside the human region the false-class map is free. This project's own formulation of the hypothesis of
Piland, Sweet and Czajka, "Divisive Decisions", arXiv 2507.17000, that the maps of the two classes should
differ on the features humans find important; the paper's formulas were not at hand.
"""

from torch import Tensor

from pipeline.common.limits import Share
from pipeline.model.cam import normalise, select
from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms, combine, mse, on_grid

USES_MAPS = True


def loss(
    outputs: Outputs, labels: Tensor, human_maps: Tensor, has_map: Tensor, *, alpha: Share = 0.5
) -> Terms:
    """One-sided divergence inside the human region; guidance in [0, 1].

    labels (N,) in {0, 1}; human_maps (N, H, W) in [0, 1]; has_map (N,) bool. Differentiable in outputs.
    """
    human, usable = on_grid(human_maps, has_map, outputs.cams)
    true_cam, false_cam = (normalise(maps) for maps in select(outputs.cams, labels))
    inside = human.sum((1, 2)).clamp(min=1)  # it is at least 1 where usable, as its largest cell is
    agreement = (human * (true_cam - false_cam)).sum((1, 2)) / inside
    guidance = (mse(true_cam, human) + (1 - agreement) / 2) / 2
    return combine(outputs.logits, labels, guidance, usable, alpha)
