"""Perturbations stay in their ball and in the image, and climb as captum's do."""

import itertools
from typing import Any

import pytest
import torch
from captum.robust import PGD
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.model.perturbations import (
    Norm,
    ascent,
    lengths,
    project,
    random_start,
    square_search,
    with_gradient,
)

SEEDS = st.integers(0, 10_000)
BUDGETS = st.floats(0, 2)
NORMS = st.sampled_from(["linf", "l2"])


def uniform(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape or (3, 2, 4, 4), generator=torch.Generator().manual_seed(seed)).double()


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 2))
    return layers.double()


def inside(points: Tensor, images: Tensor, eps: float, norm: Norm) -> bool:
    change = points - images
    reach = change.abs().max() if norm == "linf" else lengths(change).max()
    return bool(reach <= eps + 1e-9 and points.min() >= 0 and points.max() <= 1)


def test_projection_by_hand() -> None:
    images = torch.tensor([[[[0.5, 0.5]]], [[[0.5, 0.9]]]])
    away = images + torch.tensor([[[[3.0, -4.0]]], [[[0.03, 0.04]]]])
    expected = torch.tensor([[[[0.7, 0.3]]], [[[0.53, 0.94]]]])
    torch.testing.assert_close(project(away, images, 0.2, "linf"), expected)
    expected = torch.tensor([[[[0.56, 0.42]]], [[[0.53, 0.94]]]])  # 0.1 * (3, -4) / 5; inside: as it was
    torch.testing.assert_close(project(away, images, 0.1, "l2"), expected)
    torch.testing.assert_close(project(away, images, 100.0, "l2")[0], torch.tensor([[[1.0, 0.0]]]))


@settings(deadline=None, max_examples=40)
@given(SEEDS, BUDGETS, NORMS)
def test_projections_are_in_the_ball_and_stay_where_they_are(seed: int, eps: float, norm: Norm) -> None:
    images = uniform(seed)
    once = project(images + 3 * uniform(seed + 1) - 1.5, images, eps, norm)
    assert inside(once, images, eps, norm)
    torch.testing.assert_close(project(once, images, eps, norm), once)
    assert torch.equal(project(images, images, eps, norm), images)


@settings(deadline=None, max_examples=40)
@given(SEEDS, BUDGETS, NORMS)
def test_random_starts_are_in_the_ball(seed: int, eps: float, norm: Norm) -> None:
    images = uniform(seed)
    assert inside(random_start(images, eps, norm), images, eps, norm)


def test_random_starts_fill_their_ball() -> None:
    torch.manual_seed(0)
    images = torch.full((4000, 1, 2, 2), 0.5)
    box = random_start(images, 0.3, "linf") - images
    assert box.abs().max() > 0.299 and box.mean().abs() < 0.005
    torch.testing.assert_close(box.std(), torch.tensor(0.6 / 12**0.5), rtol=0.02, atol=0)
    radii = lengths(random_start(images, 0.3, "l2") - images).flatten()
    torch.testing.assert_close(
        radii.quantile(torch.tensor([0.25, 0.5])), torch.tensor([0.075, 0.15]), rtol=0.05, atol=0
    )


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.floats(0.001, 1), st.floats(0.001, 0.5), NORMS)
def test_iterates_stay_in_the_ball(seed: int, eps: float, step: float, norm: Norm) -> None:
    images, model = uniform(seed), network()
    found = list(ascent(lambda x: model(x)[:, 0], images, images, eps=eps, steps=[step] * 4, norm=norm))
    assert len(found) == 4
    assert all(inside(point, images, eps, norm) and not point.requires_grad for point in found)


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not")  # what captum does to its input
@pytest.mark.parametrize("eps", [0.01, 0.1])
def test_captum_climbs_to_the_same_points(eps: float) -> None:
    images, labels, model = uniform(1), torch.tensor([0, 1, 1]), network()
    loss = nn.CrossEntropyLoss(reduction="none")
    theirs = PGD(model, loss, lower_bound=0, upper_bound=1).perturb(
        images, radius=eps, step_size=eps / 3, step_num=7, target=labels
    )
    *_, ours = ascent(
        lambda x: loss(model(x), labels), images, images, eps=eps, steps=[eps / 3] * 7, norm="linf"
    )
    torch.testing.assert_close(ours, theirs)
    assert (loss(model(ours), labels) > loss(model(images), labels)).all()


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not")  # what captum does to its input
def test_captum_projects_onto_the_same_l2_ball() -> None:
    """captum steps along the sign in every norm, so only one step's projection can be compared."""
    images, labels, model = uniform(2), torch.tensor([0, 1, 1]), network()
    loss = nn.CrossEntropyLoss(reduction="none")
    theirs = PGD(model, loss, lower_bound=0, upper_bound=1).perturb(
        images, radius=0.3, step_size=0.2, step_num=1, target=labels, norm="L2"
    )
    _, slope = with_gradient(lambda x: loss(model(x), labels), images)
    stepped = images + 0.2 * slope.sign()
    torch.testing.assert_close(project(stepped, images, 0.3, "l2"), theirs, rtol=1e-5, atol=1e-6)


def test_l2_finds_the_best_point_of_a_linear_objective() -> None:
    weight = torch.tensor([[[[3.0, -4.0]]]])
    images = torch.full((2, 1, 1, 2), 0.5)
    *_, found = ascent(
        lambda x: (x * weight).sum((1, 2, 3)), images, images, eps=0.1, steps=[0.05] * 5, norm="l2"
    )
    torch.testing.assert_close(found, images + torch.tensor([[[[0.06, -0.08]]]]))


def test_steps_have_their_sizes_in_turn() -> None:
    """Downhill in the first value, uphill in the second; l2's steps are shared out as 3 to 4."""
    images, weight = torch.full((2, 1, 1, 2), 0.5), torch.tensor([[[[-3.0, 4.0]]]])
    sizes = [0.2, 0.1, 0.05]
    for norm, share in (("linf", torch.tensor([-1.0, 1.0])), ("l2", torch.tensor([-0.6, 0.8]))):
        found = ascent(
            lambda x: (x * weight).sum((1, 2, 3)), images, images, eps=1.0, steps=iter(sizes), norm=norm
        )
        for point, moved in zip(found, [0.2, 0.3, 0.35], strict=True):
            torch.testing.assert_close(point, images + moved * share)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_a_slope_a_point_stays(norm: Norm) -> None:
    images = uniform(3)
    (found,) = ascent(lambda x: 0 * x.sum((1, 2, 3)), images, images, eps=0.1, steps=[0.1], norm=norm)
    assert torch.equal(found, images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_images_do_not_depend_on_their_batch(norm: Norm) -> None:
    images, model = uniform(4), network()
    together, alone = (
        [*ascent(lambda x: model(x)[:, 0], part, part, eps=0.2, steps=[0.1] * 5, norm=norm)][-1]
        for part in (images, images[1:2])
    )
    torch.testing.assert_close(together[1:2], alone)


def searched(images: Tensor, objective: Any, queries: int, eps: float = 0.1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return square_search(objective, images, eps=eps, queries=queries, generator=generator)


def test_a_search_without_slopes_by_hand() -> None:
    """The first square is the image, one sign per channel; what does not raise the objective is not kept."""
    images, asked = torch.full((2, 2, 3, 3), 0.05), []
    wanted = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])

    def objective(points: Tensor) -> Tensor:
        asked.append(points)
        return (points.mean((2, 3)) * wanted).sum(1)

    for seed in range(8):
        asked.clear()
        found = searched(images, objective, 1, seed=seed)
        assert len(asked) == 2 and torch.equal(asked[0], images)
        tried = asked[1][0].mean((1, 2))  # 0.15 up, 0 down: there is nothing below black
        torch.testing.assert_close(asked[1], tried[None, :, None, None].expand(2, 2, 3, 3))
        assert set(tried.round(decimals=4).tolist()) <= {torch.tensor(0.15).item(), 0.0}
        rises = ((tried - 0.05) * wanted).sum(1) > 0
        torch.testing.assert_close(found, torch.where(rises[:, None, None, None], asked[1], images))


def test_squares_shrink_and_the_search_ends_near_the_best_point() -> None:
    images, weight, changed = torch.full((1, 1, 16, 16), 0.5), torch.ones(16, 16), []
    weight[:, 8:] = -1

    def objective(points: Tensor) -> Tensor:
        changed.append(points - images)
        return (points * weight).mean((1, 2, 3))

    found = searched(images, objective, 300)
    assert (found - images).abs().max() <= 0.1 + 1e-6
    assert objective(found) > 0.85 * 0.1
    single = [searched(images, lambda x: x.sum((1, 2, 3)), queries) for queries in range(1, 6)]
    assert all((a <= b).all() for a, b in itertools.pairwise(single))


def test_everyone_is_offered_the_same_squares_whoever_is_there() -> None:
    images, model = uniform(6), network()
    together = searched(images, lambda x: model(x)[:, 0], 50)
    assert (model(together)[:, 0] > model(images)[:, 0]).all()
    alone = searched(images[1:2], lambda x: model(x)[:, 0], 50)
    torch.testing.assert_close(together[1:2], alone)
    assert inside(together, images, 0.1, "linf")


def test_nothing_is_left_on_the_model_or_the_images() -> None:
    images, model = uniform(5), network()
    with torch.no_grad():
        list(ascent(lambda x: model(x)[:, 0], images, images, eps=0.1, steps=[0.1, 0.1], norm="linf"))
    assert all(value.grad is None and value.requires_grad for value in model.parameters())
    assert not images.requires_grad and images.grad is None
