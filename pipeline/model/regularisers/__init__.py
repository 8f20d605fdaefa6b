"""What a regulariser is: it may change a batch before the step's forward, and add a penalty to its loss."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.common import catalogue
from pipeline.model.batches import Batch
from pipeline.model.classifier import CamClassifier, Outputs


class Regulariser(nn.Module):
    """A robustness term that combines with any loss.

    Buffers are part of the training's state, parameters are not wanted. Random draws come from torch's
    global generator, which training seeds every epoch. Called under the training's autocast.
    """

    def perturb(self, model: CamClassifier, batch: Batch, epoch: int) -> Batch:
        """The batch that the step's one forward shall see; epochs count from 0."""
        return batch

    def penalty(self, model: CamClassifier, batch: Batch, outputs: Outputs, classification: Tensor) -> Tensor:
        """A scalar added to the loss; `outputs` are those of the step's forward of `batch.images`."""
        return classification.new_zeros(())


class Regularisers(Regulariser):
    """Several as one: batches go through all in turn, penalties add up; with none, nothing happens."""

    def __init__(self, choices: Iterable[Mapping[str, Any]]) -> None:
        """choices: `{name, **settings}` each, as in params.yaml."""
        super().__init__()
        self.parts: list[Regulariser] = [catalogue.make("model/regularisers", choice)() for choice in choices]
        for index, part in enumerate(self.parts):
            self.add_module(str(index), part)

    def perturb(self, model: CamClassifier, batch: Batch, epoch: int) -> Batch:
        """See `Regulariser`."""
        for part in self.parts:
            batch = part.perturb(model, batch, epoch)
        return batch

    def penalty(self, model: CamClassifier, batch: Batch, outputs: Outputs, classification: Tensor) -> Tensor:
        """See `Regulariser`."""
        penalties = (part.penalty(model, batch, outputs, classification) for part in self.parts)
        return sum(penalties, start=classification.new_zeros(()))


def signs(like: Tensor) -> Tensor:
    """+1 or -1 with equal chances for every element (Rademacher), laid out in memory as `like` is."""
    return torch.empty_like(like).bernoulli_(0.5).mul_(2).sub_(1)
