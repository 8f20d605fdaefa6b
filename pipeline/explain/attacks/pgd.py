"""Projected gradient descent (PGD): the accuracy that is left when every image may change by a budget.

After Madry et al., ICLR 2018, with the care that Carlini et al. (arXiv 1902.06705) ask for. The objective is
the negative true-class margin z_other - z_y, not cross-entropy: the gradient of that is the margin's times
1 - p_y, which rounds to zero where a network is sure, and sure networks would look robust. An image is broken
once its margin was not above 0 at any point visited: any iterate, any start, any smaller budget. The first
start of a budget is the worst point so far, at the smallest budget the clean image; the others are random. So
accuracy falls with the budget by construction. Broken images are not worked on again.

Steps fall, 2 eps (1 - k / steps): the first crosses the ball, the last are short. Steps of one size stop
short of the optimum (Croce and Hein, ICML 2020); their APGD, which shortens its steps as it sees fit, breaks
no more images than these with as many gradients. The schedule is this project's choice.

Three checks tell whether accuracy may be overstated, be it that the attack is too short or that gradients are
masked, so that a network only looks robust because they lead nowhere. At the middle budget twice the steps
and one start more must leave about as many images: if fewer stand, the attack had not arrived; if more do,
gradients mislead. There too a search without gradients must break no image that they leave. And the budget
that allows any image at all must leave none.
"""

import copy
import math
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pipeline.common.seeding import derive
from pipeline.explain.attacks import Findings, Values, Victim
from pipeline.model.cam import margin
from pipeline.model.inference import logit_differences
from pipeline.model.perturbations import Norm, ascent, random_start, square_search
from pipeline.score.metrics import auroc

TABLE = "robust_decisions"

CHECK_EVERY = 5  # steps between two looks at which images still stand
UNBOUNDED = 1.0  # the linf budget that allows any image
QUERIES = 200  # of the search without gradients: as costly as two to three starts of 20 steps
ABOUT = 0.1  # share of the images by which twice the effort may change accuracy


def attack(
    victim: Victim,
    *,
    linf: list[Annotated[float, Field(gt=0, le=1)]] = [0.5 / 255, 1 / 255, 2 / 255, 4 / 255, 8 / 255],  # noqa: B006
    l2: list[Annotated[float, Field(gt=0, le=1)]] = [0.5 / 255, 1 / 255, 2 / 255, 4 / 255, 8 / 255],  # noqa: B006
    steps: Annotated[int, Field(ge=1)] = 20,
    restarts: Annotated[int, Field(ge=1)] = 2,
) -> Findings:
    """Accuracy at each budget, 0 included, and whether gradients are masked; an empty list skips its norm.

    Budgets are shares of the range [0, 1]. `linf` bounds the largest change of a value, `l2` the root mean
    square over an image's values (C, S, S): the Euclidean norm over its largest value sqrt(C S S), 166 at
    3 x 96 x 96, so that a budget means the same at any size. The l2 ball holds the linf ball of the same
    budget. restarts: starts per budget.
    """
    values = Values()
    abnormal = logit_differences(victim.model, victim.images, victim.batch_size)
    values.add("auroc_clean", auroc(victim.labels.cpu().numpy(), abnormal.cpu().numpy()))
    if linf:
        front, budgets = Front(victim, "linf"), sorted(linf)
        before, after = _add_curve(values, front, budgets, steps, restarts)
        middle, blind = _take_middle(budgets), after.twin()
        before.push(middle, 2 * steps, restarts + 1)
        blind.search(middle, QUERIES)
        front.push(UNBOUNDED, 2 * steps, restarts + 1)
        values.add("accuracy_linf_harder", before.stands(), budget=middle)
        values.add("accuracy_linf_blind", blind.stands(), budget=middle)
        values.add("accuracy_linf_unbounded", front.stands())
        left = [float(tried.stands().double().mean()) for tried in (after, before, blind, front)]
        values.add("overstated_linf", left[0] - left[1])
        values.add("masking_linf", float(is_masked(*left)))
    if l2:
        _add_curve(values, Front(victim, "l2"), sorted(l2), steps, restarts)
    return Findings(values.table(), {})


class Front:
    """How far an attack has come: of every image the worst point visited and its true-class margin."""

    def __init__(self, victim: Victim, norm: Norm) -> None:
        self.victim, self.norm = victim, norm
        self.points = victim.images.clone()
        self.margins = victim.images.new_full((len(victim.images),), math.inf)
        with torch.no_grad():
            for rows in self._split_standing():
                self._make_objective(rows)(self.points[rows])

    def push(self, budget: float, steps: int, restarts: int) -> None:
        """Attack the images that stand, within `budget` and from `restarts` starts."""
        norm_of_one = 1 if self.norm == "linf" else math.sqrt(self.points[0].numel())
        for restart in range(restarts):
            eps = budget * norm_of_one
            starts = self.points if restart == 0 else self._draw_starts(eps, restart)
            for rows in self._split_standing():
                self._climb_from(rows, starts[rows], eps, steps)

    def search(self, budget: float, queries: int) -> None:
        """Try the images that stand, within `budget` (linf) and without any gradient."""
        for rows in self._split_standing():
            generator = torch.Generator().manual_seed(derive(self.victim.seed, "pgd", "search", str(budget)))
            images, objective = self.victim.images[rows], self._make_objective(rows)
            square_search(objective, images, eps=budget, queries=queries, generator=generator)

    def stands(self) -> Tensor:
        """Which images are right wherever they were tried, (n,) bool."""
        return self.margins > 0

    def twin(self) -> "Front":
        """A copy that goes its own way."""
        twin = copy.copy(self)
        twin.points, twin.margins = self.points.clone(), self.margins.clone()
        return twin

    def _split_standing(self) -> tuple[Tensor, ...]:
        """Rows of the images that stand; of none, no batch."""
        rows = self.stands().nonzero().flatten()
        return rows.split(self.victim.batch_size) if len(rows) else ()

    def _climb_from(self, rows: Tensor, points: Tensor, eps: float, steps: int) -> None:
        """Ascent from `points`; it remembers its step alone, and so goes on with the images that are left."""
        sizes = falling_steps(eps, steps)
        for done in range(0, steps, CHECK_EVERY):
            images, part = self.victim.images[rows], sizes[done : done + CHECK_EVERY]
            objective = self._make_objective(rows)
            *_, points = ascent(objective, images, points, eps=eps, steps=part, norm=self.norm)
            left = self.margins[rows] > 0
            rows, points = rows[left], points[left]
            if not len(rows):
                return
        with torch.no_grad():
            self._make_objective(rows)(points)

    def _make_objective(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """The negative margin at points of these rows, which remembers the worst points it is asked about."""
        labels = self.victim.labels[rows]

        def negative_margin(points: Tensor) -> Tensor:
            found = margin(self.victim.model(points).logits, labels)
            worse = found.detach() < self.margins[rows]
            self.margins[rows] = torch.where(worse, found.detach(), self.margins[rows])
            self.points[rows] = torch.where(worse[:, None, None, None], points.detach(), self.points[rows])
            return -found

        return negative_margin

    def _draw_starts(self, eps: float, restart: int) -> Tensor:
        """A random start for every image, standing or not: nobody's depends on who else is left."""
        device = self.victim.images.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(derive(self.victim.seed, "pgd", self.norm, str(eps), restart))
            return random_start(self.victim.images, eps, self.norm)


def falling_steps(eps: float, steps: int) -> list[float]:
    """Sizes 2 eps (1 - k / steps), k = 0, 1, ...: the first crosses the ball, the last fit its corners.

    >>> falling_steps(0.25, 4)
    [0.5, 0.375, 0.25, 0.125]
    """
    return [2 * eps * (1 - k / steps) for k in range(steps)]


def is_masked(left: float, harder: float, blind: float, unbounded: float) -> bool:
    """Whether an attack leaves a doubtful accuracy, from what the three that check it leave.

    >>> is_masked(0.5, harder=0.45, blind=0.5, unbounded=0)
    False
    """
    return abs(harder - left) > ABOUT or blind < left or unbounded > 0


def _add_curve(
    values: Values, front: Front, budgets: list[float], steps: int, restarts: int
) -> tuple[Front, Front]:
    """Add accuracy at 0 and at the rising budgets; returns the fronts before and after the middle one."""
    values.add(f"accuracy_{front.norm}", front.stands(), budget=0.0)
    middle = front.twin(), front.twin()
    for budget in budgets:
        before = front.twin()
        front.push(budget, steps, restarts)
        values.add(f"accuracy_{front.norm}", front.stands(), budget=budget)
        if budget == _take_middle(budgets):
            middle = before, front.twin()
    return middle


def _take_middle(budgets: list[float]) -> float:
    """Where enough images stand and fall for a stronger attack to show: the one in the middle of the list."""
    return budgets[len(budgets) // 2]
