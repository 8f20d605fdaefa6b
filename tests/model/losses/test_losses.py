"""What each loss is blind to and what it sees: values by hand, and the table of properties."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.common import catalogue
from pipeline.model.cam import normalise
from pipeline.model.classifier import Outputs
from pipeline.model.losses import Terms

GUIDED = ["cyborg", "true_false", "difference_salience", "divergence"]
LABELS = torch.tensor([0, 1, 1])


def outputs(cams: Tensor) -> Outputs:
    return Outputs(cams.mean((2, 3)), torch.zeros(len(cams), 1, 1, 1), cams)


def maps(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random raw maps (3, 2, 4, 4) and soft human maps (3, 4, 4) that span [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    cams = torch.randn((3, 2, 4, 4), generator=generator, dtype=torch.float64)
    return cams, normalise(torch.rand((3, 4, 4), generator=generator, dtype=torch.float64))


def terms(name: str, cams: Tensor, human: Tensor, **settings: Any) -> Terms:
    loss = catalogue.get("model/losses", name)
    result: Terms = loss(outputs(cams), LABELS, human, torch.ones(3, dtype=torch.bool), **settings)
    return result


def guidance(name: str, cams: Tensor, human: Tensor, **settings: Any) -> float:
    return terms(name, cams, human, **settings).guidance.item()


def from_both(true_cam: Tensor, false_cam: Tensor) -> Tensor:
    """Maps (3, 2, h, w) by class from maps by truth."""
    abnormal = (LABELS == 1)[:, None, None]
    first, second = torch.where(abnormal, false_cam, true_cam), torch.where(abnormal, true_cam, false_cam)
    return torch.stack([first, second], 1)


def changed(name: str, cams: Tensor, human: Tensor, other: Tensor, other_human: Tensor) -> bool:
    return abs(guidance(name, cams, human) - guidance(name, other, other_human)) > 1e-9


@pytest.mark.parametrize("name", GUIDED)
def test_level_and_common_scale_do_not_matter(name: str) -> None:
    cams, human = maps()
    levels = torch.tensor([3.0, -40.0])[None, :, None, None]
    assert not changed(name, cams, human, 2.5 * cams + levels, human)


@pytest.mark.parametrize("name", GUIDED)
def test_only_difference_salience_sees_the_classes_scales(name: str) -> None:
    cams, human = maps()
    scales = torch.tensor([3.0, 0.5])[None, :, None, None]
    assert changed(name, cams, human, cams * scales, human) == (name == "difference_salience")


@pytest.mark.parametrize("name", GUIDED)
def test_only_difference_salience_is_blind_to_a_map_added_to_both_classes(name: str) -> None:
    cams, human = maps()
    shared = maps(1)[0][:, :1]
    assert changed(name, cams, human, cams + shared, human) == (name != "difference_salience")


@pytest.mark.parametrize("name", GUIDED)
def test_exchanging_the_classes_and_inverting_the_map(name: str) -> None:
    cams, human = maps()
    symmetric = name in ("true_false", "difference_salience")
    assert changed(name, cams, human, cams.flip(1), 1 - human) != symmetric


@pytest.mark.parametrize("name", GUIDED)
@pytest.mark.parametrize("seed", range(5))
def test_guidance_lies_between_zero_and_one(name: str, seed: int) -> None:
    cams, human = maps(seed)
    assert 0 < guidance(name, 100 * cams, human) < 1
    worst = from_both(-human, human)
    assert guidance(name, worst, human) <= 1


@pytest.mark.parametrize("name", GUIDED)
@pytest.mark.parametrize("soft", [True, False])
def test_perfect_maps_cost_nothing_except_divergence_on_soft_maps(name: str, soft: bool) -> None:
    human = maps()[1] if soft else (maps()[1] > 0.5).double()
    perfect = from_both(2 * human + 1, -0.3 * human + 5)
    assert (guidance(name, perfect, human) < 1e-12) == (name != "divergence" or not soft)


@pytest.mark.parametrize("name", ["true_false", "difference_salience"])
def test_opposite_maps_make_it_cyborg(name: str) -> None:
    cam, human = maps()[0][:, 0], maps()[1]
    opposite = from_both(cam, -cam)
    assert guidance(name, opposite, human) == pytest.approx(guidance("cyborg", opposite, human))


def test_divergence_on_opposite_maps() -> None:
    cam, human = maps()[0][:, 0], maps()[1]
    opposite = from_both(cam, -cam)
    inside = (human * normalise(cam)).sum((1, 2)) / human.sum((1, 2))
    expected = (guidance("cyborg", opposite, human) + (1 - inside).mean().item()) / 2
    assert guidance("divergence", opposite, human) == pytest.approx(expected)


HAND = {  # P = [[0, .5], [1, 0]], Q = [[1, 0], [0, .5]], N(D) = [[0, .75], [1, .25]], H = [[0, 0], [1, 1]]
    "cyborg": (0.25 + 1) / 4,
    "true_false": ((0.25 + 1) / 4 + (1 + 0.25) / 4) / 2,
    "difference_salience": (0.5625 + 0.5625) / 4,
    "divergence": ((0.25 + 1) / 4 + (1 - (1 - 0.5) / 2) / 2) / 2,
}


@pytest.mark.parametrize("name", GUIDED)
def test_values_by_hand(name: str) -> None:
    true_cam = torch.tensor([[[0.0, 1.0], [2.0, 0.0]]]).expand(3, 2, 2)
    false_cam = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]).expand(3, 2, 2)
    human = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]).expand(3, 2, 2)
    assert guidance(name, from_both(true_cam, false_cam), human) == pytest.approx(HAND[name])


def by_numpy(name: str, cams: np.ndarray, human: np.ndarray) -> float:
    """The formulas of the files' heads, sample by sample and cell by cell."""

    def scaled(values: np.ndarray) -> np.ndarray:
        return (values - values.min()) / (values.max() - values.min())

    found = []
    for sample, label in enumerate(LABELS.tolist()):
        own, other, drawn = cams[sample, label], cams[sample, 1 - label], human[sample]
        true_map, false_map = scaled(own), scaled(other)
        copied = ((true_map - drawn) ** 2).mean()
        inside = (drawn * (true_map - false_map)).sum() / drawn.sum()
        found.append({
            "cyborg": copied,
            "true_false": (copied + ((false_map - 1 + drawn) ** 2).mean()) / 2,
            "difference_salience": ((scaled(own - other) - drawn) ** 2).mean(),
            "divergence": (copied + (1 - inside) / 2) / 2,
        }[name])  # fmt: skip
    return float(np.mean(found))


@pytest.mark.parametrize("name", GUIDED)
@pytest.mark.parametrize("seed", range(3))
def test_random_maps_against_the_formulas(name: str, seed: int) -> None:
    cams, human = maps(seed)
    assert guidance(name, cams, human) == pytest.approx(by_numpy(name, cams.numpy(), human.numpy()))


@pytest.mark.parametrize("name", GUIDED)
def test_a_human_map_of_one_cell_against_the_formulas(name: str) -> None:
    cams, human = maps(3)[0], torch.zeros(3, 4, 4, dtype=torch.float64)
    human[:, 1, 2] = 1
    assert guidance(name, cams, human) == pytest.approx(by_numpy(name, cams.numpy(), human.numpy()))


def test_cyborg_can_follow_the_predicted_class() -> None:
    cams, human = maps()
    predicted = cams.mean((2, 3)).argmax(1)
    assert not torch.equal(predicted, LABELS)
    chosen = normalise(cams[torch.arange(3), predicted])
    expected = (chosen - human).square().mean().item()
    assert guidance("cyborg", cams, human, cam_class="pred") == pytest.approx(expected)


def test_alpha_mixes_the_two_terms() -> None:
    cams, human = maps()
    found = terms("true_false", cams, human, alpha=0.3)
    assert found.total.item() == pytest.approx(
        0.3 * found.classification.item() + 0.7 * found.guidance.item()
    )


def test_cyborg_looks_aligned_by_a_shift_that_softmax_cannot_see() -> None:
    """Passive fooling: with frozen features only a direction added to both head rows is learned."""
    generator = torch.Generator().manual_seed(3)
    features = torch.rand((3, 8, 4, 4), generator=generator, dtype=torch.float64)
    weight = torch.randn((2, 8), generator=generator, dtype=torch.float64)
    human = maps()[1]

    def after(name: str) -> tuple[float, float]:
        shift = torch.zeros(8, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([shift], 0.1)
        losses = []
        for _ in range(40):
            cams = torch.einsum("ck,nkhw->nchw", weight + shift, features)
            optimizer.zero_grad()
            found = terms(name, cams, human)
            found.guidance.backward()
            optimizer.step()
            losses.append(found.guidance.item())
        return losses[0], losses[-1]

    first, last = after("cyborg")
    assert last < 0.8 * first
    first, last = after("difference_salience")
    assert last == pytest.approx(first, abs=1e-12)


@pytest.mark.parametrize("name", [*GUIDED, "cross_entropy"])
def test_which_losses_leave_the_sum_of_the_head_rows_alone(name: str) -> None:
    """After one SGD step without decay, only losses that see the difference alone keep W_0 + W_1."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand((3, 8, 4, 4), generator=generator, dtype=torch.float64)
    weight = torch.randn((2, 8), generator=generator, dtype=torch.float64, requires_grad=True)
    terms(name, torch.einsum("ck,nkhw->nchw", weight, features), maps()[1]).total.backward()
    assert weight.grad is not None
    unchanged = weight.grad.sum(0).abs().max().item() < 1e-12
    assert unchanged == (name in ("cross_entropy", "difference_salience"))
