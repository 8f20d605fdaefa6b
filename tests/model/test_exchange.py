"""The exchange of regions by hand, who is paired with whom, and that the background tells nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.model.batches import Batch
from pipeline.model.regularisers.exchange import partners, regulariser


def exchanged(seen: Batch, probability: float = 1.0) -> Batch:
    return regulariser(probability=probability).perturb(nn.Identity(), seen, 0)  # type: ignore[arg-type]


def two(maps: Tensor, has_map: bool = True) -> Batch:
    """A negative of 0.25 and a positive of 0.75 everywhere, with the positive's map (2, 2)."""
    images = torch.tensor([0.25, 0.75])[:, None, None, None].expand(2, 3, 2, 2)
    own = torch.stack([torch.full((2, 2), 0.9), maps])
    return Batch(images, torch.tensor([0, 1]), own, torch.tensor([False, has_map]))


def test_by_hand() -> None:
    """R = min(1, H / (0.3 * 0.8)): cells of 0.8 and 0.24 go whole, one of 0.12 by half."""
    human = torch.tensor([[0.8, 0.24], [0.12, 0.0]])
    found = exchanged(two(human))
    region = torch.tensor([[1.0, 1.0], [0.5, 0.0]])
    assert found.labels.tolist() == [0, 1] and found.has_map.tolist() == [True, True]
    assert torch.equal(found.maps, torch.stack([human, human]))
    for channel in range(3):
        torch.testing.assert_close(found.images[0, channel], 0.25 * region + 0.75 * (1 - region))
        torch.testing.assert_close(found.images[1, channel], 0.75 * region + 0.25 * (1 - region))


@pytest.mark.parametrize("why", ["no map", "nothing marked", "probability 0"])
def test_nothing_is_exchanged(why: str) -> None:
    human = torch.tensor([[0.8, 0.2], [0.1, 0.0]]) * (why != "nothing marked")
    seen = two(human, has_map=why != "no map")
    found = exchanged(seen, 0.0 if why == "probability 0" else 1.0)
    for before, after in zip(seen, found, strict=True):
        assert torch.equal(before, after)


@settings(max_examples=100, deadline=None)
@given(
    classes=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12),
    probability=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_pairs(classes: list[tuple[bool, bool]], probability: float, seed: int) -> None:
    torch.manual_seed(seed)
    labels = torch.tensor([int(positive) for positive, _ in classes])
    marked = torch.tensor([annotated for _, annotated in classes])
    found = partners(labels, marked, probability)
    everybody = torch.arange(len(labels))
    assert torch.equal(found[found], everybody)  # the other of a pair is paired with the first
    paired = found != everybody
    assert (labels[found] != labels)[paired].all()
    assert (marked | (labels == 0))[paired].all()
    able = min(int(((labels == 1) & marked).sum()), int((labels == 0).sum()))
    assert int(paired.sum()) == 2 * able if probability == 1 else int(paired.sum()) <= 2 * able
    assert probability > 0 or not paired.any()


def test_pairs_are_random_and_half_of_them_exchange() -> None:
    torch.manual_seed(0)
    labels, marked = torch.arange(8) % 2, torch.ones(8, dtype=torch.bool)
    found = torch.stack([partners(labels, marked, 0.5) for _ in range(4000)])
    assert (found == torch.arange(8)).float().mean(0).sub(0.5).abs().max() < 0.03
    for other in range(1, 8, 2):  # each of the four with the same chance
        assert (found[:, 0] == other).float().mean().item() == pytest.approx(0.125, abs=0.02)


def test_what_surrounds_the_region_goes_with_both_labels_alike() -> None:
    """A mark at a place outside the regions that positives alone carry: after exchanges half of both do."""
    torch.manual_seed(0)
    n = 64
    labels = torch.arange(n) % 2
    images = torch.zeros(n, 1, 4, 4)
    images[labels == 1, :, 3, 3] = 1
    images[labels == 1, :, 0, 0] = 0.5  # what they are positive by
    maps = torch.zeros(n, 4, 4)
    maps[:, 0, 0] = 1
    seen = Batch(images, labels, maps, torch.ones(n, dtype=torch.bool))
    marked, causal = torch.zeros(2), torch.zeros(2)
    for _ in range(100):
        found = exchanged(seen, 0.5).images
        for label in (0, 1):
            marked[label] += found[labels == label, 0, 3, 3].mean() / 100
            causal[label] += found[labels == label, 0, 0, 0].mean() / 100
    torch.testing.assert_close(marked, torch.tensor([0.5, 0.5]), rtol=0, atol=0.03)
    torch.testing.assert_close(causal, torch.tensor([0.0, 0.5]))
