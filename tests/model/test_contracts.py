"""Promises that every backbone and every loss must keep; a new file in a catalogue is found by itself."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.common import catalogue
from pipeline.model import CamClassifier, Outputs, build, load, save

BACKBONES = catalogue.names("model/backbones")
LOSSES = catalogue.names("model/losses")
N = 4


@pytest.fixture(scope="module", params=BACKBONES)
def grey(request: pytest.FixtureRequest) -> CamClassifier:
    torch.manual_seed(0)
    return build(request.param, in_channels=1)


def images(channels: int = 1, side: int = 64) -> Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(1))


def test_mean_of_the_map_plus_bias_is_the_logit(grey: CamClassifier) -> None:
    with torch.no_grad():
        found = grey.eval()(images())
        pooled = torch.nn.functional.linear(found.features.mean((2, 3)), grey.head.weight, grey.head.bias)
    assert found.cams.shape[:2] == (2, 2) and found.cams.shape[2:] == found.features.shape[2:]
    torch.testing.assert_close(found.cams.mean((2, 3)) + grey.head.bias, found.logits)
    torch.testing.assert_close(found.logits, pooled, rtol=1e-4, atol=1e-4)


def test_one_forward_per_step(grey: CamClassifier) -> None:
    before = {name: value.clone() for name, value in grey.named_buffers() if "num_batches" in name}
    assert before
    grey.train()(images())
    after = dict(grey.named_buffers())
    assert {int(after[name] - value) for name, value in before.items()} == {1}


def test_guidance_alone_reaches_every_weight_that_the_maps_depend_on(grey: CamClassifier) -> None:
    torch.manual_seed(0)  # stochastic depth must not drop a block for the whole batch
    outputs = grey.train()(images().repeat(2, 1, 1, 1))
    human = torch.rand(4, 64, 64, generator=torch.Generator().manual_seed(2))
    loss = catalogue.get("model/losses", "true_false")
    grey.zero_grad()
    loss(outputs, torch.tensor([0, 1, 1, 0]), human, ALL, alpha=0.0).total.backward()
    silent = [name for name, value in grey.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == ["head.bias"]


def test_saving_and_loading_keeps_every_bit(grey: CamClassifier, tmp_path: Any) -> None:
    save(grey, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    ours, theirs = grey.state_dict(), again.state_dict()
    assert (again.backbone, again.in_channels, again.training) == (grey.backbone, 1, False)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", BACKBONES)
def test_colour_gives_the_grid_that_the_design_names(name: str) -> None:
    side = 96 if name == "compact" else 224
    with torch.device("meta"):
        found = build(name, in_channels=3).features.eval()(torch.rand(1, 3, side, side))
    assert found.shape[2:] == ((12, 12) if name == "compact" else (7, 7))


def outputs(dtype: torch.dtype = torch.float64) -> Outputs:
    generator = torch.Generator().manual_seed(4)
    cams = torch.randn((N, 2, 3, 3), generator=generator, dtype=dtype)
    return Outputs(cams.mean((2, 3)), cams.new_zeros(N, 1, 3, 3), cams)


LABELS = torch.tensor([0, 1, 1, 0])
HUMAN = torch.rand((N, 6, 6), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
ALL = torch.ones(N, dtype=torch.bool)


def total(
    name: str, found: Outputs, human: Tensor = HUMAN, has_map: Tensor = ALL, alpha: float = 0.5
) -> Tensor:
    terms = catalogue.get("model/losses", name)(found, LABELS, human, has_map, alpha=alpha)
    assert all(term.shape == () for term in terms)
    return terms.total


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_right(name: str) -> None:
    def through(cams: Tensor) -> Tensor:
        return total(name, Outputs(cams.mean((2, 3)), cams, cams))

    assert torch.autograd.gradcheck(through, outputs().cams.requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_order_of_samples_does_not_matter(name: str) -> None:
    order = torch.tensor([2, 0, 3, 1])
    found, has_map = outputs(), torch.tensor([True, False, True, True])
    loss = catalogue.get("model/losses", name)
    moved = Outputs(*(value[order] for value in found))
    first = loss(found, LABELS, HUMAN, has_map, alpha=0.5)
    second = loss(moved, LABELS[order], HUMAN[order], has_map[order], alpha=0.5)
    torch.testing.assert_close(torch.stack(first), torch.stack(second))


@pytest.mark.parametrize("name", LOSSES)
def test_alpha_one_is_cross_entropy(name: str) -> None:
    found = outputs()
    expected = torch.nn.functional.cross_entropy(found.logits, LABELS)
    torch.testing.assert_close(total(name, found, alpha=1.0), expected)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("cams", ["flat", "one class flat", "one-hot"])
@pytest.mark.parametrize("human", ["flat", "one-hot"])
def test_degenerate_maps_give_finite_values_and_gradients(name: str, cams: str, human: str) -> None:
    values = outputs().cams
    values[:, 0] = 0
    if cams != "one class flat":
        values[:, 1] = 0
    if cams == "one-hot":
        values[:, :, 1, 1] = 1
    values.requires_grad_()
    drawn = torch.full_like(HUMAN, 0.7)
    if human == "one-hot":
        drawn[:, 0, 0] = 1
    found = total(name, Outputs(values.mean((2, 3)), values, values), drawn)
    found.backward()
    assert found.isfinite() and values.grad is not None and values.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_samples_without_a_map_add_nothing(name: str) -> None:
    has_map = torch.tensor([True, False, False, True])
    other = HUMAN.clone()
    other[1:3] = torch.rand(2, 6, 6, dtype=torch.float64)
    loss = catalogue.get("model/losses", name)
    found = loss(outputs(), LABELS, HUMAN, has_map, alpha=0.5)
    assert torch.equal(found.total, loss(outputs(), LABELS, other, has_map, alpha=0.5).total)
    annotated = Outputs(*(value[has_map] for value in outputs()))
    alone = loss(annotated, LABELS[has_map], HUMAN[has_map], has_map[has_map], alpha=0.5)
    torch.testing.assert_close(found.guidance, alone.guidance)
    assert loss(outputs(), LABELS, HUMAN, ~ALL, alpha=0.5).guidance == 0


@pytest.mark.parametrize("name", LOSSES)
def test_guidance_lies_between_zero_and_one(name: str) -> None:
    loss = catalogue.get("model/losses", name)
    worst = Outputs(outputs().logits, outputs().features, outputs().cams * 100)
    assert 0 <= loss(worst, LABELS, HUMAN, ALL, alpha=0.5).guidance <= 1


@pytest.mark.parametrize("name", LOSSES)
def test_float32_under_autocast_and_modes_are_left_alone(name: str) -> None:
    torch.manual_seed(0)
    model = build("compact", in_channels=1).train()
    model.features[1].eval()
    modes = [module.training for module in model.modules()]
    human = HUMAN.float()[:2]
    with torch.autocast("cpu", torch.bfloat16):
        found = model(images())
        loss = catalogue.get("model/losses", name)
        terms = loss(found, LABELS[:2], human, ALL[:2], alpha=0.5)
    assert found.features.dtype == torch.bfloat16
    assert {found.cams.dtype, found.logits.dtype, *(term.dtype for term in terms)} == {torch.float32}
    terms.total.backward()
    assert [module.training for module in model.modules()] == modes
