"""What explanations show: by hand, against captum, MONAI and autograd, and the identities among them."""

import copy
from typing import Any

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam, Saliency
from monai.visualize import GradCAM, GradCAMpp
from torch import Tensor, nn

from pipeline.common import catalogue
from pipeline.explain.explanations import CATALOGUE, Logits, explain, integrated_gradients, smooth_grad
from pipeline.model import CamClassifier, Outputs, build, cam
from pipeline.model.activations import swap

FAMILY = [name for name in catalogue.names(CATALOGUE) if "cam" in name or name == "difference_salience"]
CLASSES = torch.tensor([0, 1, 1])


def draw(channels: int = 1, side: int = 32) -> Tensor:
    return torch.rand(3, channels, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def compact() -> CamClassifier:
    torch.manual_seed(0)
    return build("compact", in_channels=1).eval()


def test_cam_is_of_the_class_that_is_asked_for(compact: CamClassifier) -> None:
    cams = compact(draw()).cams.detach()
    assert torch.equal(explain("cam", compact, draw(), CLASSES), cams[torch.arange(3), CLASSES])
    expected = cams[torch.arange(3), CLASSES] - cams[torch.arange(3), 1 - CLASSES]
    assert torch.equal(explain("difference_salience", compact, draw(), CLASSES), expected)


def test_grad_cam_against_captum_and_autograd(compact: CamClassifier) -> None:
    found = explain("grad_cam", compact, draw(), CLASSES)
    tool = LayerGradCam(Logits(compact), compact.features)
    expected = tool.attribute(draw().requires_grad_(), target=CLASSES, relu_attributions=True)[:, 0]
    torch.testing.assert_close(found, expected.detach())
    outputs = compact(draw())
    own = outputs.logits.gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(found, cam.grad_cam(own, outputs.features).relu())


@pytest.mark.parametrize("name", ["diff_grad_cam", "diff_grad_cam_mean", "diff_grad_cam_max"])
def test_every_diff_grad_cam_is_that_of_the_log_odds(name: str, compact: CamClassifier) -> None:
    outputs = compact(draw())
    expected = cam.diff_grad_cam(outputs.logits, outputs.features, CLASSES, baseline="lse")
    torch.testing.assert_close(explain(name, compact, draw(), CLASSES), expected)


@pytest.mark.parametrize(("name", "by"), [("gradient", Saliency), ("gradient_x_input", InputXGradient)])
def test_gradients_against_captum(name: str, by: Any, compact: CamClassifier) -> None:
    expected = by(Logits(compact)).attribute(draw().requires_grad_(), target=CLASSES)
    torch.testing.assert_close(explain(name, compact, draw(), CLASSES), expected.detach().abs().sum(1))


def test_integrated_gradients_against_captum(compact: CamClassifier) -> None:
    """captum's integration weights are float32."""
    tool = IntegratedGradients(Logits(compact))
    expected = tool.attribute(draw(), baselines=0, target=CLASSES, n_steps=30, internal_batch_size=3)
    found = explain("integrated_gradients", compact, draw(), CLASSES)
    torch.testing.assert_close(found, expected.abs().sum(1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("steps", "error"), [(30, 0.05), (300, 0.01)])
def test_integrated_gradients_are_complete(steps: int, error: float, compact: CamClassifier) -> None:
    """They add up to the logit's difference from black; max-pooling leaves kinks that few steps miss."""
    swap(compact.double(), lambda: nn.Softplus(beta=5))
    images = draw(side=24).double()
    with torch.no_grad():
        whole = compact(images).logits - compact(torch.zeros_like(images)).logits
        found = integrated_gradients.integrate(compact, images, CLASSES, steps).sum((1, 2, 3))
    torch.testing.assert_close(found, whole.gather(1, CLASSES[:, None])[:, 0], rtol=error, atol=0)


def test_a_map_added_to_both_classes_moves_those_of_one_class_only(compact: CamClassifier) -> None:
    before = {name: explain(name, compact, draw(), CLASSES) for name in FAMILY}
    with torch.no_grad():
        decision = compact(draw()).logits.softmax(1)
        compact.head.weight += torch.randn(80, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(compact(draw()).logits.softmax(1), decision)
    for name, clean in before.items():
        hoaxed = explain(name, compact, draw(), CLASSES)
        if catalogue.declared(CATALOGUE, name, "PAIR"):
            torch.testing.assert_close(hoaxed, clean, rtol=1e-4, atol=1e-5 * float(clean.max()))
        else:
            assert (hoaxed - clean).abs().max() > 0.5 * clean.abs().max(), name


class ForMonai(nn.Module):
    """What MONAI explains: a network that returns logits; a copy, since MONAI's hooks stay."""

    def __init__(self, model: CamClassifier) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.requires_grad_()).logits


def test_grad_cam_against_monai(compact: CamClassifier) -> None:
    """MONAI's inverts its maps while scaling them to [0, 1]."""
    reference = GradCAM(ForMonai(compact), "model.features", upsampler=lambda size: lambda maps: maps)
    inverted = reference(draw(), class_idx=1)[:, 0]
    ours = explain("grad_cam", compact, draw(), torch.ones(3, dtype=torch.long))
    torch.testing.assert_close(1 - inverted, cam.normalise(ours))


def test_grad_cam_pp_against_monai(compact: CamClassifier) -> None:
    """Up to scale, one image at a time, and where gradients are large against MONAI's epsilon."""
    compact.double().head.weight.data *= 100
    reference = GradCAMpp(ForMonai(compact), "model.features")
    ours = explain("grad_cam_pp", compact, draw().double(), torch.ones(3, dtype=torch.long))
    for image, found in zip(draw().double(), ours, strict=True):
        expected = reference.compute_map(image[None], class_idx=1)[0, 0].detach()
        torch.testing.assert_close(found / found.max(), expected / expected.max(), rtol=1e-3, atol=1e-4)


def test_diff_grad_cam_pp_is_grad_cam_pp_of_the_difference_of_the_logits(compact: CamClassifier) -> None:
    """A head whose logit for class 1 is the difference, and for class 0 its negative, gives the same map."""
    expected = explain("diff_grad_cam_pp", compact, draw(), CLASSES)
    with torch.no_grad():
        difference = compact.head.weight[1] - compact.head.weight[0]
        compact.head.weight.copy_(torch.stack([-difference, difference]))
    torch.testing.assert_close(explain("grad_cam_pp", compact, draw(), CLASSES), expected)


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


def test_guided_backprop_is_the_gradient_where_there_is_no_relu(compact: CamClassifier) -> None:
    swap(compact, nn.Softplus)
    found = explain("guided_backprop", compact, draw(), CLASSES)
    torch.testing.assert_close(found, explain("gradient", compact, draw(), CLASSES))


class Cubic(nn.Module):
    """z_1 is the sum of x^3 over the pixels, z_0 its negative half."""

    def forward(self, images: Tensor) -> Outputs:
        score = images.pow(3).sum((1, 2, 3))
        return Outputs(torch.stack([-score / 2, score], 1), images, images)


@pytest.mark.parametrize(("explained", "share"), [(1, 1.0), (0, 0.5)])
def test_pixels_by_hand(explained: int, share: float) -> None:
    """3 x^2, x times that, and the integral of 3 (a x)^2 x over a in [0, 1], summed over two channels."""
    images, classes = torch.tensor([[[[0.5]], [[1.0]]]]), torch.tensor([explained])
    expected = {"gradient": 3.75, "guided_backprop": 3.75, "gradient_x_input": 3.375}
    for name, by_hand in {**expected, "integrated_gradients": 1.125}.items():
        assert explain(name, Cubic(), images, classes).item() == pytest.approx(share * by_hand), name


def test_smooth_grad_is_the_mean_over_noisy_images() -> None:
    """E 3 (x + n)^2 = 3 (x^2 + noise^2)."""
    images, settings = torch.full((4, 1, 2, 2), 0.5), {"noise": 0.15, "samples": 1000}
    maps = smooth_grad.explanation(Cubic(), images, torch.ones(4, dtype=torch.long), **settings)
    assert maps.mean().item() == pytest.approx(3 * (0.25 + 0.15**2), abs=0.01)
    torch.rand(1)  # another state of torch's generator, the same noise
    again = smooth_grad.explanation(
        Cubic(), images, torch.zeros(4, dtype=torch.long), noise=0.15, samples=1000
    )
    torch.testing.assert_close(again, maps / 2)
