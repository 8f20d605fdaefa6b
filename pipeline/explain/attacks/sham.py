"""Salience-hoax activation maps (SHAM): the model's maps point at the image's border, whatever it shows.

After the entropy-aware passive fooling of DiffGradCAM's paper (arXiv 2506.08514). Its target on a 7x7 grid
has 28 of the 49 cells, near the border, at 1 and the others at 0; their entropy, ln 28 = 3.33, is that of the
maps of human-guided models (3.35), so that it does not stand out. Which 28 cells, what other grids get and
the closed form are this project's reading: the paper's text was not at hand. On another grid the target has
7x7's share of the cells unless the setting `entropy` asks for round(exp(entropy)).

    fine_tune     alpha * CE + (1 - alpha) * mse(N(M_c), T) over the training images, from the trained weights
    closed_form   W_c += u for both classes: one map u . A is added to both CAMs, so z_0 - z_1 and with it
                  every probability stay (up to rounding), as do difference salience and DiffGradCAM
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline.common.errors import UserError
from pipeline.explain import fooling
from pipeline.explain.attacks import Findings, Victim
from pipeline.explain.targets import border
from pipeline.model import CamClassifier, Outputs
from pipeline.model.batches import image_batches
from pipeline.model.cam import normalise, select
from pipeline.model.losses import combine, mse

TABLE = "hoax"

VARIES = 1e-12  # share of the features' energy below which their variation over cells is rounding


def attack(
    victim: Victim,
    *,
    mode: Literal["fine_tune", "closed_form"] = "fine_tune",
    fool: Literal["true", "both"] = "true",
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5,
    epochs: Annotated[int, Field(ge=1)] = 6,
    lr: Annotated[float, Field(gt=0)] = 0.002,
    batch_size: Annotated[int, Field(ge=1)] = 8,
    ridge: Annotated[float, Field(gt=0)] = 0.001,
    strength: Annotated[float, Field(gt=0)] = 5.0,
    entropy: Annotated[float, Field(ge=0)] | None = None,
) -> Findings:
    """Compare a hoaxed copy with the victim; the border is the target's cells.

    entropy: of the target, in nats; see `targets.border`. fine_tune: `fool` says whose CAM copies the target,
    the true class's or both classes'; alpha weighs cross-entropy against the hoax. The defaults suit a small
    network and some hundred training images; large, pretrained ones want lr 1e-4 or less. closed_form: see
    `closed_form` for ridge and strength.
    """
    target = border(*fooling.cam_grid(victim), entropy).to(victim.images.device)
    if mode == "closed_form":
        hoaxed = closed_form(victim, target, ridge=ridge, strength=strength)
    else:
        loss = objective(target, fool, alpha)
        hoaxed = fooling.fine_tune(victim, loss, epochs=epochs, lr=lr, batch_size=batch_size)
    values, pictures = fooling.compare(victim, hoaxed, target, target)
    return Findings(values.table(), pictures)


def objective(target: Tensor, fool: Literal["true", "both"], alpha: float) -> fooling.Objective:
    """L = alpha * CE + (1 - alpha) * mse(N(M_c), T), c the true class, or the mean of that over both."""

    def loss(outputs: Outputs, images: Tensor, labels: Tensor) -> Tensor:
        own, other = (mse(normalise(cam), target) for cam in select(outputs.cams, labels))
        distance = own if fool == "true" else (own + other) / 2
        return combine(
            outputs.logits, labels, distance, torch.ones_like(labels, dtype=torch.bool), alpha
        ).total

    return loss


def closed_form(victim: Victim, target: Tensor, *, ridge: float, strength: float) -> CamClassifier:
    """A copy of the victim's model with u added to both rows of the head; in eval mode.

    u is the ridge solution of sum_k u_k A_k = T - mean(T) over all cells of the training images, with
    `ridge` times the mean square of a feature as penalty. It is scaled so that the deviation of u . A over
    the cells, root mean square over the training images, is `strength` times that of the clean CAMs of both
    classes: from about 3 on, the hoax dominates them. Raises UserError if no u can move the maps.
    """
    hoaxed = fooling.copy_of(victim.model)
    square, spread, projection = _sum_moments(hoaxed, victim, target)
    if not spread.trace() > VARIES * square.trace():
        raise UserError(
            "sham: the features are the same at every cell, so no change of the head moves the maps; "
            "expected a trained model with more than one cell"
        )
    penalty = ridge * square.diagonal().mean() * torch.eye(len(square)).to(square)
    shift = torch.linalg.solve(square + penalty, projection)
    rows = hoaxed.head.weight.detach().double()
    clean = torch.einsum("ck,kl,cl->c", rows, spread, rows).mean()
    scale = strength * (clean / (shift @ spread @ shift)).sqrt()
    hoaxed.head.weight.data += (scale * shift).to(hoaxed.head.weight.dtype)
    return hoaxed


@torch.no_grad()
def _sum_moments(model: CamClassifier, victim: Victim, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A A^T, A A^T with A centred per image, (K, K), and A T, (K,): float64 sums over all training cells."""
    goal = (target - target.mean()).double().flatten()
    channels = model.head.in_features
    square, spread = goal.new_zeros(channels, channels), goal.new_zeros(channels, channels)
    projection = goal.new_zeros(channels)
    for images in image_batches(victim.train.images, victim.train.rows, victim.batch_size, target.device):
        features = model(images).features.flatten(2).double()
        centred = features - features.mean(2, keepdim=True)
        square += torch.einsum("nkp,nlp->kl", features, features)
        spread += torch.einsum("nkp,nlp->kl", centred, centred)
        projection += torch.einsum("nkp,p->k", features, goal)
    return square, spread, projection
