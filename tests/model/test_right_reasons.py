"""Ross' penalty by hand on a linear network, where it rests, and that it follows the log-probabilities."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.model import Outputs, build
from pipeline.model.batches import Batch
from pipeline.model.regularisers.right_reasons import regulariser


class Linear(nn.Module):
    """Logits w_c . x."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Outputs:
        return Outputs(images.flatten(1) @ self.weight.T, images, images)


WEIGHT = torch.tensor([[1.0, 2.0, 0.0, -1.0], [0.0, 4.0, 3.0, 1.0]])


def batch(has_map: list[bool]) -> Batch:
    """Maps 0.8, 0.25, 0.12, 0 over four pixels: A is 0, 0, 1/2, 1."""
    count = len(has_map)
    images = torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    maps = torch.tensor([[0.8, 0.25], [0.12, 0.0]]).expand(count, 2, 2)
    return Batch(images, torch.arange(count) % 2, maps, torch.tensor(has_map))


def penalty(model: nn.Module, seen: Batch, weight: float = 1.0) -> Tensor:
    return regulariser(weight=weight).penalty(model, seen, None, torch.tensor(0.0))  # type: ignore[arg-type]


def test_by_hand() -> None:
    """d(log p0 + log p1)/dx = (1 - 2 p0) w0 + (1 - 2 p1) w1 = (p1 - p0)(w0 - w1)."""
    seen, model = batch([True, False, True]), Linear(WEIGHT)
    p = model(seen.images).logits.softmax(1)
    slope = (p[:, 1] - p[:, 0])[:, None] * (WEIGHT[0] - WEIGHT[1])
    each = (torch.tensor([0, 0, 0.5, 1]) * slope).square().sum(1)
    torch.testing.assert_close(penalty(model, seen, 7.0), 7 * (each[0] + each[2]) / 2)


def test_a_network_that_reads_the_region_alone_pays_nothing() -> None:
    inside = Linear(WEIGHT * torch.tensor([1.0, 1.0, 0.0, 0.0]))
    outside = Linear(WEIGHT * torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert penalty(inside, batch([True] * 3)).item() == 0 < penalty(outside, batch([True] * 3)).item()


@pytest.mark.parametrize("why", ["no map", "nothing marked"])
def test_without_maps_it_is_nothing(why: str) -> None:
    model, seen = Linear(WEIGHT), batch([why != "no map"] * 2)
    found = penalty(model, seen._replace(maps=seen.maps * (why == "no map")))
    found.backward()
    assert found.item() == 0 and model.weight.grad is not None and not model.weight.grad.any()


def test_against_a_jacobian_of_a_network() -> None:
    torch.manual_seed(0)
    model = build("compact", in_channels=1).double().eval()
    images, maps = torch.rand(2, 1, 16, 16, dtype=torch.float64), torch.rand(2, 16, 16, dtype=torch.float64)
    seen = Batch(images, torch.tensor([0, 1]), maps, torch.tensor([True, True]))
    expected = 0.0
    for image, human in zip(images, maps, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda x: model(x[None]).logits.log_softmax(1)[0].sum(), image
        )
        mask = 1 - (human / (0.3 * human.max())).clamp(max=1)
        expected += (mask * jacobian).square().sum().item() / 2
    assert penalty(model, seen).item() == pytest.approx(expected, rel=1e-6)
