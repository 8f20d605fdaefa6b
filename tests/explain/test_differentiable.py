"""Explanations inside a loss: equal to the tested ones, and differentiable in images and in weights."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.explain import differentiable
from pipeline.explain.differentiable import DIFFERENTIABLE, integrate
from pipeline.explain.explanations import explain
from pipeline.model import CamClassifier, build
from pipeline.model.activations import swap

CLASSES = torch.tensor([0, 1])


def draw(side: int = 24, seed: int = 1) -> Tensor:
    return torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module", params=["relu", "softplus"])
def either(request: pytest.FixtureRequest) -> CamClassifier:
    return network(smooth=request.param == "softplus")


@pytest.fixture(scope="module")
def smooth() -> CamClassifier:
    return network(smooth=True)


def network(smooth: bool) -> CamClassifier:
    torch.manual_seed(0)
    model = build("compact", in_channels=1).double().eval()
    if smooth:
        swap(model, lambda: nn.Softplus(beta=5))
    return model


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_equal_to_the_explanation_of_that_name(name: str, either: CamClassifier) -> None:
    """Those of pixels, and grad_cam, are captum's, whose integration weights are float32."""
    found = DIFFERENTIABLE[name](either, draw(), CLASSES)
    torch.testing.assert_close(found.detach(), explain(name, either, draw(), CLASSES), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivative_in_the_images(name: str, smooth: CamClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against finite differences along a random direction."""
    monkeypatch.setattr(differentiable, "STEPS", 3)

    def value(images: Tensor) -> Tensor:
        maps = DIFFERENTIABLE[name](smooth, images, CLASSES)
        return (maps * torch.linspace(0, 1, maps.numel(), dtype=maps.dtype).reshape(maps.shape)).sum()

    images, direction, step = draw().requires_grad_(), draw(seed=2) - 0.5, 1e-6
    (slope,) = torch.autograd.grad(value(images), images)
    moved = [value(draw() + side * step * direction).item() for side in (1, -1)]
    assert (slope * direction).sum().item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-4)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivative_in_the_weights_also_for_images_without_a_graph(
    name: str, smooth: CamClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differentiable, "STEPS", 3)
    weights = [weight for weight in smooth.parameters() if weight is not smooth.head.bias]
    generator = torch.Generator().manual_seed(3)
    direction = [
        torch.randn(weight.shape, generator=generator, dtype=torch.float64) * weight.detach().std()
        for weight in weights
    ]

    def value() -> Tensor:
        return DIFFERENTIABLE[name](smooth, draw(), CLASSES).square().sum()

    def moved(step: float) -> float:
        with torch.no_grad():
            for weight, along in zip(weights, direction, strict=True):
                weight += step * along
        return value().item()

    slopes = torch.autograd.grad(value(), weights)
    expected = (moved(1e-6) - moved(-2e-6)) / 2e-6
    moved(1e-6)  # back
    slope = sum((a * b).sum().item() for a, b in zip(slopes, direction, strict=True))
    assert slope == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("steps", "error"), [(differentiable.STEPS, 0.05), (300, 0.01)])
def test_integrated_gradients_are_complete(
    steps: int, error: float, smooth: CamClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They add up to the logit's difference from black; max-pooling leaves kinks that few steps miss."""
    monkeypatch.setattr(differentiable, "STEPS", steps)
    with torch.no_grad():
        whole = smooth(draw()).logits - smooth(torch.zeros_like(draw())).logits
    found = integrate(smooth, draw(), CLASSES).sum((1, 2, 3)).detach()
    torch.testing.assert_close(found, whole.gather(1, CLASSES[:, None])[:, 0], rtol=error, atol=0)


def test_gradients_flow_on_through_images_that_are_computed(smooth: CamClassifier) -> None:
    """As when an attack optimises what it adds to the image."""
    for name, compute in DIFFERENTIABLE.items():
        added = torch.zeros_like(draw(), requires_grad=True)
        compute(smooth, (draw() + added).clamp(0, 1), CLASSES).sum().backward(inputs=[added])
        assert added.grad is not None and added.grad.abs().sum() > 0, name


def test_the_model_keeps_its_mode_and_its_gradients(smooth: CamClassifier) -> None:
    smooth.zero_grad()
    modes = [module.training for module in smooth.modules()]
    for compute in DIFFERENTIABLE.values():
        compute(smooth, draw(), CLASSES)
    assert [module.training for module in smooth.modules()] == modes
    assert all(weight.grad is None for weight in smooth.parameters())
