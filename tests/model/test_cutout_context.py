"""New surroundings by hand, whose region and whose map, and that surroundings tell nothing."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.model.batches import Batch
from pipeline.model.regularisers import cutout_context

CAUSES = [(0, 0), (0, 1), (1, 0)]  # where each positive's cause and map are


def batch(has_map: list[bool] | None = None) -> Batch:
    """Three negatives of 0.1, 0.2, 0.3 and three positives of 0.4, 0.5, 0.6, each with 1 at its own place."""
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    images = torch.arange(1, 7).div(10)[:, None, None, None].repeat(1, 1, 2, 2)
    maps = torch.zeros(6, 2, 2)
    for row, place in enumerate(CAUSES, 3):
        images[row, 0, *place] = 1
        maps[row, *place] = 0.8
    there = torch.tensor([False, False, False, True, True, True] if has_map is None else has_map)
    return Batch(images, labels, maps * there[:, None, None], there)


def changed(seen: Batch, probability: float, order: list[int], monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.setattr(torch, "randperm", lambda count, device: torch.tensor(order))
    part = cutout_context.regulariser(probability=probability)
    return part.perturb(nn.Identity(), seen, 0)  # type: ignore[arg-type]


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negatives 0 and 1 get surroundings of positive 3 and negative 2, positives 4 and 5 of 0 and 3."""
    seen = batch()
    found = changed(seen, 1.0, [3, 2, 1, 5, 0, 4], monkeypatch)
    assert torch.equal(found.labels, seen.labels) and found.has_map.all()
    # 0: its own pixel where 3's cause was, 3's surroundings, 3's map
    torch.testing.assert_close(found.images[0, 0], torch.tensor([[0.1, 0.4], [0.4, 0.4]]))
    assert torch.equal(found.maps[0], seen.maps[3])
    # 1: one pixel of its own in negative 2, at some positive's place
    values, counts = found.images[1].unique(return_counts=True)
    torch.testing.assert_close(values, torch.tensor([0.2, 0.3]))
    assert counts.tolist() == [1, 3]
    torch.testing.assert_close(found.maps[1] > 0, found.images[1, 0] < 0.25)
    # 4: its cause in negative 0
    torch.testing.assert_close(found.images[4, 0], torch.tensor([[0.1, 1.0], [0.1, 0.1]]))
    assert torch.equal(found.maps[4], seen.maps[4])
    # 5 in 4, both positives: two causes, and both are in the map
    torch.testing.assert_close(found.images[5, 0], torch.tensor([[0.5, 1.0], [1.0, 0.5]]))
    torch.testing.assert_close(found.maps[5], torch.maximum(seen.maps[5], seen.maps[4]))


@pytest.mark.parametrize("why", ["no map", "probability 0", "itself"])
def test_nothing_changes(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = batch([False] * 6 if why == "no map" else None)
    order = [0, 1, 2, 3, 4, 5] if why == "itself" else [3, 2, 1, 5, 0, 4]
    found = changed(seen, 0.0 if why == "probability 0" else 1.0, order, monkeypatch)
    for before, after in zip(seen, found, strict=True):
        assert torch.equal(before, after)


def test_a_positive_without_a_map_lends_no_surroundings_to_a_negative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its cause could be anywhere; to a positive it may, whose map stays its own."""
    seen = batch([False, False, False, False, True, True])
    found = changed(seen, 1.0, [3, 2, 1, 5, 3, 4], monkeypatch)
    assert torch.equal(found.images[0], seen.images[0]) and not found.has_map[0]
    assert torch.equal(found.images[3], seen.images[3])  # nor is its own region known
    torch.testing.assert_close(found.images[4, 0], torch.tensor([[1.0, 1.0], [0.4, 0.4]]))
    assert torch.equal(found.maps[4], seen.maps[4])


def rates(seen: Batch, pixel: tuple[int, int], rounds: int = 200) -> Tensor:
    """Mean value at a pixel by label, over many draws with probability 1."""
    sums = torch.zeros(2)
    for _ in range(rounds):
        images = cutout_context.regulariser(probability=1.0).perturb(nn.Identity(), seen, 0).images  # type: ignore[arg-type]
        sums += torch.stack([images[seen.labels == label, 0, *pixel].mean() for label in (0, 1)])
    return sums / rounds


def test_what_surrounds_the_region_goes_with_both_labels_alike() -> None:
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    images, maps = torch.zeros(64, 1, 4, 4), torch.zeros(64, 4, 4)
    images[labels == 1, :, 3, 3] = 1  # a mark beside the region
    images[labels == 1, :, 0, 0] = 1  # the cause
    maps[:, 0, 0] = 1
    seen = Batch(images, labels, maps, torch.ones(64, dtype=torch.bool))
    torch.testing.assert_close(rates(seen, (3, 3)), torch.tensor([0.5, 0.5]), rtol=0, atol=0.02)
    torch.testing.assert_close(rates(seen, (0, 0)), torch.tensor([0.0, 1.0]))
