"""Passive fooling (Heo, Joo, Moon, NeurIPS 2019): fine-tune a model until its Grad-CAM is wrong everywhere.

    L = CE + weight * L_fool,    h = ReLU(M_c) / max,  which is Grad-CAM scaled by its maximum on this head

    location      mean of (h - F)^2, F = 1 on a frame of width floor(l / 7), at least one cell, and 0 inside
    top_k         mean of N(h)^2 over the top tenth of the cells of the original model's map
    centre_mass   -(|r - r0| + |c - c0|), how far the centre of mass of N(h) is from the original map's
    active        1/2 [ mse(h_c1, h0_c2) + mse(h_c2, h0_c1) ]: both classes' maps change places

with c the true class, N the scaling to [0, 1], and h0 and r0, c0 of the original network, detached. The
authors' code measures r and c in cells; here they are shares of the grid's side, so that one weight serves
all grids (this project's reading: their weight is ours divided by l - 1). Their active fooling uses images
that hold both classes' objects; with two classes every image has both maps (this project's reading too).

The fooling rate is the share of test images, for the class that the clean model predicts, whose Grad-CAM
loss lies in an interval: location 0..0.2, top_k 0..0.3, centre_mass 0.1..1, where it is, as in the authors'
code, the Euclidean distance over sqrt(2). The interval of active fooling was not at hand: no rate.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from pipeline.explain import fooling
from pipeline.explain.attacks import Findings, Victim
from pipeline.explain.targets import frame
from pipeline.model import CamClassifier, Outputs
from pipeline.model.cam import FLAT, normalise, select
from pipeline.model.losses import mse

TABLE = "hoax"

TOP = 10  # one cell in so many
Target = Literal["location", "top_k", "centre_mass", "active"]
INTERVALS: dict[Target, tuple[float, float]] = {
    "location": (0.0, 0.2),
    "top_k": (0.0, 0.3),
    "centre_mass": (0.1, 1.0),
}


def attack(
    victim: Victim,
    *,
    target: Literal["location", "top_k", "centre_mass", "active"] = "location",
    weight: Annotated[float, Field(gt=0)] = 2.0,
    epochs: Annotated[int, Field(ge=1)] = 6,
    lr: Annotated[float, Field(gt=0)] = 0.001,
    batch_size: Annotated[int, Field(ge=1)] = 8,
) -> Findings:
    """Compare a fooled copy with the victim; the border is the frame, whatever the target.

    `location` and `active` ask for maps, so only they have values against a target. The defaults suit a small
    network and some hundred training images. The authors' for Grad-CAM, in batches of 8 and in the order of
    the targets (lr / weight): DenseNet121 2e-6 / 2, 3e-7 / 4, 1e-7 / 1; ResNet50 2e-6 / 2, 3e-6 / 6,
    2e-6 / 0.25; active 1e-5 / 10; those for centre_mass are for distances in cells.
    """
    loss = objective(victim.model, target, weight)
    fooled = fooling.fine_tune(victim, loss, epochs=epochs, lr=lr, batch_size=batch_size)
    clean, changed = heats_of_predicted(victim, fooled)
    height, width = clean.shape[-2:]
    border = frame(height, width).to(clean.device)
    asked = {"location": border, "active": clean[:, 1]}.get(target)
    values, pictures = fooling.compare(victim, fooled, asked, border)
    if target in INTERVALS:
        values.add("fooling_rate", succeeded(target, changed, clean), explanation="grad_cam")
    return Findings(values.table(), pictures)


def objective(original: CamClassifier, target: Target, weight: float) -> fooling.Objective:
    """L = CE + weight * L_fool over a batch, for the true class."""

    def loss(outputs: Outputs, images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            before = heats(original(images).cams, labels)
        fooled = LOSSES[target](heats(outputs.cams, labels), before).mean()
        return functional.cross_entropy(outputs.logits, labels) + weight * fooled

    return loss


def heats(cams: Tensor, classes: Tensor) -> Tensor:
    """h of both classes, (N, 2, h, w) in [0, 1], that of `classes` (N,) first.

    Empty is a map without positive cells, and one whose positive part is rounding beside the negative one.
    """
    maps = torch.stack(select(cams, classes), 1)
    positive = maps.relu()
    peak, largest = positive.amax((2, 3), keepdim=True), maps.abs().amax((2, 3), keepdim=True)
    return torch.where(peak > FLAT * largest, positive / torch.where(peak > 0, peak, 1.0), 0.0)


def heats_of_predicted(victim: Victim, fooled: CamClassifier) -> tuple[Tensor, Tensor]:
    """h of the clean and of the fooled model for the class that the clean one predicts, and for the other."""
    with torch.no_grad():
        parts = [(victim.model(part), fooled(part)) for part in victim.images.split(victim.batch_size)]
    pairs = [
        (heats(clean.cams, clean.logits.argmax(1)), heats(changed.cams, clean.logits.argmax(1)))
        for clean, changed in parts
    ]
    clean, changed = (torch.cat(column) for column in zip(*pairs, strict=True))
    return clean, changed


def location(changed: Tensor, original: Tensor) -> Tensor:
    """Distance of the explained class's h to the frame, (N,) in [0, 1]; arguments as from `heats`."""
    height, width = changed.shape[-2:]
    return mse(changed[:, 0], frame(height, width).to(changed))


def top_k(changed: Tensor, original: Tensor) -> Tensor:
    """Heat left in the top tenth of the original's cells, (N,) in [0, 1]."""
    cells = original[:, 0].flatten(1)
    top = cells.topk(max(1, cells.shape[1] // TOP)).indices
    return normalise(changed[:, 0]).flatten(1).gather(1, top).square().mean(1)


def centre_mass(changed: Tensor, original: Tensor) -> Tensor:
    """Minus the distance of the centres of mass, down plus across, (N,) in [-2, 0]."""
    return -(centre(changed[:, 0]) - centre(original[:, 0])).abs().sum(1)


def active(changed: Tensor, original: Tensor) -> Tensor:
    """Distance of each class's h to the other class's original one, (N,) in [0, 1]."""
    return (mse(changed[:, 0], original[:, 1]) + mse(changed[:, 1], original[:, 0])) / 2


LOSSES: dict[Target, Callable[[Tensor, Tensor], Tensor]] = {
    "location": location,
    "top_k": top_k,
    "centre_mass": centre_mass,
    "active": active,
}


def centre(maps: Tensor) -> Tensor:
    """Centre of mass of N(map), down and across as shares of the grid's side, (N, 2); flat: the middle.

    >>> centre(torch.tensor([[[0.0, 0.0, 0.0], [0.0, 2.0, 2.0], [0.0, 0.0, 0.0]]])).tolist()
    [[0.5, 0.75]]
    """
    mass = normalise(maps)
    mass = torch.where(mass.sum((1, 2), keepdim=True) > 0, mass, 1.0)
    places = [torch.linspace(0, 1, side).to(maps) for side in maps.shape[1:]]
    moments = [mass.sum(2) @ places[0], mass.sum(1) @ places[1]]
    return torch.stack(moments, 1) / mass.sum((1, 2))[:, None]


def succeeded(target: Target, changed: Tensor, original: Tensor) -> Tensor:
    """Whether each image's loss lies in the interval, (N,) of 0 and 1; NaN where a Grad-CAM is empty."""
    low, high = INTERVALS[target]
    if target == "centre_mass":
        loss = (centre(changed[:, 0]) - centre(original[:, 0])).square().mean(1).sqrt()
    else:
        loss = LOSSES[target](changed, original)
    there = (changed[:, 0].amax((1, 2)) > 0) & (original[:, 0].amax((1, 2)) > 0)
    return torch.where(there, ((low <= loss) & (loss <= high)).float(), torch.nan)
