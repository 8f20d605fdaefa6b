"""PGD against an APGD that others wrote (Croce and Hein, ICML 2020; the Adversarial Robustness Toolbox).

Both get as many gradients, 20 from each of two starts, and the same objective. APGD's first step is as long
as the paper says, 2 eps; an image counts as broken wherever APGD looked, also where it did not stay.
"""

import copy
import math
from collections.abc import Iterator

import numpy as np
import pytest
import tiny_victims
import torch
from art.attacks.evasion import AutoProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from pipeline.explain.attacks import Victim, pgd
from pipeline.model import CamClassifier
from pipeline.model.cam import margin
from pipeline.model.perturbations import Norm

STEPS, STARTS, IMAGES = 20, 2, 24
MORE = 1  # images that PGD may leave standing more
BUDGETS: list[tuple[Norm, float]] = [
    ("linf", 0.012), ("linf", 0.024), ("linf", 0.031), ("l2", 0.008), ("l2", 0.012), ("l2", 0.016),
]  # fmt: skip


class Logits(nn.Module):
    """What the toolbox expects of a network."""

    def __init__(self, model: CamClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


class NegativeMargin(nn.modules.loss._Loss):
    """The objective, which remembers the worst margin of each image."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.margins = torch.full((images,), math.inf)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        classes = labels.argmax(1) if labels.ndim > 1 else labels
        found = margin(logits, classes)
        self.margins = torch.minimum(self.margins, found.detach())
        return -found if self.reduction == "none" else -found.mean()


def apgd(victim: Victim, norm: Norm, budget: float) -> Tensor:
    """The worst true-class margins that APGD visits, (n,); every clean image must be right."""
    objective = NegativeMargin(len(victim.images))
    shape = tuple(victim.images.shape[1:])
    classifier = PyTorchClassifier(
        Logits(copy.deepcopy(victim.model)),
        objective,
        shape,
        nb_classes=2,
        clip_values=(0, 1),
        device_type="cpu",
    )
    eps = budget if norm == "linf" else budget * math.sqrt(math.prod(shape))
    attack = AutoProjectedGradientDescent(
        classifier, np.inf if norm == "linf" else 2, eps, 2 * eps, STEPS, nb_random_init=1, verbose=False,
        batch_size=len(victim.images),
    )  # fmt: skip
    for start in range(STARTS):
        np.random.seed(start)  # noqa: NPY002
        attack.generate(victim.images.numpy(), victim.labels.numpy())
    return objective.margins


@pytest.fixture(scope="module")
def victim() -> Victim:
    """A network that was really trained, and images of which it gets all right."""
    found = tiny_victims.victim(2 * IMAGES, batch_size=IMAGES)
    right = margin(found.model(found.images).logits, found.labels) > 0
    rows = right.nonzero().flatten()[:IMAGES]
    assert len(rows) == IMAGES
    return found._replace(images=found.images[rows], labels=found.labels[rows])


@pytest.fixture(autouse=True)
def _global_generator() -> Iterator[None]:
    """The toolbox draws from numpy's."""
    state = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


def pushed(victim: Victim, norm: Norm, budget: float) -> Tensor:
    front = pgd.Front(victim, norm)
    front.push(budget, STEPS, STARTS)
    return front.margins


@pytest.mark.parametrize(("norm", "budget"), BUDGETS)
def test_pgd_breaks_as_many_images_as_apgd(victim: Victim, norm: Norm, budget: float) -> None:
    ours, theirs = pushed(victim, norm, budget), apgd(victim, norm, budget)
    assert (ours > 0).sum() <= (theirs > 0).sum() + MORE
    both = (ours > 0) & (theirs > 0)
    assert both.any() and not both.all()
    clean = margin(victim.model(victim.images).logits, victim.labels)
    assert (clean - ours)[both].mean() > 0.97 * (clean - theirs)[both].mean()  # nor does it come less far


def test_steps_of_one_size_come_less_far(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two and a half budgets in 20 equal steps, as Madry et al. went."""
    falling = pushed(victim, "linf", 0.024)
    monkeypatch.setattr(pgd, "falling_steps", lambda eps, steps: [2.5 * eps / steps] * steps)
    constant = pushed(victim, "linf", 0.024)
    both = (falling > 0) & (constant > 0)
    assert both.sum() >= 5 and (falling > 0).sum() <= (constant > 0).sum()
    assert (falling < constant)[both].float().mean() > 0.75
