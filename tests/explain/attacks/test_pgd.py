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
ONES = torch.ones(N, dtype=torch.int64)


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
    victim = scored(score, images, ONES)._replace(batch_size=64)
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
    front = pgd.Front(scored(score, images, ONES)._replace(batch_size=64), "linf")
    seen.clear()
    front.push(0.01, steps, restarts=2)
    assert len(seen) == 2 * (steps + 1)  # a gradient for each step, and a last look, from each start


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    ("steps", "sizes"),
    [
        (1, [2]),
        (4, [2, 1.5, 1, 0.5]),
        (7, [2 * (7 - k) / 7 for k in range(7)]),
        (10, np.linspace(2, 0.2, 10)),
    ],
    ids=str,
)
def test_steps_fall_from_the_first_to_the_last_and_anew_from_each_start(
    monkeypatch: pytest.MonkeyPatch, norm: Norm, steps: int, sizes: list[float]
) -> None:
    """Also across the rounds of five after which broken images are left out."""
    taken: list[float] = []

    def ascent(
        objective: Any, images: Tensor, start: Tensor, *, steps: list[float], **_: Any
    ) -> list[Tensor]:
        taken.extend(steps)
        return [start]

    monkeypatch.setattr(pgd, "ascent", ascent)
    victim = scored(lambda x: x.mean((1, 2, 3)), torch.full((N, 1, 8, 8), 0.9), ONES)
    pgd.Front(victim._replace(batch_size=64), norm).push(0.02, steps, restarts=2)
    eps = 0.02 if norm == "linf" else 0.16
    assert taken == pytest.approx([eps * size for size in sizes] * 2)


def test_images_left_go_on_as_if_nobody_had_been_broken() -> None:
    """Whoever falls in the first round changes nothing for the others, whose later steps go on falling."""
    victim = tiny_victims.victim(24, batch_size=64)
    together, alone = pgd.Front(victim, "linf"), pgd.Front(victim, "linf")
    together.push(0.024, steps=12, restarts=2)
    stands = together.stands()
    alone.margins[~stands] = -1.0  # broken before the first step
    alone.push(0.024, steps=12, restarts=2)
    assert 4 < stands.sum() < 20
    torch.testing.assert_close(together.margins[stands], alone.margins[stands], rtol=1e-4, atol=1e-4)


def test_a_network_without_gradients_is_masked() -> None:
    """Small random changes do not move a rounded mean, and its slope is zero everywhere."""
    images = torch.full((N, 1, 8, 8), 0.7)
    victim = scored(lambda x: x.mean((1, 2, 3)).round() - 0.4 + 0 * x.sum(), images, ONES)
    found = pgd.attack(victim, linf=[0.05], l2=[]).values
    assert value(found, "accuracy_linf_unbounded") == value(found, "masking_linf") == 1


def checks(score: Any, eps: float, steps: int, level: float = 0.5) -> dict[str, float]:
    """Accuracies at eps under the attack and the two that check it, unbounded, and the verdict on masking.

    The score is of the mean of an image, less `level`, where it is clean, and in units of eps.
    """
    images = torch.full((N, 1, 32, 32), level)
    scaled = scored(lambda x: score((x.mean((1, 2, 3)) - level) / eps), images, ONES)
    found = pgd.attack(scaled, linf=[eps], l2=[], steps=steps, restarts=1).values
    last = found[found["budget"].ne(0) & found["metric"].ne("auroc_clean")]
    return dict(zip(last["metric"].str.removeprefix("accuracy_"), last["value"].astype(float), strict=True))


def test_more_effort_that_breaks_less_is_masking() -> None:
    """A pit at -1/3: three steps go 1, -1/3; six go 1, -2/3, where the slope leads to -1 and away from it."""

    def score(at: Tensor) -> Tensor:
        slopes = torch.where(at > -0.5, 1 + (at - 0.5).abs(), 2 + at)
        return torch.where((at + 1 / 3).abs() < 0.1, slopes - 9, slopes)

    found = checks(score, eps=0.08, steps=3)
    assert found["linf"] == found["linf_unbounded"] == 0
    assert found["linf_harder"] == found["masking_linf"] == 1 == -found["overstated_linf"]


def test_an_attack_that_is_too_short_is_noticed() -> None:
    """A pit at 1/2: two steps go 1, 0; four go 1, -1/2, 1/2."""
    found = checks(lambda at: (at - 0.5).abs() - 0.1, eps=0.08, steps=2)
    assert found["linf"] == found["masking_linf"] == found["overstated_linf"] == 1
    assert found["linf_harder"] == 0
    found = checks(lambda at: (at - 0.5).abs() - 0.1, eps=0.08, steps=4)
    assert found["linf"] == found["linf_harder"] == found["masking_linf"] == 0


def test_a_network_whose_slopes_are_zero_falls_to_a_search_without_them() -> None:
    """Noise breaks every image where any is allowed, which hides it there, and brightness within eps."""
    found = checks(lambda at: 0.6 + (10 * at).round() / 10 + 0 * at, eps=0.05, steps=20, level=0.7)
    assert found["linf"] == found["linf_harder"] == 1
    assert found["linf_blind"] == found["linf_unbounded"] == 0
    assert found["masking_linf"] == 1


def test_no_check_casts_doubt_on_a_plain_network() -> None:
    found = pgd.attack(tiny_victims.victim(24), linf=[0.024], l2=[]).values
    assert 0 < curve(found, "linf")[0.024] <= value(found, "accuracy_linf_blind")
    assert value(found, "masking_linf") == 0
    left, harder = (
        found.loc[found["metric"].eq(metric) & found["budget"].eq(0.024), "value"].item()
        for metric in ("accuracy_linf", "accuracy_linf_harder")
    )
    assert value(found, "overstated_linf") == pytest.approx(left - harder)


@pytest.mark.parametrize(
    ("left", "harder", "blind", "unbounded", "masked"),
    [
        (0.5, 0.5, 0.5, 0, False),
        (0.5, 0.41, 0.5, 0, False),
        (0.5, 0.59, 0.5, 0, False),
        (0.5, 0.39, 0.5, 0, True),
        (0.5, 0.61, 0.5, 0, True),
        (0.5, 0.5, 0.49, 0, True),
        (0.5, 0.5, 0.5, 0.01, True),
        (0, 0, 0, 0, False),
    ],
)
def test_what_tells_masked_gradients(
    left: float, harder: float, blind: float, unbounded: float, masked: bool
) -> None:
    assert pgd.is_masked(left, harder, blind, unbounded) == masked


def test_an_empty_list_skips_its_norm() -> None:
    found = pgd.attack(tiny_victims.victim(3), linf=[], l2=[0.02], steps=2).values
    assert set(found["metric"]) == {"auroc_clean", "accuracy_l2"}
