"""Maps of both classes, by hand on tiny inputs, and the identities of a GAP and linear head."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.model.cam import diff_grad_cam, difference_salience, normalise, select


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


def test_diff_grad_cam_is_grad_cam_minus_the_weighted_others() -> None:
    features, weight, logits = head(4)
    cams = torch.einsum("ck,nkhw->nchw", weight, features).detach() / 12  # pre-ReLU Grad-CAM of each logit
    share = logits[:, 1:].softmax(1).detach()
    expected = cams[:, 0] - torch.einsum("nc,nchw->nhw", share, cams[:, 1:])
    found = diff_grad_cam(logits, features, torch.zeros(2, dtype=torch.long), relu=False)
    torch.testing.assert_close(found, expected)


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
