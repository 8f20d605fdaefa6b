"""Transplanted regions by hand, who lends surroundings to whom, and that the background tells nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.model.batches import Batch
from pipeline.model.regularisers.transplant import _negatives, regulariser

HUMAN = torch.tensor([[[0.8, 0.24], [0.12, 0.0]], [[0.0, 0.12], [0.03, 0.4]]])  # of a negative, of a positive
CORES = torch.tensor([[[1.0, 0.5], [0.0, 0.0]], [[0.0, 0.5], [0.0, 1.0]]])  # shares of the peak 0.15 .. 0.45


def transplanted(seen: Batch, probability: float = 1.0) -> Batch:
    return regulariser(probability=probability).perturb(nn.Identity(), seen, 0)  # type: ignore[arg-type]


def two(labels: tuple[int, int] = (0, 1), has_map: tuple[bool, bool] = (True, True)) -> Batch:
    """An image of 0.25 and one of 0.75 everywhere, with maps (2, 2, 2)."""
    images = torch.tensor([0.25, 0.75])[:, None, None, None].repeat(1, 3, 2, 2)
    return Batch(images, torch.tensor(labels), HUMAN, torch.tensor(has_map))


def lending(monkeypatch: pytest.MonkeyPatch, *order: int) -> None:
    """Image i is lent the surroundings of order[i]."""
    monkeypatch.setattr(torch, "randperm", lambda count, device: torch.tensor(order, device=device))


def check(found: Batch, negative: list[list[float]], positive: list[list[float]]) -> None:
    for channel in range(3):
        torch.testing.assert_close(found.images[0, channel], torch.tensor(negative))
        torch.testing.assert_close(found.images[1, channel], torch.tensor(positive))


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive lends 0.75 but for its region (0, 1; 1/4, 1), which the negative's 0.25 covers."""
    lending(monkeypatch, 1, 0)
    seen = two()
    found = transplanted(seen)
    check(found, [[0.25, 0.25], [0.625, 0.25]], [[0.25, 0.5], [0.25, 0.75]])
    assert found.images.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(*pair) for pair in zip(found[1:], seen[1:], strict=True))  # labels and maps


def test_who_is_lent_his_own_surroundings_gets_the_seams_that_others_get(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lending(monkeypatch, 0, 1)
    check(transplanted(two()), [[0.25, 0.25], [0.25, 0.25]], [[0.75, 0.5], [0.625, 0.75]])


def test_a_positive_without_a_map_lends_nothing_a_negative_without_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lending(monkeypatch, 1, 0)
    seen = two(has_map=(True, False))  # neither has a region to move, or somebody to borrow from
    assert torch.equal(transplanted(seen).images, seen.images)
    found = transplanted(two(has_map=(False, True)))
    check(found, [[0.25, 0.25], [0.25, 0.25]], [[0.25, 0.5], [0.25, 0.75]])


def test_without_negatives_the_regions_are_covered_by_a_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    lending(monkeypatch, 1, 0)
    torch.manual_seed(0)
    found = [transplanted(two(labels=(1, 1))).images[0, 0].flatten() for _ in range(20)]
    seen = {tuple(round(value, 4) for value in image.tolist()) for image in found}
    by_the_first, by_the_lender = (0.25, 0.25, 0.625, 0.25), (0.25, 0.5, 0.75, 0.75)
    assert seen == {by_the_first, by_the_lender}


@pytest.mark.parametrize("why", ["no map", "nothing marked", "probability 0"])
def test_nothing_moves(why: str) -> None:
    seen = two(has_map=(why != "no map",) * 2)
    seen = seen._replace(maps=HUMAN * (why != "nothing marked"))
    for _ in range(10):
        found = transplanted(seen, 0.0 if why == "probability 0" else 1.0)
        assert all(torch.equal(*pair) for pair in zip(seen, found, strict=True))


def drawn(classes: list[tuple[bool, bool]]) -> tuple[Batch, Tensor]:
    """A batch of 4x4 px by (positive, annotated), and where each would be marked if it were, (N, 4, 4).

    Channel 0 is 0.5 in positives' regions, and 1 elsewhere in positives without a map; channel 1 is the row.
    """
    count = len(classes)
    labels = torch.tensor([int(positive) for positive, _ in classes])
    annotated = torch.tensor([known for _, known in classes])
    regions = torch.zeros(count, 4, 4)
    cells = torch.randint(0, 16, (count,))
    regions.flatten(1)[torch.arange(count), cells] = 1
    images = torch.zeros(count, 2, 4, 4)
    positive = labels[:, None, None] == 1
    hidden = positive & ~annotated[:, None, None]
    images[:, 0] = torch.where(hidden, 1.0, 0.5 * regions * positive)
    images[:, 1] = torch.arange(count)[:, None, None]
    return Batch(images, labels, regions * annotated[:, None, None], annotated), regions


@settings(max_examples=100, deadline=None)
@given(
    classes=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12),
    probability=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_whatever_the_batch(classes: list[tuple[bool, bool]], probability: float, seed: int) -> None:
    torch.manual_seed(seed)
    seen, regions = drawn(classes)
    found = transplanted(seen, probability)
    assert all(torch.equal(*pair) for pair in zip(found[1:], seen[1:], strict=True))
    kept = (regions == 1) | ~seen.has_map[:, None, None]
    assert torch.equal(found.images[:, 0][kept], seen.images[:, 0][kept])
    assert torch.equal(found.images[:, 1][kept], seen.images[:, 1][kept])
    if not (seen.labels == 0).any():
        return
    assert not found.images[:, 0][~kept].any()  # no cause came along, and nothing of an unknown positive
    if probability < 1:
        return
    outside = torch.where(kept, torch.nan, found.images[:, 1])
    for row in seen.has_map.nonzero().flatten():  # one lender, and a negative where that one's region was
        lenders, counts = outside[row][~outside[row].isnan()].unique(return_counts=True)
        assert len(lenders) <= 2 and counts.max() >= 14


def test_negatives_cover_and_all_of_them_alike() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([1, 0, 1, 0, 0, 1, 1])
    found = torch.stack([_negatives(labels) for _ in range(3000)])
    assert set(found.flatten().tolist()) == {1, 3, 4}
    for row in (1, 3, 4):
        torch.testing.assert_close((found == row).float().mean(0), torch.full((7,), 1 / 3), rtol=0, atol=0.04)


def test_what_surrounds_the_region_goes_with_both_labels_alike() -> None:
    """A mark at a place outside the regions that positives alone carry: afterwards half of both do."""
    torch.manual_seed(0)
    n = 64
    labels = torch.arange(n) % 2
    images = torch.zeros(n, 1, 4, 4)
    images[labels == 1, :, 3, 3] = 1
    images[labels == 1, :, 0, 0] = 0.5  # what they are positive by
    maps = torch.zeros(n, 4, 4)
    maps[:, 0, 0] = 1
    seen = Batch(images, labels, maps, torch.ones(n, dtype=torch.bool))
    for probability, expected in ((1.0, [0.5, 0.5]), (0.5, [0.25, 0.75])):
        marked, causal = torch.zeros(2), torch.zeros(2)
        for _ in range(100):
            found = transplanted(seen, probability).images
            for label in (0, 1):
                marked[label] += found[labels == label, 0, 3, 3].mean() / 100
                causal[label] += found[labels == label, 0, 0, 0].mean() / 100
        torch.testing.assert_close(marked, torch.tensor(expected), rtol=0, atol=0.03)
        torch.testing.assert_close(causal, torch.tensor([0.0, 0.5]))
