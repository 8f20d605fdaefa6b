"""Saliency-based adversarial training, SAT: the human map says which way every value is pushed.

    x~ = clip(x - eps g, 0, 1),   g = (1 - w) n + w M,   w ~ Bernoulli(1 - a^(epoch / pace)),   n = +-1

for every element of x, with eps in units of [0, 1]. After Mangla, Singh and Balasubramanian, "On saliency
maps and adversarial robustness", ECML-PKDD 2020, whose published code this follows. Here M is +1 where the
human map is at least `threshold` and -1 elsewhere, on all channels alike, and an image in which nothing is
marked gets noise alone: both are this project's reading. Building x~ needs no gradient. In the modes `pgd`
and `trades` a fair coin per batch chooses between x~ and projected gradient ascent; the published code
starts x~ of `pgd` from an already perturbed image, twice eps away, this one from x.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from pipeline.model.batches import Batch
from pipeline.model.classifier import CamClassifier, Outputs
from pipeline.model.input_gradients import evaluating, unrecorded
from pipeline.model.perturbations import ascent, project, random_start
from pipeline.model.regularisers import Regulariser, signs

USES_MAPS = True
NEEDS_CURVATURE = False

TRADES_START = 0.001  # standard deviation of the noise that TRADES starts from: at x itself KL has no slope


@dataclass(frozen=True)
class Settings:
    """As in `regulariser`."""

    eps: float
    a: float
    pace: float
    threshold: float
    steps: int
    step: float
    beta: float


class Plain(Regulariser):
    """Trains on x~ in place of x."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def perturb(self, model: CamClassifier, batch: Batch, epoch: int) -> Batch:
        """See `Regulariser`."""
        return batch._replace(images=self.attacked(model, batch, epoch))

    def attacked(self, model: CamClassifier, batch: Batch, epoch: int) -> Tensor:
        """The images to train on, (N, C, H, W) in [0, 1], at most eps from the batch's in every value."""
        change = self.settings.eps * self.direction(batch, epoch)
        return (batch.images - change).clamp(0, 1)

    def direction(self, batch: Batch, epoch: int) -> Tensor:
        """g, +-1 for every element, (N, C, H, W)."""
        marked = batch.maps >= self.settings.threshold
        guided = batch.has_map & marked.flatten(1).any(1)
        follows = torch.rand_like(batch.images) < map_share(epoch, self.settings.a, self.settings.pace)
        follows &= guided[:, None, None, None]
        return torch.where(follows, torch.where(marked, 1.0, -1.0)[:, None], signs(batch.images))


class Pgd(Plain):
    """Trains on x~ or, as often, on what ascent of the cross-entropy finds around x."""

    def attacked(self, model: CamClassifier, batch: Batch, epoch: int) -> Tensor:
        """See `Plain`; the model attacks itself in eval mode."""
        if torch.rand(()) < 0.5:  # on the CPU, so that no device is waited for
            return super().attacked(model, batch, epoch)
        with evaluating(model):
            return self.climbed(model, batch)

    def climbed(self, model: CamClassifier, batch: Batch) -> Tensor:
        """The last iterate, from a random start."""

        def objective(images: Tensor) -> Tensor:
            return functional.cross_entropy(model(images).logits, batch.labels, reduction="none")

        return self.ascend(objective, batch.images, random_start(batch.images, self.settings.eps, "linf"))

    def ascend(self, objective: Callable[[Tensor], Tensor], images: Tensor, start: Tensor) -> Tensor:
        """The last iterate of `perturbations.ascent`, in steps of one size as published."""
        steps = [self.settings.step] * self.settings.steps
        *_, last = ascent(objective, images, start, eps=self.settings.eps, steps=steps, norm="linf")
        return last


class Trades(Pgd):
    """Trains on x, and adds beta * KL(p(x) || p(x_adv)), x_adv being x~ or what ascent of this KL finds."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.images: Tensor | None = None  # x_adv, from `perturb` to `penalty`

    def perturb(self, model: CamClassifier, batch: Batch, epoch: int) -> Batch:
        """See `Regulariser`."""
        self.images = self.attacked(model, batch, epoch)
        return batch

    def climbed(self, model: CamClassifier, batch: Batch) -> Tensor:
        """The last iterate, from x and a little noise."""
        with torch.no_grad():
            clean = model(batch.images).logits.log_softmax(1)
        noisy = batch.images + TRADES_START * torch.randn_like(batch.images)
        start = project(noisy, batch.images, self.settings.eps, "linf")
        return self.ascend(lambda images: divergence(clean, model(images).logits), batch.images, start)

    def penalty(self, model: CamClassifier, batch: Batch, outputs: Outputs, classification: Tensor) -> Tensor:
        """See `Regulariser`; nothing is detached, and running statistics stay those of clean images."""
        with unrecorded(model):
            logits = model(self.images).logits
        clean = outputs.logits.log_softmax(1)
        return self.settings.beta * divergence(clean, logits).mean()


def map_share(epoch: int, a: float, pace: float) -> float:
    """p_e = 1 - a^(epoch / pace): chance that an element follows the map; epochs count from 0.

    >>> [round(map_share(epoch, 0.6, 10), 2) for epoch in (0, 10, 20, 50, 99)]
    [0.0, 0.4, 0.64, 0.92, 0.99]
    """
    return 1 - float(a ** (epoch / pace))


def divergence(clean: Tensor, logits: Tensor) -> Tensor:
    """KL(p || q), (N,), of log-probabilities log p (N, 2) and the logits (N, 2) of q."""
    return functional.kl_div(logits.log_softmax(1), clean, reduction="none", log_target=True).sum(1)


MODES = {"plain": Plain, "pgd": Pgd, "trades": Trades}


def regulariser(
    *,
    mode: Literal["plain", "pgd", "trades"] = "plain",
    eps: Annotated[float, Field(gt=0, le=1)] = 8 / 255,
    a: Annotated[float, Field(ge=0, le=1)] = 0.6,
    pace: Annotated[float, Field(gt=0)] = 10.0,
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5,
    steps: Annotated[int, Field(ge=1)] = 5,
    step: Annotated[float, Field(gt=0, le=1)] = 2 / 255,
    beta: Annotated[float, Field(ge=0)] = 1.0,
) -> Regulariser:
    """eps; a, pace (epochs) of the schedule; steps, step of the ascent; beta of TRADES."""
    return MODES[mode](Settings(eps, a, pace, threshold, steps, step, beta))
