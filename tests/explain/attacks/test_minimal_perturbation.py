"""Smallest perturbations: linear networks by hand, SciPy's optimum, PGD's curve, goals, unbroken images."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_victims
import torch
from scipy.optimize import minimize
from torch import Tensor

from pipeline.explain.attacks import Victim, minimal_perturbation, pgd
from pipeline.explain.attacks.minimal_perturbation import Pace, radii, rms, walk
from pipeline.model.inference import logit_differences

PACE = Pace(steps=100, length=0.5, momentum=0.9)


def value(table: pd.DataFrame, metric: str) -> float:
    return table.loc[table["metric"] == metric, "value"].item()


def curve(table: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
    rows = table[table["metric"] == metric]
    return rows["budget"].to_numpy(), rows["value"].to_numpy()


def scored(score: Any, images: Tensor, labels: Tensor) -> Victim:
    found = tiny_victims.victim(len(images), model=tiny_victims.Scored(score), images=images, labels=labels)
    return found._replace(shown=0)


def linear(wanted: list[float], labels: Tensor, scale: float = 1.0) -> Victim:
    """A linear score; image i is right by scale * wanted[i], which is its distance from the border in RMS."""
    weight = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    weight /= weight.norm()
    away = torch.tensor(wanted) * (2 * labels - 1)
    images = 0.5 + 8 * away[:, None, None, None] * weight
    assert images.min() > 0.1 and images.max() < 0.9
    return scored(lambda x: scale / 8 * ((x - 0.5) * weight).sum((1, 2, 3)), images, labels)


@pytest.mark.parametrize("scale", [1.0, 1e5])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_radii_of_linear_networks_are_their_distances(scale: float, momentum: float) -> None:
    wanted = [-0.03, 0.002, 0.01, 0.03, 0.05, 0.1]
    victim = linear(wanted, torch.arange(6) % 2, scale)
    found, unbroken = radii(victim, 0.0, PACE._replace(momentum=momentum))
    np.testing.assert_allclose(found, np.maximum(wanted, 0), rtol=0.01, atol=1e-4)
    assert (found >= np.maximum(wanted, 0) - 1e-6).all() and not unbroken.any()


def test_the_nearest_point_is_the_one_that_scipy_finds() -> None:
    """The border is an ellipse around an image that is right inside: two pixels, no straight way."""

    def score(values: Any) -> Any:
        return 0.04 - (values[..., 0] - 0.5) ** 2 - 3 * (values[..., 1] - 0.5) ** 2

    starts = torch.tensor([[0.55, 0.52], [0.4, 0.51], [0.5, 0.56], [0.35, 0.47]])
    victim = scored(lambda x: score(x[:, 0, 0]), starts[:, None, None], torch.ones(4).long())
    found, _ = radii(victim, 0.0, PACE)
    for radius, start in zip(found, starts.numpy().astype(float), strict=True):
        border = {"type": "eq", "fun": score}
        optima = [
            minimize(
                lambda x, start=start: ((x - start) ** 2).mean(), start + guess, constraints=border, tol=1e-12
            )
            for guess in 0.1 * np.array([[0, 1], [0, -1], [1, 0], [-1, 0]])
        ]
        best = math.sqrt(min(optimum.fun for optimum in optima))
        assert best - 1e-6 <= radius <= 1.02 * best


def test_curve_and_area_by_hand() -> None:
    victim = linear([-0.01, 0.02, 0.04, 0.06], torch.tensor([0, 1, 1, 0]))
    found = minimal_perturbation.attack(victim).values
    assert value(found, "accuracy_clean") == 0.75
    assert value(found, "auroc_clean") == 1  # label 0: 0.01, -0.06, label 1: 0.02, 0.04
    budgets, shares = curve(found, "accuracy_attack")
    assert len(budgets) == 41 and budgets[0] == 0 and budgets[-1] == 0.5
    expected = [(np.array([0.0201, 0.0401, 0.0601]) > budget).sum() / 4 for budget in budgets]
    np.testing.assert_allclose(shares, expected)
    assert value(found, "ara_attack") == pytest.approx(0.02 * 0.25, rel=0.02)
    assert value(found, "radius_median") == pytest.approx(0.03, rel=0.02)
    assert value(found, "unbroken") == 0


def test_btr_is_met_once_the_decision_is_no_better_than_the_majority() -> None:
    """Three of four are abnormal: chance is 0.75, so a margin of ln 3 is no better than chance."""
    labels = torch.tensor([0, 1, 1, 1])
    victim = linear([0.02, 0.02, 0.04, 0.06], labels, scale=math.log(3) / 0.015)
    found = minimal_perturbation.attack(victim)
    distances, _ = radii(victim, math.log(3), PACE)
    np.testing.assert_allclose(distances, [0.005, 0.005, 0.025, 0.045], rtol=0.02)
    assert value(found.values, "ara_btr") == pytest.approx(0.25 * 0.005, rel=0.02)
    _, attacked = curve(found.values, "accuracy_attack")
    _, btr = curve(found.values, "accuracy_btr")
    assert (btr <= attacked).all() and (btr < attacked).any()


def test_one_label_only() -> None:
    """Always naming it is perfect, so that nothing is better than chance."""
    found = minimal_perturbation.attack(linear([0.02, 0.05], torch.ones(2).long())).values
    assert value(found, "ara_attack") == value(found, "ara_btr") == 0
    assert math.isnan(value(found, "auroc_clean"))
    assert curve(found, "accuracy_btr")[1].max() == 0


@pytest.mark.parametrize(("labels", "walks"), [([0, 1, 1, 0], 1), ([0, 1, 1, 1], 2)])
def test_equal_goals_are_walked_to_once(labels: list[int], walks: int) -> None:
    victim = linear([0.02] * 4, torch.tensor(labels))
    calls = []
    model = tiny_victims.Scored(lambda x: (calls.append(1), victim.model.score(x))[1])
    minimal_perturbation.attack(victim._replace(model=model, batch_size=4), steps=10)
    clean_and_empty_pictures = 1 + 3 + 2 * 36
    assert len(calls) == walks * 11 + clean_and_empty_pictures


def test_unbroken_images_count_with_the_largest_perturbation_tried() -> None:
    victim = scored(lambda x: 10 + x.mean((1, 2, 3)), torch.full((2, 1, 4, 4), 0.5), torch.ones(2).long())
    found, unbroken = radii(victim, 0.0, Pace(50, 0.2, 0.0))
    assert unbroken.all()
    np.testing.assert_allclose(found, 0.2, rtol=1e-5)  # straight on: the whole length
    values = minimal_perturbation.attack(victim, steps=50, max_rms=0.2, momentum=0.0).values
    assert value(values, "unbroken") == 1 and curve(values, "accuracy_attack")[1][-2] == 1


def test_the_walk_stays_an_image_and_its_steps_add_up_to_its_length() -> None:
    victim = tiny_victims.victim(4)
    changes = on_and_on(victim, Pace(5, 0.1, 0.0))
    sizes = torch.stack([rms(change).flatten() for change in changes])
    assert len(sizes) == 6 and (sizes[0] == 0).all() and sizes.max() <= 0.1
    torch.testing.assert_close(sizes[1], torch.full((4,), 0.1 * 2 * 5 / 30), rtol=1e-3, atol=0)
    points = torch.stack([victim.images + change for change in on_and_on(victim, Pace(5, 3.0, 0.0))])
    assert points.min() == 0 and points.max() == 1


def on_and_on(victim: Victim, pace: Pace) -> list[Tensor]:
    """The changes of a walk that never turns."""
    never = torch.zeros(len(victim.images), dtype=torch.bool)
    steps = walk(victim.model, victim.images, victim.labels, lambda *_: never, pace)
    return [change for change, _ in steps]


def test_pgd_draws_nearly_the_same_curve() -> None:
    """Two ways to attack the same images within an RMS: at most one image in twelve apart."""
    victim, budgets = tiny_victims.victim(), [0.006, 0.009, 0.014]
    found, _ = radii(victim, 0.0, PACE)
    theirs = pgd.attack(victim, linf=[], l2=budgets, restarts=1).values
    _, shares = curve(theirs, "accuracy_l2")
    ours = [(found > budget).mean() for budget in (0.0, *budgets)]
    np.testing.assert_allclose(ours, shares, atol=1.01 / 12)
    assert 0 < ours[-1] < ours[1] < 1


def test_adversarial_explanations_go_to_their_class() -> None:
    victim = tiny_victims.victim(6, shown=4)
    pictures = minimal_perturbation.attack(victim, steps=2, explain_rms=0.05).pictures
    clean = logit_differences(victim.model, victim.images[:4], 4).numpy()
    np.testing.assert_allclose(pictures["logit_difference"], clean, rtol=1e-4)
    for towards, sign in ((0, -1), (1, 1)):
        after = pictures[f"logit_difference_towards_{towards}"]
        assert (sign * (after - clean) > 0).all() and (sign * after > 0).all()
        shown = pictures[f"towards_{towards}"]
        assert shown.shape == (4, 1, 32, 32) and shown.dtype == np.uint8
        change = torch.from_numpy(shown).float() / 255 - victim.images[:4]
        torch.testing.assert_close(rms(change).flatten(), torch.full((4,), 0.05), rtol=0.2, atol=0)


def test_images_do_not_depend_on_their_batch_and_global_randomness_is_left_alone() -> None:
    before = torch.get_rng_state()
    tables = [
        minimal_perturbation.attack(tiny_victims.victim(batch_size=size), steps=20).values for size in (5, 64)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    pd.testing.assert_frame_equal(*tables, rtol=1e-2)
