"""Activations by hand, and swapped into every backbone: no kink may be left behind."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.model import CamClassifier, build
from pipeline.model.activations import rectifiers, swap

BACKBONES = catalogue.names("model/backbones")
ACTIVATIONS = catalogue.names("model/activations")
GATE = nn.Sigmoid  # of squeeze and excitation
NUMBERS = st.floats(-30, 30)


def make(choice: dict[str, Any]) -> nn.Module:
    module: nn.Module = catalogue.make("model/activations", choice)()
    return module


def values_and_slopes(choice: dict[str, Any], point: float) -> tuple[float, float, float]:
    """phi, phi' and phi'' at a point."""
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    value = make(choice)(x)
    (slope,) = torch.autograd.grad(value, x, create_graph=True)
    (bend,) = torch.autograd.grad(slope, x)
    return value.item(), slope.item(), bend.item()


@pytest.mark.parametrize(
    ("point", "value", "slope", "bend"),
    [(-1, 0, 0, 0), (0.25, 0.0625, 0.5, 2), (0.5, 0.25, 1, 2), (1, 0.75, 1, 0), (3, 2.75, 1, 0)],
)
def test_half_huber_by_hand(point: float, value: float, slope: float, bend: float) -> None:
    assert values_and_slopes({"name": "half_huber"}, point) == pytest.approx((value, slope, bend))


@given(point=NUMBERS, width=st.floats(0.01, 10))
def test_half_hubers_slope_is_clipped_linear(point: float, width: float) -> None:
    _, slope, _ = values_and_slopes({"name": "half_huber", "width": width}, point)
    assert slope == pytest.approx(min(max(point, 0), width) / width)


@given(point=NUMBERS, beta=st.floats(0.1, 100))
def test_softplus_slopes_are_the_logistic_functions(point: float, beta: float) -> None:
    value, slope, bend = values_and_slopes({"name": "softplus", "beta": beta}, point)
    logistic = torch.tensor(beta * point, dtype=torch.float64).sigmoid().item()
    assert max(point, 0) <= value <= max(point, 0) + 0.6932 / beta
    assert slope == pytest.approx(logistic, abs=1e-8)
    assert bend == pytest.approx(beta * logistic * (1 - logistic), abs=1e-6) and bend <= beta / 4 + 1e-12


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_low_precision_stays_finite(name: str) -> None:
    values = torch.linspace(-50, 50, 101, dtype=torch.bfloat16, requires_grad=True)
    found = make({"name": name})(values)
    found.sum().backward()
    assert found.dtype == torch.bfloat16 and found.isfinite().all()
    assert values.grad is not None and values.grad.isfinite().all()


def test_swap_finds_nested_and_shared_modules_and_keeps_gates_and_modes() -> None:
    shared = nn.SiLU(inplace=True)
    inner = nn.Sequential(nn.ReLU(inplace=True), nn.Sigmoid(), nn.Softplus(3))
    net = nn.Sequential(shared, inner, shared).eval()
    swap(net, lambda: nn.Softplus(7))
    assert [type(module) for module in (net[0], net[2], inner[0], inner[1])] == [nn.Softplus] * 3 + [GATE]
    assert inner[2].beta == 3  # a smooth one stays what it was
    assert not any(module.training for module in net.modules())


class Kinks(TorchDispatchMode):
    """Notes which rectifiers run, from whatever module or function they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if any(word in name for word in ("elu", "silu", "hardtanh", "hardswish", "mish", "threshold")):
            self.seen.add(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module", params=BACKBONES)
def plain(request: pytest.FixtureRequest) -> CamClassifier:
    torch.manual_seed(0)
    return build(request.param, in_channels=1).eval()


def images() -> Tensor:
    return torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_rectifier_is_left_in_a_backbone(plain: CamClassifier, name: str) -> None:
    with Kinks() as before:
        plain(images())
    assert before.seen
    smooth = copy.deepcopy(plain)
    swap(smooth, lambda: make({"name": name}))
    with Kinks() as after:
        found = smooth(images())
    assert not after.seen and found.logits.isfinite().all()
    assert smooth.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_swapped_backbone_is_twice_differentiable(plain: CamClassifier, name: str) -> None:
    smooth = copy.deepcopy(plain)
    swap(smooth, lambda: make({"name": name}))
    for module in smooth.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # one training forward sets the statistics, or signals die on the way
    smooth.train()(images())
    x, _ = images().requires_grad_(), smooth.eval()
    (slope,) = torch.autograd.grad(smooth(x).logits[:, 1].sum(), x, create_graph=True)
    (along,) = torch.autograd.grad(slope.sum(), x)
    assert along.isfinite().all() and along.abs().max() > 0


def test_a_sharp_softplus_is_the_relu_network() -> None:
    torch.manual_seed(0)
    net = build("compact", in_channels=1).eval()
    expected = net(images()).logits
    swap(net, lambda: make({"name": "softplus", "beta": 10000.0}))
    torch.testing.assert_close(net(images()).logits, expected, rtol=1e-3, atol=1e-4)


def test_every_kind_of_rectifier_is_found_and_no_gate() -> None:
    kinds = [nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU,
             nn.Mish, nn.Hardswish]  # fmt: skip
    others = [nn.Sigmoid(), nn.Hardsigmoid(), nn.Tanh(), nn.Softmax(1), nn.Softplus(3), nn.Identity()]
    net = nn.Sequential(*(kind() for kind in kinds), *others)
    assert [type(module) for _, _, module in rectifiers(net)] == kinds
    swap(net, nn.Softplus)
    assert [type(module) for module in net[: len(kinds)]] == [nn.Softplus] * len(kinds)
    assert list(net[len(kinds) :]) == others


def test_a_network_without_rectifiers_cannot_pass_for_a_smooth_one() -> None:
    with pytest.raises(UserError, match="activation: nothing to replace"):
        swap(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sigmoid()), nn.Softplus)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (
            {"name": "softpluss"},
            "activations: 'softpluss' is not in pipeline/model/activations: did you mean",
        ),
        ({"name": "softplus", "betta": 1}, "activations: betta: unknown key; did you mean 'beta'"),
        ({"name": "softplus", "beta": 0}, "activations: beta: Input should be greater than 0"),
    ],
)
def test_a_choice_that_does_not_exist(choice: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        build("compact", activation=choice)
