"""L-TF: the true-class map copies the human map, the false-class map its complement.

    l = 1/2 [ mse(P, H) + mse(Q, 1 - H) ],   P = N(S_t), Q = N(S_f)
    L = alpha * CE + (1 - alpha) * mean of l over annotated samples

This project's own formulation of the idea of training with both CAMs (Piland, Sweet, Czajka, "Divisive
Decisions", arXiv 2507.17000); the paper's formulas were not at hand.
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
    """Constrains both maps everywhere; guidance in [0, 1].

    labels (N,) in {0, 1}; human_maps (N, H, W) in [0, 1]; has_map (N,) bool. Differentiable in outputs.
    """
    human, usable = on_grid(human_maps, has_map, outputs.cams)
    true_cam, false_cam = select(outputs.cams, labels)
    guidance = (mse(normalise(true_cam), human) + mse(normalise(false_cam), 1 - human)) / 2
    return combine(outputs.logits, labels, guidance, usable, alpha)
