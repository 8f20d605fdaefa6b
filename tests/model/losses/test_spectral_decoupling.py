"""Spectral decoupling by hand, and the finite logits at which it rests."""

import math

import pytest
import torch
from scipy.optimize import brentq

from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms
from pipeline.model.losses.spectral_decoupling import loss


def terms(logits: torch.Tensor, weight: float) -> Terms:
    count = len(logits)
    nothing = torch.zeros(count, 1, 1, 1)
    no_map = torch.zeros(count, dtype=torch.bool)
    return loss(
        Outputs(logits, nothing, nothing), torch.arange(count) % 2, nothing[:, 0], no_map, weight=weight
    )


def test_by_hand() -> None:
    found = terms(torch.tensor([[3.0, 1.0], [2.0, 2.0]]), weight=0.5)
    classification = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    assert found.classification.item() == pytest.approx(classification)
    assert found.total.item() == pytest.approx(classification + 0.25 * (4 + 0) / 2)
    assert found.guidance.item() == 0


def test_weight_zero_is_cross_entropy_and_what_both_logits_share_is_free() -> None:
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    plain = terms(logits, 0.0)
    assert torch.equal(plain.total, plain.classification)
    torch.testing.assert_close(terms(logits + 7, 0.3).total, terms(logits, 0.3).total)


@pytest.mark.parametrize("weight", [0.01, 0.1, 1.0])
def test_the_best_margin_is_finite_and_solves_its_equation(weight: float) -> None:
    """Of a positive: 1 / (1 + exp(u)) = weight * u."""
    margin = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([margin], max_iter=100, tolerance_grad=1e-12)

    def step() -> float:
        optimizer.zero_grad()
        both = torch.stack([torch.stack([margin[0], -margin[0]]), torch.stack([-margin[0], margin[0]])]) / 2
        total = terms(both, weight).total
        total.backward()
        return total.item()

    optimizer.step(step)
    expected = brentq(lambda u: 1 / (1 + math.exp(u)) - weight * u, 0, 50)
    assert margin.item() == pytest.approx(expected, rel=1e-5)
