"""Cross-entropy alone: the classifier that no human guides."""

from torch import Tensor
from torch.nn import functional

from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms

USES_MAPS = False


def loss(outputs: Outputs, labels: Tensor, human_maps: Tensor, has_map: Tensor) -> Terms:
    """L = CE(z, y). Maps are not looked at.

    outputs.logits (N, 2), labels (N,) in {0, 1}.
    """
    classification = functional.cross_entropy(outputs.logits, labels)
    return Terms(classification, classification, classification.new_zeros(()))
