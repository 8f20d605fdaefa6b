"""Random erasing: rectangles within their limits, uniform pixels, and how often."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.model.batches import Batch
from pipeline.model.regularisers.random_erasing import RandomErasing, regulariser


def erased(images: Tensor, **chosen: float) -> Tensor:
    count = len(images)
    seen = Batch(
        images, torch.arange(count) % 2, torch.rand(count, *images.shape[2:]), torch.arange(count) > 0
    )
    found = regulariser(**chosen).perturb(nn.Identity(), seen, 0)  # type: ignore[arg-type]
    for before, after in zip(seen[1:], found[1:], strict=True):
        assert torch.equal(before, after)
    return found.images


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    side=st.sampled_from([5, 32, 96]),
    areas=st.lists(st.floats(0.01, 1), min_size=2, max_size=2),
)
def test_one_rectangle_of_the_size_that_is_asked(seed: int, side: int, areas: list[float]) -> None:
    torch.manual_seed(seed)
    smallest, largest = sorted(areas)
    found = RandomErasing(1.0, smallest, largest).rectangles(torch.zeros(8, 1, side, side))
    for where in found:
        rows, columns = where.any(1).nonzero()[:, 0], where.any(0).nonzero()[:, 0]
        height, width = (int(each[-1] - each[0]) + 1 for each in (rows, columns))
        assert len(rows) == height and len(columns) == width
        assert int(where.sum()) == height * width > 0
        slack = (height + width) / 2 + 0.25  # half a pixel of rounding on each side
        assert height * width <= largest * side**2 + slack
        if max(height, width) < side:  # not cut
            assert height * width >= smallest * side**2 - slack
            assert (height - 0.5) / (width + 0.5) <= 1 / 0.3 and (height + 0.5) / (width - 0.5) >= 0.3


def test_every_value_in_it_is_new_and_all_else_stays() -> None:
    torch.manual_seed(0)
    images = torch.full((200, 3, 32, 32), 2.0)
    found = erased(images, probability=1.0)
    new = found != 2
    assert (
        torch.equal(new[:, 0], new[:, 1])
        and torch.equal(new[:, 0], new[:, 2])
        and new.flatten(1).any(1).all()
    )
    values = found[new]
    assert values.min() >= 0 and values.max() < 1
    assert values.mean().item() == pytest.approx(0.5, abs=0.01)
    assert values.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert new[:, 0].float().mean().item() == pytest.approx(0.21, abs=0.02)  # area is uniform in 0.02..0.4


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_how_often(probability: float) -> None:
    torch.manual_seed(0)
    found = erased(torch.full((2000, 1, 8, 8), 2.0), probability=probability)
    assert (found != 2).flatten(1).any(1).float().mean().item() == pytest.approx(probability, abs=0.03)


def test_small_rectangles_lie_everywhere_alike() -> None:
    torch.manual_seed(0)
    where = RandomErasing(1.0, 1e-9, 1e-9).rectangles(torch.zeros(16000, 1, 4, 4)).float()
    assert where.sum((1, 2)).eq(1).all()
    assert (where.mean(0) - 1 / 16).abs().max() < 0.008
