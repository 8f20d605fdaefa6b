"""The evidence loss: values by hand, what it sees and is blind to, and where its gradient goes."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms
from pipeline.model.losses.evidence import loss

LABELS = torch.tensor([0, 1, 1])
ALL = torch.ones(3, dtype=torch.bool)


def drawn(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random raw maps (3, 2, 4, 4) and human maps (3, 4, 4) that span [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    cams = torch.randn((3, 2, 4, 4), generator=generator, dtype=torch.float64)
    human = torch.rand((3, 4, 4), generator=generator, dtype=torch.float64)
    human[:, 0, 0], human[:, 3, 3] = 0, 1
    return cams, human


def from_difference(difference: Tensor) -> Tensor:
    """Maps (3, 2, h, w) by class whose difference, true minus false, is the given (3, h, w)."""
    abnormal = (LABELS == 1)[:, None, None]
    first = torch.where(abnormal, 0, difference)
    return torch.stack([first, difference - first], 1)


def terms(cams: Tensor, human: Tensor, has_map: Tensor = ALL, **chosen: Any) -> Terms:
    return loss(Outputs(cams.mean((2, 3)), cams, cams), LABELS, human, has_map, **chosen)


def guidance(difference: Tensor, human: Tensor) -> float:
    return terms(from_difference(difference), human).guidance.item()


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ([[3.0, 0.0], [0.0, 0.0]], 0.0),  # all where people looked
        ([[0.0, 0.0], [0.0, 3.0]], 1.0),  # all elsewhere
        ([[-3.0, 0.0], [0.0, 0.0]], 1.0),  # in place, and against the true class
        ([[3.0, 1.0], [0.0, 0.0]], 1 - (3 + 0.5) / 4),
        ([[3.0, -1.0], [-2.0, 2.0]], 1 - 3 / 8),
        ([[0.0, 0.0], [0.0, 0.0]], 1.0),
    ],
)
def test_values_by_hand(difference: list[list[float]], expected: float) -> None:
    human = torch.tensor([[1.0, 0.5], [0.0, 0.0]]).expand(3, 2, 2)
    assert guidance(torch.tensor(difference).expand(3, 2, 2), human) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_random_maps_against_the_formula(seed: int) -> None:
    cams, human = drawn(seed)
    found = []
    for sample, label in enumerate(LABELS.tolist()):
        difference = (cams[sample, label] - cams[sample, 1 - label]).numpy()
        in_place = (human[sample].numpy() * np.maximum(difference, 0)).sum()
        found.append(1 - in_place / (np.abs(difference).sum() + 1e-6))
    assert terms(cams, human).guidance.item() == pytest.approx(np.mean(found))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-2, 1e4))
def test_a_share_that_ignores_scale_and_what_both_maps_have(seed: int, scale: float) -> None:
    cams, human = drawn(seed)
    first = terms(cams, human).guidance.item()
    assert 0 <= first <= 1
    assert terms(scale * cams + drawn(seed + 1)[0][:, :1], human).guidance.item() == pytest.approx(
        first, rel=1e-4
    )


def test_it_sees_the_classes_scales_and_levels() -> None:
    cams, human = drawn()
    first = terms(cams, human).guidance.item()
    for other in (
        cams * torch.tensor([3.0, 0.5])[:, None, None],
        cams + torch.tensor([2.0, 0])[:, None, None],
    ):
        assert abs(terms(other, human).guidance.item() - first) > 1e-3


def test_misplaced_evidence_is_pushed_down_in_proportion_to_the_evidence_in_place() -> None:
    """By hand: l = 1 - A / T gives sizes of A / T^2 outside, whatever D is, and (T - A) / T^2 inside."""
    human = torch.zeros(3, 2, 2, dtype=torch.float64)
    human[:, 0, 0] = 1
    difference = torch.tensor([[3.0, 1.0], [0.1, -2.0]], dtype=torch.float64).expand(3, 2, 2)
    difference = difference.clone().requires_grad_()
    terms(from_difference(difference), human).guidance.backward()
    assert difference.grad is not None
    total = 6.1
    expected = torch.tensor([[-(total - 3), 3.0], [3.0, -3.0]], dtype=torch.float64) / total**2 / 3
    torch.testing.assert_close(difference.grad, expected.expand(3, 2, 2), rtol=1e-5, atol=0)


def test_no_evidence_at_all_gives_no_gradient_and_no_nan() -> None:
    difference = torch.zeros(3, 2, 2, requires_grad=True)
    terms(from_difference(difference), drawn()[1][:, :2, 2:].float()).guidance.backward()
    assert difference.grad is not None and torch.equal(difference.grad, torch.zeros(3, 2, 2))


def test_alpha_mixes_the_two_terms_and_only_annotated_samples_count() -> None:
    cams, human = drawn()
    found = terms(cams, human, torch.tensor([True, False, True]), alpha=0.1)
    assert found.total.item() == pytest.approx(
        0.1 * found.classification.item() + 0.9 * found.guidance.item()
    )
    alone = [terms(cams, human, torch.arange(3) == sample).guidance.item() for sample in (0, 2)]
    assert found.guidance.item() == pytest.approx(sum(alone) / 2)


def test_a_decision_by_the_bias_is_seen() -> None:
    """Maps that speak against the true class everywhere cost all, whatever bias outvotes them."""
    human = drawn()[1]
    against = from_difference(-human - 0.1)
    logits = against.mean((2, 3)) + torch.where(LABELS[:, None] == torch.arange(2), 100.0, 0.0)
    found = loss(Outputs(logits, against, against), LABELS, human, ALL)
    assert found.classification.item() < 1e-6 and found.guidance.item() == 1
