"""The smallest perturbation that changes a decision, and pictures of what makes a model sure of either class.

After Woods, Chen and Teuscher (Nature Machine Intelligence 2019). A walk from the clean image lowers the
true-class margin until a goal is met, turns back towards the clean image until it is not, and so on along
the border between the classes, in n steps of falling sizes eta_k = length * 2 (n - k) / (n (n + 1)). The
smallest perturbation that met the goal counts. Sizes are root mean squares (RMS) over the values of an image,
which are in [0, 1]. Goals:

    attack   the decision is wrong: z_y - z_other <= 0
    BTR      it is not better than random: p_y <= chance

With as many images of one label as of the other the two are the same and the walk is done once.

This project's choices: perturbed images are clipped to [0, 1], which the authors' code does not do, since no
file can hold others and PGD's curves are about the same images; the gradient is the margin's, which with two
classes points where cross-entropy's does and does not vanish where the network is sure; a direction back
leads to the clean image and not beyond (momentum may carry on); chance is the share of the more frequent
label.
"""

import math
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pipeline.explain.attacks import Findings, Values, Victim
from pipeline.model import CamClassifier
from pipeline.model.cam import margin
from pipeline.model.inference import logit_differences
from pipeline.model.perturbations import TINY, with_gradient
from pipeline.score.ara import ara, majority_share
from pipeline.score.metrics import auroc

TABLE = "robust_decisions"

CURVE = np.concatenate([[0], np.geomspace(0.001, 1, 40)])  # budgets, as shares of max_rms
OVERSHOOT = 5.0  # a walk towards a class is so many times as long as its result is large; the authors' value


class Pace(NamedTuple):
    """How a walk goes: its steps, the sum of their sizes, and the momentum of its direction."""

    steps: int
    length: float
    momentum: float


Turns = Callable[[Tensor, Tensor], Tensor]  # margins (N,) and RMS (N,) -> whether to head back, (N,) bool


def attack(
    victim: Victim,
    *,
    steps: Annotated[int, Field(ge=1)] = 100,
    max_rms: Annotated[float, Field(gt=0)] = 0.5,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    explain_rms: Annotated[float, Field(gt=0)] = 0.1,
    explain_steps: Annotated[int, Field(ge=1)] = 35,
) -> Findings:
    """Accuracy by RMS and its area (ARA) for both goals, and adversarial explanations of the shown images.

    max_rms: length of the walk, so that no perturbation is larger; radii are as exact as its last steps are
    short. An image that no perturbation broke counts with the largest that was tried (0 if there is no
    gradient to walk along); `unbroken` is the share of these. momentum: of the direction. The authors walk
    20 in 450 steps with momentum 0.9; on a small network, 0.5 in 100 steps gives the same radii within 3 %.
    explain_rms, explain_steps: of the walks towards both classes, which have no momentum.
    """
    values = Values()
    truth = victim.labels.cpu().numpy()
    abnormal = logit_differences(victim.model, victim.images, victim.batch_size).cpu().numpy()
    values.add("accuracy_clean", abnormal * (2 * truth - 1) > 0)
    values.add("auroc_clean", auroc(truth, abnormal))
    chance = majority_share(truth)
    goals = {"attack": 0.0, "btr": margin_at(chance)}
    pace = Pace(steps, max_rms, momentum)
    walks = {goal: radii(victim, goal, pace) for goal in set(goals.values())}
    for name, goal in goals.items():
        found = walks[goal][0]
        values.add(f"ara_{name}", ara(found, chance))
        for budget in CURVE * max_rms:
            values.add(f"accuracy_{name}", found > budget, budget=budget)
    values.add("radius_median", float(np.median(walks[0.0][0])))
    values.add("unbroken", walks[0.0][1])
    return Findings(values.table(), adversarial_explanations(victim, explain_rms, explain_steps))


def margin_at(probability: float) -> float:
    """z_y - z_other where p_y is `probability`; infinite at 1."""
    return math.inf if probability == 1 else math.log(probability / (1 - probability))


def radii(victim: Victim, goal: float, pace: Pace) -> tuple[np.ndarray, np.ndarray]:
    """RMS of the smallest perturbation found with a true-class margin of at most `goal`, and where none was.

    Both (n,), float64 and bool. 0 where the clean image is there already, the largest RMS tried where none
    was found.
    """
    batches = zip(victim.images.split(victim.batch_size), victim.labels.split(victim.batch_size), strict=True)
    found = [_find_smallest(victim.model, *batch, goal, pace) for batch in batches]
    radius, unbroken = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
    return radius.astype(np.float64), unbroken


def walk(
    model: CamClassifier, images: Tensor, labels: Tensor, turns: Turns, pace: Pace
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the change (N, C, H, W) so far and the true-class margins (N,) there: n + 1 times, from 0 on.

    A step lowers the margin or, where `turns` says so, the change. Directions have RMS 1; with momentum mu
    the step goes along v = mu v + (1 - mu) direction.
    """
    steps, length, momentum = pace
    change, velocity = torch.zeros_like(images), torch.zeros_like(images)
    for k in range(steps + 1):
        found, slope = with_gradient(lambda points: margin(model(points).logits, labels), images + change)
        yield change, found
        size = length * 2 * (steps - k) / (steps * (steps + 1))
        onwards = -slope / rms(slope).clamp_min(TINY)
        back = -change / rms(change).clamp_min(size + TINY)
        turned = turns(found, rms(change).flatten())[:, None, None, None]
        velocity = momentum * velocity + (1 - momentum) * torch.where(turned, back, onwards)
        change = (images + change + size * velocity).clamp(0, 1) - images


def rms(change: Tensor) -> Tensor:
    """Root mean square over (C, H, W), (N, 1, 1, 1)."""
    return change.square().mean((1, 2, 3), keepdim=True).sqrt()


def adversarial_explanations(victim: Victim, size: float, steps: int) -> dict[str, np.ndarray]:
    """Adversarial explanations of the shown images: walks of RMS `size` towards either class.

    `towards_0`, `towards_1`, uint8 (k, C, S, S), and z1 - z0 before and after, (k,): `logit_difference`,
    `logit_difference_towards_0`, `logit_difference_towards_1`.
    """
    images = victim.images[: victim.shown]
    pictures = {"logit_difference": logit_differences(victim.model, images, victim.batch_size)}
    for towards in (0, 1):
        parts = images.split(victim.batch_size)
        pushed = torch.cat([_push_towards(victim.model, part, towards, size, steps) for part in parts])
        pictures[f"towards_{towards}"] = (pushed * 255).round().byte()
        after = logit_differences(victim.model, pushed, victim.batch_size)
        pictures[f"logit_difference_towards_{towards}"] = after
    return {name: picture.cpu().numpy() for name, picture in pictures.items()}


def _find_smallest(
    model: CamClassifier, images: Tensor, labels: Tensor, goal: float, pace: Pace
) -> tuple[Tensor, Tensor]:
    """`radii` of one batch; nothing waits for the device."""
    smallest = images.new_full((len(images),), math.inf)
    largest = torch.zeros_like(smallest)
    for change, found in walk(model, images, labels, lambda found, _: found <= goal, pace):
        size = rms(change).flatten()
        largest = torch.maximum(largest, size)
        smallest = torch.where(found <= goal, torch.minimum(smallest, size), smallest)
    unbroken = smallest.isinf()
    return torch.where(unbroken, largest, smallest), unbroken


def _push_towards(model: CamClassifier, images: Tensor, towards: int, size: float, steps: int) -> Tensor:
    """Images at the end of a walk that lowers the other class's margin and heads back from RMS `size`."""
    other = torch.full((len(images),), 1 - towards, device=images.device)
    pace = Pace(steps, OVERSHOOT * size, momentum=0)
    *_, (change, _) = walk(model, images, other, lambda _, sizes: sizes >= size, pace)
    return images + change
