"""Maps of both classes, by hand on tiny inputs, and the identities of a GAP and linear head."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.model.cam import (
    Baseline,
    diff_grad_cam,
    difference_salience,
    grad_cam,
    grad_cam_pp,
    margin,
    normalise,
    select,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_select_takes_the_true_and_the_other_class() -> None:
    cams = torch.arange(8.0).reshape(2, 2, 1, 2)
    true_cam, false_cam = select(cams, torch.tensor([0, 1]))
    assert true_cam.tolist() == [[[0, 1]], [[6, 7]]]
    assert false_cam.tolist() == [[[2, 3]], [[4, 5]]]


def test_difference_salience_changes_sign_with_the_label() -> None:
    cams = draw(3, 2, 4, 4)
    ones = torch.ones(3, dtype=torch.long)
    assert torch.equal(difference_salience(cams, ones), cams[:, 1] - cams[:, 0])
    assert torch.equal(difference_salience(cams, ones - 1), -difference_salience(cams, ones))


def test_normalise_by_hand() -> None:
    assert normalise(torch.tensor([[[-1.0, 0.0], [1.0, 3.0]]])).tolist() == [[[0, 0.25], [0.5, 1]]]


def test_normalise_of_a_one_hot_map_is_the_map() -> None:
    one_hot = torch.zeros(1, 3, 3)
    one_hot[0, 1, 2] = 1
    assert torch.equal(normalise(one_hot * 7 - 2), one_hot)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-100, 100))
def test_normalise_forgets_scale_and_level_and_mirrors_sign(seed: int, scale: float, level: float) -> None:
    maps = draw(2, 3, 4, seed=seed)
    torch.testing.assert_close(normalise(scale * maps + level), normalise(maps))
    torch.testing.assert_close(normalise(-maps), 1 - normalise(maps))
    assert normalise(maps).amin() == 0 and normalise(maps).amax() == 1


@pytest.mark.parametrize("value", [0.0, 3.5, -1e9])
def test_a_flat_map_is_zeros_with_zero_gradient(value: float) -> None:
    maps = torch.full((1, 3, 3), value, requires_grad=True)
    normalise(maps).square().sum().backward()
    assert not normalise(maps).any()
    assert maps.grad is not None and not maps.grad.any()


def test_gradient_flows_through_minimum_and_maximum() -> None:
    maps = draw(2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(normalise, maps)


def head(classes: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features (2, 5, 3, 4) with a graph, weights (classes, 5), logits."""
    features = draw(2, 5, 3, 4, seed=seed).relu().requires_grad_()
    weight = draw(classes, 5, seed=seed + 1)
    return features, weight, features.mean((2, 3)) @ weight.T


def test_diff_grad_cam_of_two_classes_is_the_positive_difference() -> None:
    features, weight, logits = head(2)
    classes = torch.tensor([0, 1])
    cams = torch.einsum("ck,nkhw->nchw", weight, features)
    for baseline in ("lse", "mean", "max"):
        found = diff_grad_cam(logits, features, classes, baseline=baseline)
        torch.testing.assert_close(found, (difference_salience(cams, classes) / 12).relu().detach())


def deep(classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (2, 5, 3, 4) and logits (2, classes) that are far from linear in them."""
    features = draw(2, 5, 3, 4, seed=seed).relu().requires_grad_()
    hidden = torch.einsum("nkhw,kd->ndhw", features, draw(5, 6, seed=seed + 1)).tanh()
    return features, hidden.square().mean((2, 3)) @ draw(6, classes, seed=seed + 2)


def test_grad_cam_of_a_logit_is_the_cam_over_the_cells() -> None:
    features, weight, logits = head(3)
    cams = torch.einsum("ck,nkhw->nchw", weight, features).detach()
    torch.testing.assert_close(grad_cam(logits[:, 1], features), cams[:, 1] / 12)


@pytest.mark.parametrize(("baseline", "expected"), [("lse", 1 - 2.6931472), ("mean", -1.0), ("max", -1.0)])
def test_margin_by_hand(baseline: Baseline, expected: float) -> None:
    """The log-sum-exp of 2 and 2 is 2 + ln 2."""
    found = margin(torch.tensor([[2.0, 1.0, 2.0]]), torch.tensor([1]), baseline)
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_margin_is_the_log_odds() -> None:
    _, logits = deep(4)
    classes = torch.tensor([3, 0])
    own = logits.softmax(1).gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(margin(logits, classes), (own / (1 - own)).log())


@pytest.mark.parametrize("make", [deep, lambda classes: head(classes)[::2]])
def test_diff_grad_cam_is_grad_cam_minus_the_others_by_their_share(make: Callable) -> None:
    features, logits = make(4)
    maps = torch.stack([grad_cam(logits[:, c], features) for c in range(4)], 1)
    share = logits[:, 1:].softmax(1).detach()
    expected = maps[:, 0] - torch.einsum("nc,nchw->nhw", share, maps[:, 1:])
    found = diff_grad_cam(logits, features, torch.zeros(2, dtype=torch.long), relu=False)
    torch.testing.assert_close(found, expected)


def test_max_and_mean_take_the_strongest_and_all_others_alike() -> None:
    features, logits = deep(4)
    classes = torch.tensor([0, 0])
    maps = torch.stack([grad_cam(logits[:, c], features) for c in range(4)], 1)
    strongest = maps[torch.arange(2), 1 + logits[:, 1:].argmax(1)]
    found = diff_grad_cam(logits, features, classes, baseline="max", relu=False)
    torch.testing.assert_close(found, maps[:, 0] - strongest)
    found = diff_grad_cam(logits, features, classes, baseline="mean", relu=False)
    torch.testing.assert_close(found, maps[:, 0] - maps[:, 1:].mean(1))


@pytest.mark.parametrize("classes", [2, 4])
def test_grad_cam_of_the_probability_is_diff_grad_cam_with_a_vanishing_scale(classes: int) -> None:
    features, logits = deep(classes)
    labels = torch.ones(2, dtype=torch.long)
    probability = logits.softmax(1)[:, 1]
    own = probability.detach()[:, None, None]
    difference = diff_grad_cam(logits, features, labels, relu=False)
    torch.testing.assert_close(grad_cam(probability.log(), features), (1 - own) * difference)
    torch.testing.assert_close(grad_cam(probability, features), own * (1 - own) * difference)


def by_the_paper(scores: Tensor, features: Tensor) -> Tensor:
    """Grad-CAM++ cell by cell from the first three derivatives of exp(s), for s linear in the features."""
    (gradient,) = torch.autograd.grad(scores.sum(), features, retain_graph=True)
    maps = torch.zeros_like(features[:, 0])
    for n, k in np.ndindex(*features.shape[:2]):
        g, cells, y = gradient[n, k], features[n, k].detach(), scores[n].detach().exp()
        second, third = y * g**2, y * g**3
        bottom = 2 * second + cells.sum() * third
        alpha = torch.where(second > 0, second / torch.where(second > 0, bottom, 1), 0)
        maps[n] += (alpha * (y * g).relu()).sum() * cells / y
    return maps.relu()


def test_grad_cam_pp_against_the_formula_of_the_paper() -> None:
    features, _, logits = head(3)
    torch.testing.assert_close(grad_cam_pp(logits[:, 2], features), by_the_paper(logits[:, 2], features))
    scores = (features * draw(2, 5, 3, 4, seed=7)).sum((1, 2, 3))  # gradients differ from cell to cell
    torch.testing.assert_close(grad_cam_pp(scores, features), by_the_paper(scores, features))


def test_grad_cam_pp_has_no_epsilon_that_swallows_small_gradients() -> None:
    """The smaller the gradients, the nearer each weight is to half their positive sum."""
    features, weight, logits = head(2)
    expected = torch.einsum("k,nkhw->nhw", weight[0].relu() / 2, features).detach()
    torch.testing.assert_close(grad_cam_pp(1e-9 * logits[:, 0], features) * 1e9, expected)


def test_maps_from_gradients_are_detached_and_keep_the_graph() -> None:
    features, _, logits = head(3)
    classes = logits.argmax(1)
    maps = [
        grad_cam(logits[:, 0], features),
        grad_cam_pp(logits[:, 0], features),
        diff_grad_cam(logits, features, classes),
    ]
    assert not any(found.requires_grad for found in maps)
    logits.sum().backward()
    assert features.grad is not None and features.grad.any()


def test_diff_grad_cam_is_blind_to_what_all_logits_share() -> None:
    features, _, logits = head(3)
    shared = features.square().mean((1, 2, 3))[:, None]
    classes = logits.argmax(1)
    torch.testing.assert_close(
        diff_grad_cam(logits + shared, features, classes), diff_grad_cam(logits, features, classes)
    )


def test_diff_grad_cam_explains_the_predicted_class_by_default() -> None:
    features, _, logits = head(3)
    assert torch.equal(diff_grad_cam(logits, features), diff_grad_cam(logits, features, logits.argmax(1)))
