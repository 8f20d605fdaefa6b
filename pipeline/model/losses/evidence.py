"""L-EV: the share of all evidence, for and against, that speaks for the true class where people looked.

    l = 1 - sum H ReLU(D) / (sum |D| + e),   D = S_t - S_f (raw),   e = 1e-6
    L = alpha * CE + (1 - alpha) * mean of l over annotated samples

D is taken raw: its sign counts, so that no bias can carry a decision against its map. The loss does not
change with the scale of D, is blind to what is added to both maps, and pushes evidence outside down whatever
its size. This project's own. Relatives: right for the right reasons (Ross, Hughes, Doshi-Velez, IJCAI 2017)
takes input gradients, the energy loss (Rao et al., ICCV 2023) the positive attribution of one class; see also
Core-Focused Cross-Entropy (OpenReview BDNctVKwuD). D is the "Difference Salience" of Piland, Sweet and
Czajka, arXiv 2507.17000.
"""

from torch import Tensor

from pipeline.common.limits import Share
from pipeline.model.cam import difference_salience
from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms, combine, on_grid

USES_MAPS = True
TINY = 1e-6  # e: where there is no evidence at all, none of it is in place


def loss(
    outputs: Outputs, labels: Tensor, human_maps: Tensor, has_map: Tensor, *, alpha: Share = 0.5
) -> Terms:
    """Constrains what a decision is made of; guidance in [0, 1].

    labels (N,) in {0, 1}; human_maps (N, H, W) in [0, 1]; has_map (N,) bool. Differentiable in outputs.
    """
    human, usable = on_grid(human_maps, has_map, outputs.cams)
    evidence = difference_salience(outputs.cams, labels)
    in_place = (human * evidence.relu()).sum((1, 2)) / (evidence.abs().sum((1, 2)) + TINY)
    return combine(outputs.logits, labels, 1 - in_place, usable, alpha)
