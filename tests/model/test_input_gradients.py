"""Forwards beside the step's own: what they compute, and that the model does not notice."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.common import catalogue
from pipeline.model import CamClassifier, build
from pipeline.model.cam import margin
from pipeline.model.input_gradients import evaluating, input_gradient, unrecorded


def images(side: int = 16) -> Tensor:
    return torch.rand(4, 1, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


LABELS = torch.tensor([0, 1, 1, 0])


@pytest.fixture
def model() -> CamClassifier:
    torch.manual_seed(0)
    return build("compact", in_channels=1, activation={"name": "softplus", "beta": 5.0}).double().train()


def buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.named_buffers()}


def unchanged(model: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.named_buffers())


def test_every_modules_own_mode_comes_back(model: CamClassifier) -> None:
    model.features[1].eval()
    modes = [module.training for module in model.modules()]
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == modes


def test_unrecorded_forwards_use_the_batch_and_keep_nothing(model: CamClassifier) -> None:
    before = buffers(model)
    with pytest.raises(ZeroDivisionError), unrecorded(model):
        found = model(images()).logits
        assert unchanged(model, before)
        raise ZeroDivisionError
    torch.testing.assert_close(found, model(images()).logits)  # as in training mode
    assert not unchanged(model, before)  # and now it counts again


@pytest.mark.parametrize("training", [True, False])
def test_input_gradients_are_autograds(model: CamClassifier, training: bool) -> None:
    model.train(training)
    before = buffers(model)
    leaf, found = input_gradient(model, images(), lambda logits: margin(logits, LABELS))
    assert unchanged(model, before) and torch.equal(leaf, images())
    x = images().requires_grad_()
    (expected,) = torch.autograd.grad(margin(model(x).logits, LABELS).sum(), x)
    torch.testing.assert_close(found, expected)


def test_autocast_does_not_lower_their_precision(model: CamClassifier) -> None:
    model.float()
    _, expected = input_gradient(model, images().float(), lambda logits: logits[:, 0])
    with torch.autocast("cpu", torch.bfloat16):
        _, found = input_gradient(model, images().float(), lambda logits: logits[:, 0])
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def curvature(model: CamClassifier, native: bool) -> Tensor:
    """||H 1||^2 of the margins, through our batch normalisation or torch's."""
    if native:
        x = images().requires_grad_()
        (slope,) = torch.autograd.grad(margin(model(x).logits, LABELS).sum(), x, create_graph=True)
    else:
        x, slope = input_gradient(model, images(), lambda logits: margin(logits, LABELS))
    (along,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
    return along.square().sum()


@pytest.mark.parametrize("native", [False, True])
def test_the_gradient_of_a_curvature_is_right_where_torchs_own_is_not(
    model: CamClassifier, native: bool
) -> None:
    """If `native` ever passes, torch was mended and the composed normalisation can go."""
    parameters = list(model.features.parameters())
    ways = [torch.randn_like(value) * value.abs().mean() for value in parameters]
    gradients = torch.autograd.grad(curvature(model, native), parameters)
    found = sum((gradient * way).sum().item() for gradient, way in zip(gradients, ways, strict=True))
    step, around = 1e-6, []
    for side in (step, -2 * step):
        with torch.no_grad():
            for value, way in zip(parameters, ways, strict=True):
                value.add_(way, alpha=side)
        around.append(curvature(model, native).item())
    expected = (around[0] - around[1]) / (2 * step)
    assert (abs(found / expected - 1) < 1e-3) != native


@pytest.mark.parametrize("name", catalogue.names("model/backbones"))
def test_backbones_normalise_by_the_batch_alone(name: str) -> None:
    """Other normalisations have the same gap in their third derivative, and nothing here closes it."""
    with torch.device("meta"):
        kinds = {type(module) for module in build(name).modules()}
    assert {kind for kind in kinds if "Norm" in kind.__name__} == {nn.BatchNorm2d}
