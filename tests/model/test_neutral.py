"""Filled images and features outside the region must decide nothing: by hand, and on planted networks."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.model import Outputs
from pipeline.model.batches import Batch
from pipeline.model.fills import blurred
from pipeline.model.regularisers import neutral, neutral_features
from pipeline.model.regularisers._regions import indifference, marked, owners

SIDE = 8
YES = torch.ones(4, dtype=torch.bool)
LABELS = torch.tensor([0, 1, 0, 1])


def scene(generator_seed: int = 0) -> Batch:
    """Grey images whose positives have a cause, above on the left, and a shortcut, below on the right."""
    generator = torch.Generator().manual_seed(generator_seed)
    labels = torch.arange(16) % 2
    images = 0.4 + 0.2 * torch.rand(16, 1, SIDE, SIDE, generator=generator)
    images[labels == 1, :, :2, :2] = 1
    images[labels == 1, :, 6:, 6:] = 1
    maps = torch.zeros(16, SIDE, SIDE)
    maps[:, :4, :4] = 1
    return Batch(images, labels, maps, torch.ones(16, dtype=torch.bool))


class Corner(nn.Module):
    """Logits of a network that looks at one corner only; its CAMs have four cells."""

    def __init__(self, cause: bool) -> None:
        super().__init__()
        self.cause, self.head = cause, nn.Linear(1, 2)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Outputs:
        corner = (images[:, 0, :2, :2] if self.cause else images[:, 0, 6:, 6:]).mean((1, 2))
        difference = 20 * (corner - 0.75)
        cams = torch.zeros(len(images), 2, 2, 2)
        cams[:, 1, *((0, 0) if self.cause else (1, 1))] = 4 * difference
        return Outputs(cams.mean((2, 3)), cams, cams)


@pytest.mark.parametrize("level", ["chance", "free"])
@pytest.mark.parametrize("member", [neutral, neutral_features])
def test_it_convicts_the_shortcut_and_clears_the_cause(member: Any, level: str) -> None:
    torch.manual_seed(0)
    seen, found = scene(), {}
    for cause in (True, False):
        model = Corner(cause)
        part = member.regulariser(level=level)
        found[cause] = part.penalty(model, seen, model(seen.images), torch.tensor(0.0)).item()
    assert found[False] > 1.5  # margins of about 5 on either side: ln cosh(2.5) = 1.8
    if member is neutral_features:
        assert found[True] == pytest.approx(0, abs=1e-6)
    elif level == "free":  # all say "no cause", and all the same up to the fills' brightness
        assert found[True] < 0.5 * found[False]


def test_indifference_by_hand() -> None:
    """u = z1 - z0 = 0, 2, -2, 4: ln cosh(u / 2) of each."""
    logits = torch.tensor([[1.0, 1.0], [0.0, 2.0], [1.0, -1.0], [0.0, 4.0]])
    each = [math.log(math.cosh(u / 2)) for u in (0, 2, -2, 4)]
    assert indifference(logits, LABELS, YES, "chance").item() == pytest.approx(sum(each) / 4)
    some = torch.tensor([True, False, False, True])
    assert indifference(logits, LABELS, some, "chance").item() == pytest.approx((each[0] + each[3]) / 2)
    # class means -1 and 3, midpoint 1: u becomes -1, 1, -3, 3
    free = [math.log(math.cosh(u / 2)) for u in (-1, 1, -3, 3)]
    assert indifference(logits, LABELS, YES, "free").item() == pytest.approx(sum(free) / 4)


def test_it_is_cross_entropy_to_one_half_less_its_least_value() -> None:
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    expected = nn.functional.cross_entropy(logits, torch.full((4, 2), 0.5)).item() - math.log(2)
    assert indifference(logits, LABELS, YES, "chance").item() == pytest.approx(expected, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(shift=st.floats(-50, 50), seed=st.integers(0, 1000))
def test_a_free_level_is_free_and_chance_is_not(shift: float, seed: int) -> None:
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    moved = logits + torch.tensor([0.0, shift])
    first, second = (indifference(each, LABELS, YES, "free").item() for each in (logits, moved))
    assert 0 <= first == pytest.approx(second, abs=1e-9)
    same = torch.zeros(4, 2, dtype=torch.float64) + torch.tensor([0.0, shift])
    assert indifference(same, LABELS, YES, "free").item() == pytest.approx(0, abs=1e-12)
    assert (indifference(same, LABELS, YES, "chance").item() > 1e-6) == (abs(shift) > 0.003)


@pytest.mark.parametrize("level", ["chance", "free"])
def test_what_is_not_usable_or_alone_in_its_class_adds_nothing(level: str) -> None:
    logits = torch.full((4, 2), 3.0).mul_(torch.tensor([1.0, -1.0])).requires_grad_()
    none = indifference(logits, LABELS, ~YES, level)  # type: ignore[arg-type]
    none.backward()
    assert none.item() == 0 and logits.grad is not None and not logits.grad.any()
    lone = indifference(logits, LABELS, LABELS == 1, level).item()  # type: ignore[arg-type]
    assert (lone == 0) == (level == "free")


def test_owners_are_marked_positives_each_with_the_same_chance() -> None:
    labels = torch.tensor([0, 1, 1, 1, 1, 0])
    maps = torch.ones(6, 2, 2)
    maps[3] = 0  # annotated, and nothing is marked
    seen = Batch(torch.rand(6, 1, 2, 2), labels, maps, torch.tensor([True, True, False, True, True, False]))
    assert marked(seen).tolist() == [True, True, False, False, True, False]
    torch.manual_seed(0)
    drawn = []
    for _ in range(2000):
        owner, usable = owners(seen)
        assert owner[1:5].tolist() == [1, 2, 3, 4]
        assert usable.tolist() == [True, True, False, False, True, True]
        drawn.append(owner[[0, 5]])
    lent = torch.stack(drawn)
    assert set(lent.flatten().tolist()) == {1, 4}
    assert ((lent == 1).float().mean(0) - 0.5).abs().max() < 0.04
    assert (lent[:, 0] == lent[:, 1]).float().mean().item() == pytest.approx(0.5, abs=0.04)


def test_where_no_positive_is_marked_nobody_is_given_a_region() -> None:
    seen = Batch(torch.rand(4, 1, 2, 2), LABELS, torch.ones(4, 2, 2), LABELS == 0)
    assert not owners(seen)[1].any()


def test_the_four_fills_by_hand() -> None:
    images = torch.rand(400, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(400) % 2
    torch.manual_seed(0)
    found = neutral.fillings(images, labels)
    flat = found.flatten(1)
    blur = torch.isclose(flat, blurred(images).flatten(1)).all(1)
    mean = torch.isclose(flat, images.mean((1, 2, 3))[:, None]).all(1)
    match = (flat[:, None] == images.flatten(1)[None]).all(2)
    swapped = match.any(1)
    assert (labels[match.int().argmax(1)[swapped]] == 0).all()  # pixels of negatives alone
    noise = ~(blur | mean | swapped)
    assert ((flat[noise] >= 0) & (flat[noise] <= 1)).all() and flat[noise].std() > 0.25
    for kind in (blur, mean, swapped, noise):
        assert kind.float().mean().item() == pytest.approx(0.25, abs=0.06)
    assert (blur.int() + mean.int() + swapped.int() == 1).sum() == (~noise).sum()


def test_only_the_region_is_filled() -> None:
    seen, shown = scene(), []

    class Shown(Corner):
        def forward(self, images: Tensor) -> Outputs:
            shown.append(images)
            return super().forward(images)

    neutral.regulariser().penalty(Shown(True), seen, None, torch.tensor(0.0))  # type: ignore[arg-type]
    inside = seen.maps[0] > 0
    same = (shown[0] == seen.images)[:, 0]
    assert same[:, ~inside].all() and not same[:, inside].all(1).any()


def test_features_outside_by_hand() -> None:
    """A region of one cell and half of another: of CAMs 1, 2, 3, 4 that leaves (2 / 2 + 3 + 4) / 2.5."""
    maps = torch.zeros(2, 4, 4)
    maps[1, :2, :2] = 1
    maps[1, 0, 2:] = 1
    seen = Batch(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]), maps, torch.tensor([False, True]))
    cams = torch.zeros(2, 2, 2, 2)
    cams[:, 1] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    model = Corner(True)
    model.head.bias.data = torch.tensor([0.0, 0.5])
    outputs = Outputs(cams.mean((2, 3)), cams, cams)
    part = neutral_features.regulariser(weight=2.0)
    found = part.penalty(model, seen, outputs, torch.tensor(0.0)).item()  # type: ignore[arg-type]
    assert found == pytest.approx(2 * math.log(math.cosh((8 / 2.5 + 0.5) / 2)), rel=1e-5)


def test_a_region_that_is_the_whole_image_demands_nothing_of_features() -> None:
    seen = Batch(torch.rand(4, 1, 4, 4), LABELS, torch.ones(4, 4, 4), YES)
    cams = torch.randn(4, 2, 2, 2, requires_grad=True)
    outputs = Outputs(cams.mean((2, 3)), cams, cams)
    model: Any = Corner(True)
    found = neutral_features.regulariser().penalty(model, seen, outputs, torch.tensor(0.0))
    found.backward()
    assert found.item() == 0 and cams.grad is not None and not cams.grad.any()
