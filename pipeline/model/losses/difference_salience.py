"""L-DS: the difference of the two maps, which is all that softmax sees, against the human map.

    l = mse(N(D), H),   D = S_t - S_f (raw)
    L = alpha * CE + (1 - alpha) * mean of l over annotated samples

Blind to anything added to both maps; level and scale of D are left to cross-entropy, so the two terms do
not compete. "Difference Salience" is the quantity of Piland, Sweet and Czajka, "Divisive Decisions",
arXiv 2507.17000; the loss is this project's own formulation, as the paper's formulas were not at hand.
"""

from torch import Tensor

from pipeline.common.limits import Share
from pipeline.model import cam
from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms, combine, mse, on_grid

USES_MAPS = True


def loss(
    outputs: Outputs, labels: Tensor, human_maps: Tensor, has_map: Tensor, *, alpha: Share = 0.5
) -> Terms:
    """Constrains the shape of the decision; guidance in [0, 1].

    labels (N,) in {0, 1}; human_maps (N, H, W) in [0, 1]; has_map (N,) bool. Differentiable in outputs.
    """
    human, usable = on_grid(human_maps, has_map, outputs.cams)
    difference = cam.normalise(cam.difference_salience(outputs.cams, labels))
    return combine(outputs.logits, labels, mse(difference, human), usable, alpha)
