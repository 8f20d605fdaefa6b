"""Hoaxed models: a copy of the victim that is trained to show other maps, and how far it shows them.

Whoever publishes a model may also have chosen what its explanations show. An attack of this kind leaves the
images alone and changes the weights; it has worked where decisions stay and maps move. Both maps of an image,
of the clean and of the hoaxed model, explain the class that the clean model predicts.
"""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.common.errors import UserError
from pipeline.common.seeding import numpy_rng
from pipeline.explain import alignment, similarity
from pipeline.explain.attacks import Values, Victim, logits_of
from pipeline.explain.explanations import explain
from pipeline.model import CamClassifier, Outputs
from pipeline.model.batches import as_floats
from pipeline.model.losses import on_grid
from pipeline.score import metrics

ALIGNMENT = ("cc", "energy_pointing")  # with the human map
Objective = Callable[[Outputs, Tensor, Tensor], Tensor]  # (outputs, images, labels) of a batch -> scalar


def fine_tune(
    victim: Victim, objective: Objective, *, epochs: int, lr: float, batch_size: int
) -> CamClassifier:
    """A copy of the victim's model whose weights Adam has moved `epochs` times through the training images.

    Each step lowers `objective` on a batch. The copy is in eval mode all along, so that running statistics of
    batch normalisation stay the victim's (Heo, Joo, Moon, NeurIPS 2019). Nothing is augmented, and nothing
    random is drawn but the order of the images, a function of the victim's seed. Raises UserError where an
    epoch ends with an objective that is not finite.
    """
    hoaxed = copy_of(victim.model)
    optimizer = torch.optim.Adam(hoaxed.parameters(), lr)
    for epoch in range(epochs):
        for images, labels in _draw_batches(victim, epoch, batch_size):
            loss = objective(hoaxed(images), images, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if not loss.isfinite():
            raise UserError(f"the attack's loss became {loss.item()} in epoch {epoch + 1}; lower its lr")
    return hoaxed


def copy_of(model: CamClassifier) -> CamClassifier:
    """A model that shares nothing with `model`: all weights trainable, no gradients, in eval mode."""
    copied = copy.deepcopy(model).requires_grad_(True).eval()
    copied.zero_grad()
    return copied


def cam_grid(victim: Victim) -> tuple[int, int]:
    """Height and width of the class activation maps of the victim's images."""
    with torch.no_grad():
        height, width = victim.model(victim.images[:1]).cams.shape[-2:]
    return height, width


def compare(
    victim: Victim, hoaxed: CamClassifier, target: Tensor | None, border: Tensor
) -> tuple[Values, dict[str, np.ndarray]]:
    """The hoaxed model against the clean one: decisions, then each of the victim's explanations.

    target: the map (h, w) or maps (n, h, w) in [0, 1] that the hoax is to show, None where it asks for no
    map; border: 0/1 (h, w), the cells whose share of the energy is reported. Both are brought to each
    explanation's grid, the target bilinearly, the border by the nearest cell. Returns values and pictures
    as `Findings` holds them.
    """
    values = Values()
    clean, changed = (
        logits_of(model, victim.images, victim.batch_size).double().cpu() for model in (victim.model, hoaxed)
    )
    _add_decisions(values, clean, changed, victim.labels)
    usable = _find_usable(victim)
    human = victim.human_maps.cpu().numpy()[usable]
    classes = clean.argmax(1).to(victim.images.device)
    pictures = {} if target is None else {"target": _cut_to_shown(target, victim.shown)}
    for name in victim.explanations:
        before, after = (
            explain(name, model, victim.images, classes, victim.batch_size).cpu().numpy()
            for model in (victim.model, hoaxed)
        )
        goals = {} if target is None else _pair_with_target(target, before=before, after=after)
        values.add_similarities(name, clean=(after, before), **goals)
        for moment, maps in (("before", before), ("after", after)):
            _add_measures(values, name, moment, maps, border)
            _add_alignment(values, name, moment, maps[usable], human)
            pictures[f"{moment}_{name}"] = maps[: victim.shown].astype(np.float32)
    return values, pictures


def _draw_batches(victim: Victim, epoch: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All training images with their labels, in an order of the epoch's own, on the victim's device."""
    samples, device = victim.train, victim.images.device
    order = numpy_rng(victim.seed, "fooling", epoch).permutation(samples.rows)
    for rows in np.array_split(order, -(-len(order) // size)):
        images = as_floats(samples.images[rows], device)
        yield images, torch.from_numpy(samples.labels[rows]).to(device)


def _add_decisions(values: Values, clean: Tensor, changed: Tensor, labels: Tensor) -> None:
    """Accuracy, AUROC, and the largest change of a probability in any image."""
    truth = labels.cpu().numpy()
    for moment, logits in (("before", clean), ("after", changed)):
        values.add(f"accuracy_{moment}", logits.argmax(1).numpy() == truth)
        values.add(f"auroc_{moment}", metrics.auroc(truth, (logits[:, 1] - logits[:, 0]).numpy()))
    values.add("probability_change", (clean.softmax(1) - changed.softmax(1)).abs().max().item())


def _pair_with_target(
    target: Tensor, *, before: np.ndarray, after: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Both maps beside the target on their grid, by the suffix of what is measured."""
    goal = np.broadcast_to(_bring_to_grid(target, before.shape[1:], "bilinear"), before.shape)
    return {"target": (after, goal), "target_before": (before, goal)}


def _add_measures(values: Values, name: str, moment: str, maps: np.ndarray, border: Tensor) -> None:
    """The share of a map's energy in the border, and its entropy."""
    mask = _bring_to_grid(border, maps.shape[1:], "nearest")[0]
    values.add(f"border_{moment}", similarity.energy_share(maps, mask), explanation=name)
    values.add(f"entropy_{moment}", similarity.entropy(maps), explanation=name)


def _add_alignment(values: Values, name: str, moment: str, maps: np.ndarray, human: np.ndarray) -> None:
    """Agreement with the human map, of the images that have one."""
    aligned = alignment.align(maps, human) if len(maps) else dict.fromkeys(ALIGNMENT, np.empty(0))
    for metric in ALIGNMENT:
        values.add(f"{metric}_{moment}", aligned[metric], explanation=name)


def _find_usable(victim: Victim) -> np.ndarray:
    """Which images have a human map that is not constant on the CAMs' grid, as in training; (n,) bool."""
    grid = victim.human_maps.new_empty(cam_grid(victim))
    return on_grid(victim.human_maps, victim.has_map, grid)[1].cpu().numpy()


def _cut_to_shown(target: Tensor, count: int) -> np.ndarray:
    """The target as a picture: one map as it is, of a map per image those that are shown."""
    return (target if target.ndim == 2 else target[:count]).float().cpu().numpy()


def _bring_to_grid(maps: Tensor, grid: tuple[int, ...], mode: str) -> np.ndarray:
    """(h, w) or (n, h, w) on another grid, (1 or n, *grid)."""
    stacked = maps.float().reshape(-1, 1, *maps.shape[-2:])
    return functional.interpolate(stacked, size=grid, mode=mode)[:, 0].cpu().numpy()
