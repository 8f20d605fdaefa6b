"""Promises that every explanation must keep; a new file in the catalogue is found by itself."""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.explain.explanations import CATALOGUE, explain
from pipeline.model import CamClassifier, build
from pipeline.model.activations import swap

NAMES = catalogue.names(CATALOGUE)
CLASSES = torch.tensor([0, 1, 1])


def declared(name: str, constant: str) -> Any:
    return catalogue.declared(CATALOGUE, name, constant)


DIFFERENTIABLE = [name for name in NAMES if declared(name, "DIFFERENTIABLE")]


def draw(channels: int = 1, side: int = 32, seed: int = 1) -> Tensor:
    return torch.rand(3, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def compact() -> CamClassifier:
    torch.manual_seed(0)
    return build("compact", in_channels=1).eval()


@pytest.fixture
def smooth(compact: CamClassifier) -> CamClassifier:
    """In float64, for finite differences."""
    swap(compact, lambda: nn.Softplus(beta=5))
    return compact.double()


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps or samples for explanations that see an image more than once."""
    for setting in ("steps", "samples"):
        change_default(monkeypatch, setting, 2)


def change_default(monkeypatch: pytest.MonkeyPatch, setting: str, value: Any) -> None:
    for name in NAMES:
        defaults = catalogue.get(CATALOGUE, name).__kwdefaults__ or {}
        if setting in defaults:
            monkeypatch.setitem(defaults, setting, value)


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_is_of_both_classes_and_of_one(name: str) -> None:
    pair = declared(name, "PAIR")
    assert pair is None or (pair in NAMES and declared(pair, "PAIR") is None)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("backbone", catalogue.names("model/backbones"))
def test_every_backbone_has_every_explanation(backbone: str, channels: int, few_steps: None) -> None:
    torch.manual_seed(0)
    model = build(backbone, channels).eval().to(memory_format=torch.channels_last)
    images = draw(channels, side=64)[:2].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        grid = model(images[:1]).features.shape[2:]
    for name in NAMES:
        maps = explain(name, model, images, CLASSES[:2])
        assert maps.shape in ((2, *grid), (2, 64, 64)), name
        assert maps.isfinite().all() and not maps.requires_grad, name
        assert declared(name, "SIGNED") or maps.amin() >= 0, name
        assert maps.shape[1:] == grid or (maps.amax((1, 2)) > 0).all(), name


@pytest.mark.parametrize("name", NAMES)
def test_signed_maps_are_negative_somewhere(name: str, compact: CamClassifier, few_steps: None) -> None:
    assert (explain(name, compact, draw(), CLASSES).amin() < 0) == declared(name, "SIGNED")


@pytest.mark.parametrize("name", NAMES)
def test_memory_layout_does_not_matter(name: str, few_steps: None) -> None:
    torch.manual_seed(0)
    model = build("compact").eval()
    maps = explain(name, model, draw(3), CLASSES)
    model.to(memory_format=torch.channels_last)
    strided = explain(name, model, draw(3).contiguous(memory_format=torch.channels_last), CLASSES)
    torch.testing.assert_close(strided, maps, rtol=1e-3, atol=1e-5 * float(maps.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_classes_differ_and_batches_do_not(
    name: str, compact: CamClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_default(monkeypatch, "noise", 0.0)  # which hangs on the place in the batch
    maps = explain(name, compact, draw(), CLASSES)
    torch.testing.assert_close(explain(name, compact, draw(), CLASSES, batch_size=2), maps)
    assert not torch.allclose(maps, explain(name, compact, draw(), 1 - CLASSES))


def test_an_unknown_name_gets_the_nearest(compact: CamClassifier) -> None:
    with pytest.raises(UserError, match="did you mean 'grad_cam'"):
        explain("gradcam", compact, draw(), CLASSES)


def state(model: CamClassifier) -> list[Any]:
    """All that an explanation must not change, comparable by ==."""
    modules, parameters = list(model.modules()), list(model.parameters())
    return [
        [value.tolist() for value in model.state_dict().values()],
        [module.training for module in modules],
        [[len(hooks) for name, hooks in vars(module).items() if "hooks" in name] for module in modules],
        [getattr(module, "inplace", None) for module in modules],
        [parameter.requires_grad for parameter in parameters],
        [None if parameter.grad is None else parameter.grad.tolist() for parameter in parameters],
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
    ]


class Stumble(RuntimeError):
    """What the tests raise in the middle of an explanation."""


class FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        raise Stumble


def fail_forward(module: nn.Module, given: Any, output: Tensor) -> None:
    raise Stumble


def fail_backward(module: nn.Module, given: Any, output: Tensor) -> Tensor:
    return FailsBackward.apply(output)


@pytest.mark.parametrize("failure", [None, fail_forward, fail_backward])
@pytest.mark.parametrize("name", NAMES)
def test_the_model_comes_back_as_it_was(
    name: str, failure: Callable | None, compact: CamClassifier, few_steps: None
) -> None:
    compact.train().features[1].eval()
    compact.head.bias.requires_grad_(False)
    compact.head.weight.grad = torch.ones_like(compact.head.weight)
    if failure is not None:
        compact.features[2].register_forward_hook(failure)
    images, before = draw(), state(compact)
    raises = pytest.raises(Stumble) if failure is fail_forward else suppress(Stumble)
    with raises if failure else nullcontext():
        maps = explain(name, compact, images, CLASSES)
        assert not (failure is fail_backward and maps.shape[1:] == images.shape[2:]), "nothing was raised"
    assert state(compact) == before
    assert not images.requires_grad and torch.equal(images, draw())


@pytest.mark.parametrize("name", NAMES)
def test_training_mode_frozen_weights_and_no_grad_change_nothing(
    name: str, compact: CamClassifier, few_steps: None
) -> None:
    maps = explain(name, compact, draw().requires_grad_(), CLASSES)
    compact.train().requires_grad_(False)
    with torch.no_grad():
        again = explain(name, compact, draw(), CLASSES)  # by other kernels, on some processors
    torch.testing.assert_close(again, maps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", catalogue.names("model/activations"))
def test_smooth_networks_have_other_maps(activation: str, compact: CamClassifier, few_steps: None) -> None:
    sharp = {name: explain(name, compact, draw(), CLASSES) for name in NAMES}
    swap(compact, lambda: catalogue.get("model/activations", activation)())
    for name, before in sharp.items():
        maps = explain(name, compact, draw(), CLASSES)
        assert maps.isfinite().all() and not torch.equal(maps, before), name


@pytest.mark.parametrize("name", NAMES)
def test_those_with_a_graph_say_so_and_are_equal_without(
    name: str, smooth: CamClassifier, few_steps: None
) -> None:
    maps = catalogue.get(CATALOGUE, name)(smooth, draw().double(), CLASSES)
    assert maps.requires_grad == declared(name, "DIFFERENTIABLE")
    torch.testing.assert_close(maps.detach(), explain(name, smooth, draw().double(), CLASSES))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivative_in_the_images(name: str, smooth: CamClassifier, few_steps: None) -> None:
    """Against finite differences along a random direction."""
    explanation = catalogue.get(CATALOGUE, name)

    def value(images: Tensor) -> Tensor:
        maps = explanation(smooth, images, CLASSES)
        return (maps * torch.linspace(0, 1, maps.numel(), dtype=maps.dtype).reshape(maps.shape)).sum()

    images, direction, step = draw().double(), draw(seed=2).double() - 0.5, 1e-6
    (slope,) = torch.autograd.grad(value(given := images.clone().requires_grad_()), given)
    moved = [value(images + side * step * direction).item() for side in (1, -1)]
    assert (slope * direction).sum().item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-4)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivative_in_the_weights_also_for_images_without_a_graph(
    name: str, smooth: CamClassifier, few_steps: None
) -> None:
    weights = [weight for weight in smooth.parameters() if weight is not smooth.head.bias]
    generator = torch.Generator().manual_seed(3)
    direction = [
        torch.randn(weight.shape, generator=generator, dtype=torch.float64) * weight.detach().std()
        for weight in weights
    ]

    def value() -> Tensor:
        return catalogue.get(CATALOGUE, name)(smooth, draw().double(), CLASSES).square().sum()

    def moved(step: float) -> float:
        with torch.no_grad():
            for weight, along in zip(weights, direction, strict=True):
                weight += step * along
        return value().item()

    slopes = torch.autograd.grad(value(), weights)
    expected = (moved(1e-6) - moved(-2e-6)) / 2e-6
    slope = sum((a * b).sum().item() for a, b in zip(slopes, direction, strict=True))
    assert slope == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_flow_on_through_images_that_are_computed(
    name: str, smooth: CamClassifier, few_steps: None
) -> None:
    """As when an attack optimises what it adds to the image."""
    images = draw().double()
    added = torch.zeros_like(images, requires_grad=True)
    catalogue.get(CATALOGUE, name)(smooth, (images + added).clamp(0, 1), CLASSES).sum().backward(
        inputs=[added]
    )
    assert added.grad is not None and added.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in smooth.parameters())


NEW = '''"""The brightness of the pixels, whatever the model."""

SIGNED = False
PAIR = None
DIFFERENTIABLE = False


def explanation(model, images, classes):
    return images.sum(1)
'''


def test_a_new_explanation_is_one_file(compact: CamClassifier, add_member: Callable) -> None:
    add_member(CATALOGUE, "brightness", NEW)
    torch.testing.assert_close(explain("brightness", compact, draw(), CLASSES), draw()[:, 0])
    assert "brightness" in catalogue.names(CATALOGUE) and declared("brightness", "SIGNED") is False
