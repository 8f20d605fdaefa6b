"""Explanations on every backbone, against MONAI and the formulas, and what they must leave as it was."""

import copy
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import torch
from monai.visualize import GradCAM, GradCAMpp
from torch import Tensor, nn

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.explain import differentiable, explanations
from pipeline.explain.explanations import EXPLANATIONS, explain
from pipeline.model import CamClassifier, Outputs, build
from pipeline.model.activations import named, swap
from pipeline.model.cam import normalise

ON_THE_GRID = [name for name in EXPLANATIONS if "cam" in name or name == "difference_salience"]
OF_PIXELS = [name for name in EXPLANATIONS if name not in ON_THE_GRID]
SIGNED = ("cam", "difference_salience")
CLASSES = torch.tensor([0, 1, 1])


def draw(channels: int = 1, side: int = 32) -> Tensor:
    return torch.rand(3, channels, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def compact() -> CamClassifier:
    torch.manual_seed(0)
    return build("compact", in_channels=1).eval()


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differentiable, "STEPS", 2)
    monkeypatch.setattr(explanations, "NOISY", 2)


def test_names_of_the_grid_and_of_pixels() -> None:
    assert (len(ON_THE_GRID), len(OF_PIXELS)) == (8, 5)
    assert set(differentiable.DIFFERENTIABLE) < set(EXPLANATIONS)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("backbone", catalogue.names("model/backbones"))
def test_every_backbone_has_every_explanation(backbone: str, channels: int, few_steps: None) -> None:
    torch.manual_seed(0)
    model = build(backbone, channels).eval().to(memory_format=torch.channels_last)
    images = draw(channels, side=64)[:2].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        grid = model(images[:1]).features.shape[2:]
    for name in EXPLANATIONS:
        maps = explain(name, model, images, CLASSES[:2])
        assert maps.shape == (2, *(grid if name in ON_THE_GRID else images.shape[2:])), name
        assert maps.isfinite().all() and not maps.requires_grad, name
        assert name in SIGNED or maps.amin() >= 0, name
        assert name in ON_THE_GRID or (maps.amax((1, 2)) > 0).all(), name


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_memory_layout_does_not_matter(name: str, few_steps: None) -> None:
    torch.manual_seed(0)
    model = build("compact").eval()
    maps = explain(name, model, draw(3), CLASSES)
    model.to(memory_format=torch.channels_last)
    strided = explain(name, model, draw(3).contiguous(memory_format=torch.channels_last), CLASSES)
    torch.testing.assert_close(strided, maps, rtol=1e-3, atol=1e-5 * float(maps.abs().max()))


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_classes_differ_and_batches_do_not(
    name: str, compact: CamClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "NOISE", 0.0)  # which hangs on the place in the batch
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
@pytest.mark.parametrize("name", EXPLANATIONS)
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
        EXPLANATIONS[name](compact, images, CLASSES)
        assert not (failure is fail_backward and name in OF_PIXELS), "nothing was raised"
    assert state(compact) == before
    assert not images.requires_grad and torch.equal(images, draw())


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_training_mode_frozen_weights_and_no_grad_change_nothing(
    name: str, compact: CamClassifier, few_steps: None
) -> None:
    maps = explain(name, compact, draw(), CLASSES)
    compact.train().requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(explain(name, compact, draw(), CLASSES), maps)


def test_grad_cam_and_diff_grad_cam_are_the_positive_maps_over_the_cells(compact: CamClassifier) -> None:
    maps = {name: explain(name, compact, draw(), CLASSES) for name in ON_THE_GRID}
    cells = maps["cam"][0].numel()
    torch.testing.assert_close(maps["grad_cam"], maps["cam"].relu() / cells)
    for name in ("diff_grad_cam", "diff_grad_cam_mean", "diff_grad_cam_max"):
        torch.testing.assert_close(maps[name], maps["difference_salience"].relu() / cells)


def test_cam_is_of_the_class_that_is_asked_for(compact: CamClassifier) -> None:
    cams = compact(draw()).cams.detach()
    assert torch.equal(explain("cam", compact, draw(), CLASSES), cams[torch.arange(3), CLASSES])
    expected = cams[torch.arange(3), CLASSES] - cams[torch.arange(3), 1 - CLASSES]
    assert torch.equal(explain("difference_salience", compact, draw(), CLASSES), expected)


def test_a_map_added_to_both_classes_moves_those_of_one_class_only(compact: CamClassifier) -> None:
    before = {name: explain(name, compact, draw(), CLASSES) for name in ON_THE_GRID}
    with torch.no_grad():
        decision = compact(draw()).logits.softmax(1)
        compact.head.weight += torch.randn(80, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(compact(draw()).logits.softmax(1), decision)
    for name, clean in before.items():
        hoaxed = explain(name, compact, draw(), CLASSES)
        if name.startswith("diff"):
            torch.testing.assert_close(hoaxed, clean, rtol=1e-4, atol=1e-5 * float(clean.max()))
        else:
            assert (hoaxed - clean).abs().max() > 0.5 * clean.abs().max(), name


class Logits(nn.Module):
    """What MONAI explains: a network that returns logits; a copy, since MONAI's hooks stay."""

    def __init__(self, model: CamClassifier) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.requires_grad_()).logits


def test_grad_cam_against_monai(compact: CamClassifier) -> None:
    """MONAI's inverts its maps while scaling them to [0, 1]."""
    reference = GradCAM(Logits(compact), "model.features", upsampler=lambda size: lambda maps: maps)
    inverted = reference(draw(), class_idx=1)[:, 0]
    ours = explain("grad_cam", compact, draw(), torch.ones(3, dtype=torch.long))
    torch.testing.assert_close(1 - inverted, normalise(ours))


def test_grad_cam_pp_against_monai(compact: CamClassifier) -> None:
    """Up to scale, one image at a time, and where gradients are large against MONAI's epsilon."""
    compact.double().head.weight.data *= 100
    reference = GradCAMpp(Logits(compact), "model.features")
    ours = explain("grad_cam_pp", compact, draw().double(), torch.ones(3, dtype=torch.long))
    for image, found in zip(draw().double(), ours, strict=True):
        expected = reference.compute_map(image[None], class_idx=1)[0, 0].detach()
        torch.testing.assert_close(found / found.max(), expected / expected.max(), rtol=1e-3, atol=1e-4)


class Guided(torch.autograd.Function):
    """ReLU that passes back positive gradients only: the rule of guided backprop, written out."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.save_for_backward(values)
        return values.clamp(min=0)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].clamp(min=0) * (context.saved_tensors[0] > 0)


class GuidedReLU(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return Guided.apply(values)


@pytest.mark.parametrize("backbone", ["compact", "seresnet50"])
def test_guided_backprop_against_its_rule_also_through_relus_in_place(backbone: str) -> None:
    torch.manual_seed(0)
    model = build(backbone, in_channels=1).eval()
    assert any(getattr(module, "inplace", False) for module in model.modules())
    guided = copy.deepcopy(model)
    swap(guided, GuidedReLU)
    found = explain("guided_backprop", model, draw(), CLASSES)
    torch.testing.assert_close(found, explain("gradient", guided, draw(), CLASSES))
    assert not torch.allclose(found, explain("gradient", model, draw(), CLASSES))


@pytest.mark.parametrize("activation", catalogue.names("model/activations"))
def test_smooth_networks_where_guided_backprop_is_the_gradient(
    activation: str, compact: CamClassifier, few_steps: None
) -> None:
    sharp = {name: explain(name, compact, draw(), CLASSES) for name in EXPLANATIONS}
    swap(compact, named({"name": activation}))
    maps = {name: explain(name, compact, draw(), CLASSES) for name in EXPLANATIONS}
    assert all(maps[name].isfinite().all() and not torch.equal(maps[name], sharp[name]) for name in maps)
    assert torch.equal(maps["guided_backprop"], maps["gradient"])


class Cubic(nn.Module):
    """z_1 is the sum of x^3 over the pixels, z_0 its negative."""

    def forward(self, images: Tensor) -> Outputs:
        score = images.pow(3).sum((1, 2, 3))
        return Outputs(torch.stack([-score, score], 1), images, images)


def test_pixels_by_hand() -> None:
    """3 x^2, x times that, and the integral of 3 (a x)^2 x over a in [0, 1], summed over two channels."""
    images = torch.tensor([[[[0.5]], [[1.0]]]])
    one = torch.tensor([1])
    found = {name: explain(name, Cubic(), images, one).item() for name in OF_PIXELS}
    assert found["gradient"] == found["guided_backprop"] == 3.75
    assert found["gradient_x_input"] == 3.375
    assert found["integrated_gradients"] == pytest.approx(1.125)


def test_smooth_grad_is_the_mean_over_noisy_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """E 3 (x + n)^2 = 3 (x^2 + NOISE^2)."""
    monkeypatch.setattr(explanations, "NOISY", 1000)
    images = torch.full((4, 1, 2, 2), 0.5)
    maps = explain("smooth_grad", Cubic(), images, torch.tensor([0, 1, 0, 1]))
    assert maps.mean().item() == pytest.approx(3 * (0.25 + explanations.NOISE**2), abs=0.01)
    torch.rand(1)  # another state of torch's generator, the same noise
    assert torch.equal(maps, explain("smooth_grad", Cubic(), images, torch.tensor([1, 0, 1, 0])))
