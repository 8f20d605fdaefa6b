"""Manipulated inputs: images changed so little that nobody sees it, whose explanation shows something else.

After Dombrowski et al., "Explanations can be manipulated and geometry is to blame", NeurIPS 2019. h is the
positive part of an explanation over its sum, h0 that of the clean image x, h* the target's. Adam minimises

    mse(h(x'), h*) / mse(h0, h*)  +  output_weight * mean over classes of (p(x') - p(x))^2

over x' within `eps` of x in every value and in [0, 1]. Networks of ReLUs have no curvature to follow, so h is
taken from a copy with softplus(beta) in their place, beta growing geometrically from 10 to 100; a network
without ReLU is attacked as it is. All that is reported is of the original network.

This project's choices: the budget, which the authors do not have. The relative first term, since the mean
square of a unit-sum map depends on its size: the authors' weights, 1e11 of maps and 1e6 of outputs at 224 px,
where mse(h0, h*) is 1e-10 to 1e-9, are output weights of 1e5 to 1e4. p of the original network and not of the
copy: it needs no second derivative, and it is what has to stay. The positive part of signed maps.
"""

import copy
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.explain.attacks import Findings, Values, Victim, logits_of
from pipeline.explain.explanations import CATALOGUE, explain, images_at_once
from pipeline.explain.targets import border
from pipeline.model import CamClassifier
from pipeline.model.activations import swap
from pipeline.model.losses import mse
from pipeline.model.perturbations import TINY, project

TABLE = "manipulability"

BETAS = 10.0, 100.0  # of softplus in the first and the last step


class Search(NamedTuple):
    """Settings of `attack`."""

    eps: float
    steps: int
    lr: float
    output_weight: float


def attack(
    victim: Victim,
    *,
    eps: Annotated[float, Field(gt=0, le=1)] = 8 / 255,
    steps: Annotated[int, Field(ge=1)] = 100,
    lr: Annotated[float, Field(gt=0)] = 0.1,
    output_weight: Annotated[float, Field(ge=0)] = 10000.0,
    target: Literal["other", "sham"] = "other",
) -> Findings:
    """How far each of the victim's explanations that are differentiable moves, and how near to the target.

    eps: in shares of the range [0, 1]. lr: of Adam, in units of eps. target: `other`, the same explanation of
    the next image, or `sham`, the border that the attack of that name shows, on the explanation's grid. The
    explained class is the one that is predicted for the clean image. Raises UserError if no explanation is
    differentiable, or if there is no next image.
    """
    names = differentiable(victim.explanations)
    if not names:
        known = ", ".join(differentiable(catalogue.names(CATALOGUE)))
        raise UserError(f"manipulation needs one of {known} in robustness.explanations")
    if target == "other" and len(victim.images) < 2:
        raise UserError("manipulation towards another image needs at least 2 images, got 1; or target: sham")
    values, pictures = Values(), {}
    clean = _predict_probabilities(victim, victim.images)
    classes = clean.argmax(1)
    for name in names:
        before = explain(name, victim.model, victim.images, classes, victim.batch_size)
        goal = before.roll(-1, 0) if target == "other" else border(*before.shape[1:]).to(before)
        goals = goal.expand_as(before)
        changed = manipulate(victim, name, clean, before, goals, Search(eps, steps, lr, output_weight))
        after = explain(name, victim.model, changed, classes, victim.batch_size)
        first, last, wanted = (maps.cpu().numpy() for maps in (before, after, goals))
        values.add_similarities(
            name, clean=(last, first), target=(last, wanted), target_before=(first, wanted)
        )
        _add_outputs(values, name, clean, _predict_probabilities(victim, changed), changed - victim.images)
        pictures[f"images_{name}"] = (changed * 255).round().byte()
        pictures |= {f"before_{name}": before, f"after_{name}": after, f"target_{name}": goals}
    shown = {name: array[: victim.shown].cpu().numpy() for name, array in pictures.items()}
    return Findings(values.table(), shown)


def differentiable(names: Sequence[str]) -> list[str]:
    """Those explanations that can be differentiated.

    >>> differentiable(["cam", "guided_backprop"])
    ['cam']
    """
    return [name for name in names if catalogue.declared(CATALOGUE, name, "DIFFERENTIABLE")]


def manipulate(
    victim: Victim, name: str, outputs: Tensor, before: Tensor, goals: Tensor, search: Search
) -> Tensor:
    """The manipulated images (n, C, S, S).

    outputs: probabilities (n, 2) of the clean images, the larger one is that of the explained class; before
    and goals: maps (n, h, w), of which the positive part counts.
    """
    whole = (victim.images, outputs, density(before), density(goals))
    size = images_at_once(name, victim.batch_size)
    batches = zip(*(part.split(size) for part in whole), strict=True)
    with torch.enable_grad():
        return torch.cat([_descend_batch(victim.model, name, *batch, search=search) for batch in batches])


def density(maps: Tensor) -> Tensor:
    """h: the positive part of maps (N, h, w), each over its sum; 0 where nothing is positive.

    >>> density(torch.tensor([[[3.0, -2.0], [1.0, 0.0]]])).tolist()
    [[[0.75, 0.0], [0.25, 0.0]]]
    """
    energy = maps.relu()
    return energy / energy.sum((1, 2), keepdim=True).clamp_min(TINY)


def softened(model: CamClassifier) -> tuple[CamClassifier, nn.Softplus]:
    """A frozen copy and the softplus that is in the place of its rectifiers if any of these is a ReLU."""
    twin, softplus = copy.deepcopy(model).requires_grad_(False), nn.Softplus()
    if any(isinstance(module, nn.ReLU) for module in twin.modules()):
        swap(twin, lambda: softplus)
    return twin, softplus


def _descend_batch(
    model: CamClassifier,
    name: str,
    images: Tensor,
    outputs: Tensor,
    before: Tensor,
    goals: Tensor,
    *,
    search: Search,
) -> Tensor:
    """One batch of `manipulate`; the objective is a sum over images, and Adam keeps these apart."""
    explanation = catalogue.get(CATALOGUE, name)
    twin, softplus = softened(model)
    distance = mse(before, goals).clamp_min(TINY)
    points = images.clone().requires_grad_()
    adam = torch.optim.Adam([points], search.lr * search.eps)
    for beta in np.geomspace(*BETAS, search.steps):
        softplus.beta = float(beta)
        maps = density(explanation(twin, points, outputs.argmax(1)))
        drift = (model(points).logits.softmax(1) - outputs).square().mean(1)
        loss = (mse(maps, goals) / distance + search.output_weight * drift).sum()
        (points.grad,) = torch.autograd.grad(loss, points)
        adam.step()
        with torch.no_grad():
            points.copy_(project(points, images, search.eps, "linf"))
    return points.detach()


def _predict_probabilities(victim: Victim, images: Tensor) -> Tensor:
    return logits_of(victim.model, images, victim.batch_size).softmax(1)


def _add_outputs(values: Values, name: str, clean: Tensor, changed: Tensor, change: Tensor) -> None:
    """What became of the output, and the size of the change of the input."""
    found = {
        "probability_change": (changed - clean).abs().amax(1),
        "decision_changes": changed.argmax(1) != clean.argmax(1),
        "input_linf": change.abs().amax((1, 2, 3)),
        "input_rms": change.square().mean((1, 2, 3)).sqrt(),
    }
    for metric, samples in found.items():
        values.add(metric, samples, explanation=name)
