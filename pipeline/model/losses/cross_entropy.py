"""Cross-entropy alone: the classifier that no human guides."""

from torch import Tensor
from torch.nn import functional

from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms


def loss(
    outputs: Outputs, labels: Tensor, human_maps: Tensor, has_map: Tensor, *, alpha: float = 1.0
) -> Terms:
    """L = CE(z, y). Maps are not looked at, and alpha has nothing to weigh against.

    outputs.logits (N, 2), labels (N,) in {0, 1}.
    """
    classification = functional.cross_entropy(outputs.logits, labels)
    return Terms(classification, classification, classification.new_zeros(()))
