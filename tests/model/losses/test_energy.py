"""The energy loss: values by hand, against a formula in numpy, and what it does not see."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.model.classifier import Outputs
from pipeline.model.losses.energy import loss

LABELS = torch.tensor([0, 1])
ALL = torch.ones(2, dtype=torch.bool)


def guidance(true_cam: Tensor, false_cam: Tensor, human: Tensor) -> Tensor:
    """Of maps (2, h, w) of the true and the false class; labels 0 and 1."""
    cams = torch.stack([torch.stack([true_cam[0], false_cam[0]]), torch.stack([false_cam[1], true_cam[1]])])
    return loss(Outputs(cams.mean((2, 3)), cams, cams), LABELS, human, ALL).guidance


@pytest.mark.parametrize(
    ("true_cam", "expected"),
    [
        ([[3.0, 0.0], [-9.0, 0.0]], 0.0),  # negative attribution outside is free
        ([[0.0, 0.0], [3.0, 0.0]], 1.0),
        ([[2.0, 1.0], [1.0, 0.0]], 1 - 2.5 / 4),
        ([[-1.0, -1.0], [-1.0, -2.0]], 1.0),
    ],
)
def test_values_by_hand(true_cam: list[list[float]], expected: float) -> None:
    human = torch.tensor([[1.0, 0.5], [0.0, 0.0]]).expand(2, 2, 2)
    own = torch.tensor(true_cam).expand(2, 2, 2)
    assert guidance(own, torch.randn(2, 2, 2), human).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_random_maps_against_the_formula(seed: int) -> None:
    generator = np.random.default_rng(seed)
    own, human = generator.normal(size=(2, 4, 4)), generator.random((2, 4, 4))
    human[:, 0, 0], human[:, 3, 3] = 0, 1
    positive = np.maximum(own, 0)
    expected = 1 - (human * positive).sum((1, 2)) / (positive.sum((1, 2)) + 1e-6)
    found = guidance(torch.from_numpy(own), torch.zeros(2, 4, 4), torch.from_numpy(human))
    assert found.item() == pytest.approx(expected.mean())


def test_the_false_map_has_no_gradient_and_a_map_positive_nowhere_none_either() -> None:
    human = torch.tensor([[1.0, 0.0], [0.2, 0.0]]).expand(2, 2, 2)
    own = torch.stack([torch.ones(2, 2), -torch.ones(2, 2)]).requires_grad_()
    other = torch.randn(2, 2, 2, requires_grad=True)
    guidance(own, other, human).backward()
    assert other.grad is not None and not other.grad.any()
    assert own.grad is not None and own.grad[0].any() and not own.grad[1].any()
