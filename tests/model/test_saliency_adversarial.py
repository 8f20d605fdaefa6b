"""Saliency-adversarial training: the schedule, the perturbation by hand, and the two modes with an attack."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional

from pipeline.model import CamClassifier, Outputs, build
from pipeline.model.batches import Batch
from pipeline.model.regularisers.saliency_adversarial import divergence, map_share, regulariser

EPS = 8 / 255


def batch(n: int = 4, side: int = 16, channels: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(n, channels, side, side, generator=generator)
    maps = torch.rand(n, side, side, generator=generator)
    return Batch(images, torch.arange(n) % 2, maps, torch.ones(n, dtype=torch.bool))


def perturbed(seen: Batch, epoch: int, **chosen: Any) -> Tensor:
    return regulariser(**chosen).perturb(nn.Identity(), seen, epoch).images  # type: ignore[arg-type]


@pytest.mark.parametrize(("epoch", "share"), [(0, 0), (10, 0.40), (20, 0.64), (50, 0.92), (99, 0.99)])
def test_the_schedule_of_the_paper(epoch: int, share: float) -> None:
    assert map_share(epoch, a=0.6, pace=10) == pytest.approx(share, abs=0.006)


def test_the_perturbation_by_hand() -> None:
    """With a = 0 every element follows the map from epoch 1 on: darker where people looked."""
    images = torch.tensor([[0.5, 0.01], [0.99, 0.3]]).expand(1, 3, 2, 2)
    maps = torch.tensor([[[1.0, 0.5], [0.49, 0.0]]])
    seen = Batch(images, torch.tensor([1]), maps, torch.tensor([True]))
    found = perturbed(seen, 1, a=0.0, eps=0.1)
    assert found.shape == (1, 3, 2, 2)
    torch.testing.assert_close(found[0, 0], torch.tensor([[0.4, 0.0], [1.0, 0.4]]))
    assert torch.equal(found[0, 0], found[0, 1]) and torch.equal(found[0, 0], found[0, 2])


@settings(max_examples=25, deadline=None)
@given(epoch=st.integers(0, 200), eps=st.floats(0.001, 0.5), seed=st.integers(0, 1000))
def test_the_supremum_is_eps_and_met_everywhere_before_clipping(epoch: int, eps: float, seed: int) -> None:
    torch.manual_seed(seed)
    seen = batch()
    change = (perturbed(seen, epoch, eps=eps) - seen.images).abs()
    assert change.max() <= eps + 1e-6
    inside = (seen.images >= eps) & (seen.images <= 1 - eps)
    torch.testing.assert_close(change[inside], torch.full_like(change[inside], eps))


def test_eps_and_step_are_in_levels_of_255() -> None:
    found = regulariser().settings
    assert (found.eps, found.step) == (8 / 255, 2 / 255)


def agreement(seen: Batch, epoch: int) -> Tensor:
    """Share of elements of each image that follow the map, (N,)."""
    torch.manual_seed(0)
    direction = regulariser().direction(seen, epoch)
    assert direction.abs().eq(1).all()
    wanted = torch.where(seen.maps >= 0.5, 1.0, -1.0)[:, None]
    return (direction == wanted).float().mean((1, 2, 3))


@pytest.mark.parametrize("epoch", [0, 10, 50])
def test_noise_gives_way_to_the_map(epoch: int) -> None:
    share = map_share(epoch, 0.6, 10)
    expected = torch.full((4,), share + (1 - share) / 2)
    torch.testing.assert_close(agreement(batch(side=128), epoch), expected, rtol=0, atol=0.015)


@pytest.mark.parametrize("emptied", ["no map", "nothing marked"])
def test_an_image_without_a_map_gets_noise_alone(emptied: str) -> None:
    seen = batch(side=128)
    if emptied == "no map":
        seen = seen._replace(has_map=torch.tensor([True, False, True, True]))
    else:
        seen = seen._replace(maps=seen.maps * torch.tensor([1, 0.49, 1, 1])[:, None, None])
    torch.manual_seed(0)
    direction = regulariser(a=0.0).direction(seen, 1)
    means = direction.mean((1, 2, 3))
    assert abs(means[1]) < 0.03  # as many up as down
    repeats = (direction[1, 0, :, 1:] == direction[1, 0, :, :-1]).float().mean()
    assert abs(repeats - 0.5) < 0.02  # and neighbours independent
    assert agreement(seen, 99)[[0, 2, 3]].min() > 0.99


def model() -> CamClassifier:
    torch.manual_seed(0)
    return build("compact", in_channels=1).train()


class Counting(nn.Module):
    """Counts forwards, and in which mode they ran; brighter images are taken for class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> Outputs:
        self.modes.append(self.training)
        level = images.mean((1, 2, 3))
        return Outputs(torch.stack([-level, level], 1), images, images)


@pytest.mark.parametrize(("mode", "forwards"), [("pgd", 5), ("trades", 6)])
def test_a_fair_coin_chooses_between_map_and_ascent_in_eval_mode(mode: Any, forwards: int) -> None:
    torch.manual_seed(0)
    counting, part, counts = Counting().train(), regulariser(mode=mode), []
    for _ in range(200):
        counting.modes.clear()
        part.perturb(counting, batch(2, 2), 5)  # type: ignore[arg-type]
        assert not any(counting.modes) and counting.training
        counts.append(len(counting.modes))
    assert set(counts) == {0, forwards} and 70 <= counts.count(0) <= 130


def test_ascent_raises_cross_entropy_within_the_ball() -> None:
    net, seen = model().eval(), batch()
    found = regulariser(mode="pgd").climbed(net, seen)

    def ce(images: Tensor) -> float:
        return functional.cross_entropy(net(images).logits, seen.labels).item()

    assert ce(found) > ce(seen.images)
    assert (found - seen.images).abs().max() <= EPS + 1e-6 and not found.requires_grad
    assert found.min() >= 0 and found.max() <= 1


def test_steps_of_ascent_have_one_size_as_published() -> None:
    """2/255 each by default, five times; PGD as an attack takes steps that fall."""
    images, visited = torch.full((2, 1, 4, 4), 0.5), []

    def objective(points: Tensor) -> Tensor:
        visited.append(points.detach())
        return points.sum((1, 2, 3))

    last = regulariser(mode="pgd", eps=0.25).ascend(objective, images, images)  # type: ignore[attr-defined]
    assert len(visited) == 5
    for k, points in enumerate([*visited, last]):
        torch.testing.assert_close(points, images + k * 2 / 255)


def test_trades_climbs_the_divergence_and_trains_on_clean_images() -> None:
    net, seen, part = model().eval(), batch(), regulariser(mode="trades", eps=0.1, step=0.02)
    clean = net(seen.images).logits
    found = part.climbed(net, seen)
    around = (seen.images + 0.1 * torch.randn_like(seen.images).sign()).clamp(0, 1)

    def moved(images: Tensor) -> float:
        return divergence(clean.log_softmax(1), net(images).logits).mean().item()

    assert moved(found) > 2 * moved(around)
    assert (found - seen.images).abs().max() <= 0.1 + 1e-6
    assert part.perturb(net, seen, 5) is seen


def test_the_divergence_is_torch_distributions() -> None:
    first, second = torch.randn(5, 2), torch.randn(5, 2)
    expected = kl_divergence(Categorical(logits=first), Categorical(logits=second))
    torch.testing.assert_close(divergence(first.log_softmax(1), second), expected)


def test_the_trades_penalty_counts_both_passes_once() -> None:
    net, seen, part = model(), batch(), regulariser(mode="trades", beta=3.0)
    outputs = net(seen.images)
    before = {name: value.clone() for name, value in net.named_buffers()}
    part.perturb(net, seen, 5)
    penalty = part.penalty(net, seen, outputs, torch.tensor(0.3))
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())
    assert part.images is not None
    attacked = net(part.images).logits
    expected = kl_divergence(Categorical(logits=outputs.logits), Categorical(logits=attacked)).mean()
    torch.testing.assert_close(penalty, 3 * expected)
    (clean,) = torch.autograd.grad(penalty, outputs.logits, retain_graph=True)
    assert clean.any()  # not detached


def test_a_model_that_fails_gets_its_mode_back() -> None:
    net, part = model(), regulariser(mode="pgd")
    net.features[1].eval()
    modes = [module.training for module in net.modules()]
    broken = batch()._replace(images=torch.rand(4, 7, 16, 16))
    for _ in range(20):  # some coin falls on ascent
        try:
            part.perturb(net, broken, 5)
        except RuntimeError:
            break
    else:
        pytest.fail("never attacked")
    assert [module.training for module in net.modules()] == modes
