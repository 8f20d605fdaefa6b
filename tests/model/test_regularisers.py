"""Promises of every regulariser with every loss; the Hessian and Lipschitz terms by hand."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from members import called, choices, declaring
from torch import Tensor, nn
from torch.autograd.functional import hessian as explicit_hessian

from pipeline.common import catalogue
from pipeline.model import CamClassifier, Outputs, build
from pipeline.model.batches import Batch
from pipeline.model.regularisers import Regulariser, Regularisers, hessian, signs

CHOICES = choices("model/regularisers")
LOSSES = catalogue.names("model/losses")
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def make(name: str, **chosen: Any) -> Any:
    return catalogue.get("model/regularisers", name)(**chosen)


def batch(device: str = "cpu", n: int = 4, side: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(n, 1, side, side, generator=generator)
    maps = torch.rand(n, side, side, generator=generator)
    columns = images.contiguous(memory_format=torch.channels_last), torch.arange(n) % 2, maps
    return Batch(*(column.to(device) for column in columns), torch.arange(n, device=device) > 0)


def network(device: str = "cpu") -> CamClassifier:
    torch.manual_seed(0)
    model = build("compact", in_channels=1, activation={"name": "softplus", "beta": 10.0})
    found: CamClassifier = model.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    return found


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("choice", CHOICES, ids=called)
def test_a_step_with_any_loss(choice: dict[str, Any], loss: str, device: str, bfloat16: bool) -> None:
    model, given_batch = network(device), batch(device)
    model.features[1].eval()  # someone froze a part of it
    modes = [module.training for module in model.modules()]
    regularisers = Regularisers([choice]).to(device)

    def autocast() -> torch.autocast:
        return torch.autocast(device, torch.bfloat16, enabled=bfloat16)

    with autocast():
        seen = regularisers.perturb(model, given_batch, epoch=20)
    assert all(value.grad is None for value in model.parameters())
    with autocast():
        outputs = model(seen.images)
    terms = catalogue.make("model/losses", {"name": loss})(outputs, *seen[1:])
    with autocast():
        penalty = regularisers.penalty(model, seen, outputs, terms.classification)
    assert penalty.shape == () and penalty.dtype == torch.float32 and penalty.isfinite()
    (terms.total + penalty).backward()
    for name, value in model.named_parameters():
        assert value.grad is not None and value.grad.isfinite().all() and value.grad.any(), name
    counters = [int(value) for name, value in model.named_buffers() if "num_batches" in name]
    assert sorted(set(counters)) == [0, 1] and counters.count(0) == 1
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(given_batch.images, batch(device).images) and not given_batch.images.requires_grad
    same = (seen.images == given_batch.images).flatten(1).all(1)  # a map may only change with its image
    assert torch.equal(seen.labels, given_batch.labels)
    assert torch.equal(seen.maps[same], given_batch.maps[same])
    assert torch.equal(seen.has_map[same], given_batch.has_map[same])
    assert seen.maps.shape == given_batch.maps.shape and seen.maps.min() >= 0 and seen.maps.max() <= 1
    assert seen.images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("choice", CHOICES, ids=called)
def test_penalties_have_the_right_gradient(choice: dict[str, Any]) -> None:
    """Against finite differences, with the same random draws."""
    model = network().double()
    given_batch = batch()._replace(images=batch().images.double(), maps=batch().maps.double())
    parameters = list(model.parameters())

    def value() -> Tensor:
        torch.manual_seed(3)
        part = make(**choice)
        part.perturb(still, given_batch, 20)
        outputs = model(given_batch.images)
        return part.penalty(model, given_batch, outputs, outputs.logits.new_tensor(0.3))

    still = network().double()  # attacked in place of the model, so that the attack does not move
    ways = [torch.randn_like(parameter) * parameter.abs().mean() for parameter in parameters]
    penalty = value()
    if not penalty.requires_grad:
        assert penalty.item() == 0  # it changes the batch alone
        return
    gradients = torch.autograd.grad(penalty, parameters, materialize_grads=True)
    found = sum((gradient * way).sum().item() for gradient, way in zip(gradients, ways, strict=True))
    step, around = 1e-6, []
    for side in (step, -2 * step):
        with torch.no_grad():
            for parameter, way in zip(parameters, ways, strict=True):
                parameter.add_(way, alpha=side)
        around.append(value().item())
    assert found == pytest.approx((around[0] - around[1]) / (2 * step), rel=1e-3, abs=1e-9)


def effect(choice: dict[str, Any], seen: Batch, seed: int) -> Tensor:
    """All that a regulariser does with a batch, late in a training: the images it makes, and its penalty."""
    torch.manual_seed(seed)
    model, part = network(), make(**choice)
    torch.manual_seed(seed)
    images = part.perturb(model, seen, 50).images
    outputs = model(seen.images)
    penalty = part.penalty(model, seen, outputs, outputs.logits.new_tensor(0.3))
    return torch.cat([images.flatten(), penalty.reshape(1)]).detach()


@pytest.mark.parametrize("choice", CHOICES, ids=called)
def test_it_reads_maps_if_and_only_if_it_says_so(choice: dict[str, Any]) -> None:
    other = batch()._replace(maps=1 - batch().maps)
    same = all(torch.equal(effect(choice, batch(), seed), effect(choice, other, seed)) for seed in range(4))
    assert same != (choice["name"] in declaring("model/regularisers", "USES_MAPS"))


@pytest.mark.parametrize("name", declaring("model/regularisers", "NEEDS_CURVATURE"))
def test_what_needs_curvature_is_nothing_on_a_network_of_relus(name: str) -> None:
    """In eval mode such a network is linear around almost every point."""
    penalties = []
    for activation in (None, {"name": "softplus"}):
        torch.manual_seed(0)
        model = build("compact", in_channels=1, activation=activation).eval()
        penalties.append(make(name).penalty(model, batch(), model(batch().images), torch.tensor(0.3)).item())
    assert penalties[0] == 0 and penalties[1] > 0


def test_several_act_in_turn_and_add_up() -> None:
    model, seen = network(), batch()
    outputs = model(seen.images)
    alone, together = [], Regularisers([{"name": "hessian"}, {"name": "lipschitz", "zeta": 1.0}])
    for part in together.parts:
        torch.manual_seed(1)
        alone.append(part.penalty(model, seen, outputs, torch.tensor(0.3)))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        both = together.penalty(model, seen, outputs, torch.tensor(0.3))
    torch.testing.assert_close(both, alone[0] + alone[1] * math.exp(0.02 * -math.log(0.3 / 0.45)))


def test_none_changes_nothing_and_costs_no_draw() -> None:
    state = torch.get_rng_state()
    none = Regularisers([])
    seen = batch()
    assert none.perturb(nn.Identity(), seen, 0) is seen  # type: ignore[arg-type]
    assert none.penalty(nn.Identity(), seen, None, torch.tensor(0.3)).item() == 0  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), state) and not none.state_dict()


def test_signs_are_fair_and_keep_the_layout() -> None:
    torch.manual_seed(0)
    found = signs(torch.zeros(10, 3, 40, 40).contiguous(memory_format=torch.channels_last))
    assert found.unique().tolist() == [-1, 1] and abs(found.mean()) < 0.02
    assert found.is_contiguous(memory_format=torch.channels_last)


class TwoLayers(nn.Module):
    """Logits (0, w2 . softplus_beta(W1 x)): the second one's margin is the network of the bound."""

    def __init__(self, first: Tensor, second: Tensor, beta: float) -> None:
        super().__init__()
        self.first, self.second, self.beta = nn.Parameter(first), nn.Parameter(second), beta

    def scalar(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(x @ self.first.T, self.beta) @ self.second

    def forward(self, images: Tensor) -> Outputs:
        found = self.scalar(images.flatten(1))
        return Outputs(torch.stack([torch.zeros_like(found), found], 1), images, images)


def two_layers(seed: int, beta: float, inputs: int = 6) -> TwoLayers:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(5, inputs, generator=generator, dtype=torch.float64)
    return TwoLayers(first, torch.randn(5, generator=generator, dtype=torch.float64), beta)


def points(n: int, seed: int = 0) -> Batch:
    images = torch.rand(n, 1, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Batch(images, torch.ones(n, dtype=torch.int64), images[:, 0], torch.ones(n, dtype=torch.bool))


def frobenius(model: TwoLayers, x: Tensor) -> float:
    """||Hess||_F at one point, from the explicit matrix."""
    return float(explicit_hessian(lambda at: model.scalar(at[None])[0], x.flatten()).norm())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), beta=st.floats(0.5, 50))
def test_softplus_bounds_the_hessian_of_two_layers(seed: int, beta: float) -> None:
    model = two_layers(seed, beta)
    bound = beta / 4 * (model.second.abs() * model.first.square().sum(1)).sum()
    assert frobenius(model, points(1, seed).images[0]) <= bound * (1 + 1e-9)


def test_the_bound_is_met_by_one_neuron_at_its_kink() -> None:
    first, second = torch.tensor([[3.0, 4.0]], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    model = TwoLayers(first, second, beta=8)
    assert frobenius(model, torch.zeros(2, dtype=torch.float64)) == pytest.approx(8 / 4 * 0.5 * 25)


def test_all_signs_together_give_the_frobenius_norm_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    model, one = two_layers(0, beta=3), points(1)
    patterns = itertools.product((-1.0, 1.0), repeat=6)
    monkeypatch.setattr(hessian, "signs", lambda like: like.new_tensor(next(patterns)).reshape(like.shape))
    term = make("hessian", weight=1.0)
    values = [term.penalty(model, one, None, None).item() for _ in range(64)]
    assert sum(values) / 64 == pytest.approx(frobenius(model, one.images[0]) ** 2, rel=1e-9)


def test_hutchinsons_mean_is_the_frobenius_norm() -> None:
    model, two = two_layers(1, beta=3), points(2)
    expected = sum(frobenius(model, image) ** 2 for image in two.images) / 2
    many = Batch(*(column.repeat_interleave(4000, 0) for column in two))
    torch.manual_seed(0)
    found = make("hessian", weight=0.1).penalty(model, many, None, None).item()
    assert found == pytest.approx(0.1 * expected, rel=0.05)


def test_one_draw_is_the_explicit_hessian_times_its_signs() -> None:
    """In training mode, where batch normalisation ties the samples together."""
    model = network().double()
    two = batch(n=2, side=8)
    images = two.images.double()
    torch.manual_seed(5)
    found = make("hessian", weight=1.0).penalty(model, two._replace(images=images), None, None)

    def margins(x: Tensor) -> Tensor:
        logits = model(x.reshape(images.shape)).logits
        return (logits[1, 1] - logits[1, 0]) - (logits[0, 1] - logits[0, 0])

    matrix = explicit_hessian(margins, images.flatten())
    torch.manual_seed(5)
    along = (matrix @ signs(images).flatten()).reshape(2, -1)
    assert found.item() == pytest.approx(along.square().sum(1).mean().item(), rel=1e-8)


class Linear(nn.Module):
    """Logits w_c . x: every input gradient is known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 2, 3, 4, 5, 6], [3.0, 3, 3, 3, 3, 3]]))

    def forward(self, images: Tensor) -> Outputs:
        return Outputs(images.flatten(1).to(self.weight.dtype) @ self.weight.T, images, images)


def lipschitz(ce: float = 0.45, n: int = 1, part: Regulariser | None = None, **chosen: Any) -> float:
    part = make("lipschitz", **chosen) if part is None else part
    return part.penalty(Linear(), points(n), None, torch.tensor(ce)).item()  # type: ignore[arg-type]


def test_the_lipschitz_term_by_hand() -> None:
    margins = [2, 1, 0, 1, 2, 3]  # |w_1 - w_0|
    assert lipschitz(zeta=1.0) == pytest.approx(220 * sum(value**2 for value in margins) / 6)
    assert lipschitz(zeta=1.0, z=3.0, psi0=2.0) == pytest.approx(2 * sum(value**3 for value in margins) / 6)
    torch.manual_seed(0)
    single = {round(lipschitz(zeta=0.0, psi0=6.0), 3) for _ in range(40)}
    assert single == {1 + 4 + 9 + 16 + 25 + 36, 6 * 9}


def test_margins_are_drawn_with_probability_zeta_for_each_sample() -> None:
    torch.manual_seed(0)
    n, chance = 20000, 0.2
    expected = chance * 19 + (1 - chance) / 2 * (91 + 54)
    assert lipschitz(n=n, psi0=6.0, zeta=chance) == pytest.approx(expected, rel=0.02)


def test_the_strength_adapts_by_hand() -> None:
    part = make("lipschitz")
    assert part.strength().item() == pytest.approx(220)
    for ce, integral in [(0.45, 0), (1e-9, 1), (0.45 / math.e**0.5, 1.5), (4.5, 1.49), (0.46, 1.48)]:
        lipschitz(ce, part=part)  # ln(0.46 / 0.45) = 0.022, of which 0.01 is taken
        assert part.integral.item() == pytest.approx(integral, abs=1e-6)
    assert part.strength().item() == pytest.approx(220 * math.exp(0.02 * 1.48), rel=1e-6)


def test_the_strength_never_falls_below_its_start_and_acts_on_the_next_batch() -> None:
    part = make("lipschitz", zeta=1.0)
    first = lipschitz(0.9, part=part)
    assert part.integral.item() == 0
    assert lipschitz(0.01, part=part) == first  # what this batch taught comes later
    assert lipschitz(0.45, part=part) == pytest.approx(first * math.exp(0.02))
    assert list(part.state_dict()) == ["integral"]
