"""PGD: linear networks by hand, a plain network falls, captum is not stronger, masking is noticed."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_victims
import torch
from captum.robust import PGD
from torch import Tensor, nn

from pipeline.explain.attacks import Victim, pgd
from pipeline.model.cam import margin
from pipeline.model.perturbations import Norm

N = 6


def curve(table: pd.DataFrame, norm: Norm) -> dict[float, float]:
    rows = table[table["metric"] == f"accuracy_{norm}"]
    return dict(zip(rows["budget"], rows["value"], strict=True))


def value(table: pd.DataFrame, metric: str) -> float:
    return table.loc[table["metric"] == metric, "value"].item()


def scored(score: Any, images: Tensor, labels: Tensor) -> Victim:
    return tiny_victims.victim(N, model=tiny_victims.Scored(score), images=images, labels=labels)


def linear(scale: float) -> tuple[Victim, Tensor]:
    """A linear score with |w|_1 = 1, and the images' margins over `scale`: -0.02, 0.01, 0.03, ..., 0.09."""
    weight = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    weight /= weight.abs().sum()
    wanted = torch.tensor([-0.02, 0.01, 0.03, 0.05, 0.07, 0.09])
    labels = torch.arange(N) % 2
    score = wanted * (2 * labels - 1)
    images = 0.5 + score[:, None, None, None] * weight / weight.square().sum()
    victim = scored(lambda x: scale * ((x - 0.5) * weight).sum((1, 2, 3)), images, labels)
    assert images.min() > 0.1 and images.max() < 0.9
    return victim, weight


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_linear_networks_break_where_the_dual_norm_says(scale: float) -> None:
    """linf moves the score by eps |w|_1 and l2 by eps |w|_2 sqrt(64), however sure the network is."""
    victim, weight = linear(scale)
    budgets = [0.02, 0.04, 0.06, 0.08]
    longest = float(weight.norm() * 8)
    found = pgd.attack(victim, linf=budgets, l2=[budget / longest for budget in budgets], restarts=1).values
    by_hand = [5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    for norm in ("linf", "l2"):
        assert list(curve(found, norm).values()) == pytest.approx(by_hand)
    assert value(found, "auroc_clean") == pytest.approx(8 / 9)


def test_a_plain_network_falls() -> None:
    found = pgd.attack(tiny_victims.victim(), linf=[0.0471], l2=[0.0471], restarts=1).values
    for norm in ("linf", "l2"):
        clean, attacked = curve(found, norm).values()
        assert clean > 0.9 and attacked == 0
    assert value(found, "accuracy_linf_unbounded") == value(found, "masking_linf") == 0


def test_curves_fall_and_l2_holds_the_linf_ball() -> None:
    budgets = [0.031, 0.012, 0.02]  # in any order
    found = pgd.attack(tiny_victims.victim(), linf=budgets, l2=budgets).values
    linf, l2 = curve(found, "linf"), curve(found, "l2")
    assert list(linf) == list(l2) == [0, *sorted(budgets)]
    assert (np.diff([*linf.values()]) <= 0).all() and (np.diff([*l2.values()]) <= 0).all()
    assert all(l2[budget] <= linf[budget] for budget in linf)
    assert 0 < linf[0.031] < 1


def test_captum_breaks_no_more_images() -> None:
    victim, eps = tiny_victims.victim(), 0.0314
    images = victim.images.clone().requires_grad_()
    loss = nn.CrossEntropyLoss(reduction="none")
    climb = PGD(lambda x: victim.model(x).logits, loss, lower_bound=0, upper_bound=1)
    with pytest.warns(UserWarning, match="Input Tensor"):
        points = climb.perturb(images, radius=eps, step_size=eps / 8, step_num=20, target=victim.labels)
    theirs = (margin(victim.model(points).logits, victim.labels) > 0).float().mean()
    ours = curve(pgd.attack(victim, linf=[eps], l2=[]).values, "linf")[eps]
    assert 0 < ours <= theirs < 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_worst_points_are_in_the_ball_and_have_the_margin_kept(norm: Norm) -> None:
    victim = tiny_victims.victim()
    front = pgd.Front(victim, norm)
    front.push(0.02, steps=6, restarts=2)
    change = front.points - victim.images
    size = change.abs().amax((1, 2, 3)) if norm == "linf" else change.square().mean((1, 2, 3)).sqrt()
    assert size.max() <= 0.02 + 1e-6 and front.points.min() >= 0 and front.points.max() <= 1
    again = margin(victim.model(front.points).logits, victim.labels).detach()
    torch.testing.assert_close(front.margins, again, rtol=1e-4, atol=1e-4)
    clean = margin(victim.model(victim.images).logits, victim.labels)
    assert (front.margins < clean).all()


def test_images_do_not_depend_on_their_batch_and_global_randomness_is_left_alone() -> None:
    tables = []
    for batch_size in (5, 64):
        torch.manual_seed(batch_size)
        before = torch.get_rng_state()
        tables.append(pgd.attack(tiny_victims.victim(batch_size=batch_size), linf=[0.02], l2=[0.02]).values)
        assert torch.equal(torch.get_rng_state(), before)
    pd.testing.assert_frame_equal(*tables)


def test_images_that_are_broken_are_not_looked_at_again() -> None:
    seen = []

    def score(images: Tensor) -> Tensor:
        seen.append(len(images))
        return (images - 0.5).mean((1, 2, 3))

    levels = torch.tensor([0.4, 0.49, 0.501, 0.501, 0.501, 0.9])  # wrong twice, then near, then far
    images = levels[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    victim = scored(score, images, torch.ones(N, dtype=torch.int64))._replace(batch_size=64)
    found = pgd.attack(victim, linf=[0.01, 0.02], l2=[], steps=10, restarts=1).values
    assert list(curve(found, "linf").values()) == pytest.approx([4 / 6, 1 / 6, 1 / 6])
    assert seen[:8] == [6, 6, 4, 4, 4, 4, 4, 1]  # AUROC, clean, one round of five steps, the one that stands
    assert set(seen[8:]) == {1}


@pytest.mark.parametrize("steps", [1, 5, 7, 10])
def test_an_image_that_stands_is_stepped_on_as_often_as_asked(steps: int) -> None:
    seen = []

    def score(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.mean((1, 2, 3))

    images = torch.full((N, 1, 8, 8), 0.9)
    front = pgd.Front(scored(score, images, torch.ones(N, dtype=torch.int64))._replace(batch_size=64), "linf")
    seen.clear()
    front.push(0.01, steps, restarts=2)
    assert len(seen) == 2 * (steps + 1)  # a gradient for each step, and a last look, from each start


def test_a_network_without_gradients_is_masked() -> None:
    """Small random changes do not move a rounded mean, and its slope is zero everywhere."""
    images = torch.full((N, 1, 8, 8), 0.7)
    victim = scored(lambda x: x.mean((1, 2, 3)).round() - 0.4 + 0 * x.sum(), images, torch.ones(N).long())
    found = pgd.attack(victim, linf=[0.05], l2=[]).values
    assert value(found, "accuracy_linf_unbounded") == value(found, "masking_linf") == 1


def test_more_effort_that_breaks_less_is_masking() -> None:
    """A wall at 0.9 of the first step: steps of that size jump over it, steps of half the size turn back."""
    eps, steps = 0.08, 10
    step = pgd.REACH * eps / steps

    def score(images: Tensor) -> Tensor:
        moved = (images.mean((1, 2, 3)) - 0.5) / step
        return torch.where(moved < 0.9, 1 + (moved - 0.25).abs(), -moved)

    victim = scored(score, torch.full((N, 1, 32, 32), 0.5), torch.ones(N).long())
    found = pgd.attack(victim, linf=[eps], l2=[], steps=steps, restarts=1).values
    assert curve(found, "linf") == {0: 1, eps: 0}
    assert value(found, "accuracy_linf_unbounded") == 0
    assert value(found, "masking_linf") == 1


def test_an_empty_list_skips_its_norm() -> None:
    found = pgd.attack(tiny_victims.victim(3), linf=[], l2=[0.02], steps=2).values
    assert set(found["metric"]) == {"auroc_clean", "accuracy_l2"}
