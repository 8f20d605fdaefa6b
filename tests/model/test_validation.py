"""What validation says of a model, with numbers by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from torch import Tensor
from torch.nn import functional

from pipeline.common.errors import UserError
from pipeline.model import Outputs, validation
from pipeline.model.batches import StoreRows
from pipeline.model.validation import Validation, pearson

CPU = torch.device("cpu")
SIDE = 24


def autocast() -> torch.autocast:
    return torch.autocast("cpu", enabled=False)


class Answers:
    """A model that answers what it is told, in the order of rows."""

    def __init__(self, logits: Tensor, cams: Tensor) -> None:
        self.logits, self.cams, self.seen = logits, cams, 0

    def __call__(self, images: Tensor) -> Any:
        part = slice(self.seen, self.seen + len(images))
        self.seen += len(images)
        return Outputs(self.logits[part], images, self.cams[part])


def samples(n: int = 8, unmapped: tuple[int, ...] = (), labels: list[int] | None = None) -> StoreRows:
    random = np.random.default_rng(1)
    maps = random.integers(0, 256, (n, SIDE, SIDE), np.uint8)
    has_map = ~np.isin(np.arange(n), unmapped)
    maps[~has_map] = 0
    truth = np.arange(n) % 2 if labels is None else np.array(labels)
    images = np.full((n, 1, SIDE, SIDE), 100, np.uint8)
    return StoreRows(images, maps, has_map, truth, np.arange(n))


def flat_cams(n: int) -> Tensor:
    return torch.zeros(n, 2, 3, 3)


def test_the_auroc_by_hand_and_to_ten_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 x 4 pairs 12 are in order and one is a tie: 12.5 / 16; 1/3 keeps ten digits."""
    logits = torch.zeros(8, 2)
    logits[:, 1] = torch.tensor([0.1, 0.5, 0.2, 0.2, 0.4, 0.9, 0.3, 0.35])  # labels alternate, from 0
    ask = Validation(samples(), CPU, counterfactual=False)
    found = ask(Answers(logits, flat_cams(8)), autocast)
    assert found.keys() == {"val_loss", "val_auroc", "val_alignment"} and found["val_auroc"] == 12.5 / 16
    signed = torch.where(torch.arange(8) % 2 == 1, -logits[:, 1], logits[:, 1])
    assert found["val_loss"] == pytest.approx(functional.softplus(signed).mean().item(), rel=1e-6)
    monkeypatch.setattr(validation, "auroc", lambda labels, scores: 1 / 3)
    assert ask(Answers(logits, flat_cams(8)), autocast)["val_auroc"] == 0.3333333333


@pytest.mark.parametrize("batch", [3, 64])
def test_alignment_against_scipy(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean over annotated images of D's correlation with the map's cell means; flat maps do not count."""
    monkeypatch.setattr(validation, "BATCH", batch)
    data = samples(unmapped=(2,))
    data.maps[5] = 200  # flat
    cams = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = []
    for row in (0, 1, 3, 4, 6, 7):
        cells = data.maps[row].reshape(3, 8, 3, 8).mean((1, 3))
        true, false = cams[row, data.labels[row]], cams[row, 1 - data.labels[row]]
        expected.append(pearsonr((true - false).flatten(), cells.flatten()).statistic)
    found = Validation(data, CPU, counterfactual=False)(Answers(torch.zeros(8, 2), cams), autocast)
    assert found["val_alignment"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert found["val_alignment"] == round(found["val_alignment"], 10)


def test_a_flat_map_correlates_with_nothing() -> None:
    maps = torch.tensor([[[0.1, 0.1, 0.1]], [[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]]])
    others = torch.tensor([[[1.0, 2.0, 3.0]], [[0.1, 0.1, 0.1]], [[3.0, 6.0, 9.0]]])
    assert pearson(maps, others).tolist() == pytest.approx([0, 0, 1])


def test_scores_that_are_not_finite() -> None:
    with pytest.raises(UserError, match=r"not finite; lower train\.optimizer\.lr"):
        Validation(samples(), CPU, counterfactual=False)(
            Answers(torch.full((8, 2), torch.nan), flat_cams(8)), autocast
        )


def brightness_at(place: tuple[slice, slice]) -> Any:
    """A model that decides by whether one place is bright."""

    def model(images: Tensor) -> Any:
        bright = images[:, 0][(slice(None), *place)].mean((1, 2))
        logits = torch.stack([torch.zeros_like(bright), (bright > 0.9).float()], 1)
        return Outputs(logits, images, flat_cams(len(images)))

    return model


CAUSE, SHORTCUT = (slice(4, 8), slice(4, 8)), (slice(16, 20), slice(16, 20))


def planted(n: int = 40) -> StoreRows:
    """Positives are bright at the cause, where their map is, and at the shortcut."""
    data = samples(n)
    random = np.random.default_rng(0)
    data.images[:] = random.integers(90, 110, data.images.shape, np.uint8)
    data.maps[:] = 0
    for row in np.flatnonzero(data.labels == 1):
        for place in (CAUSE, SHORTCUT):
            data.images[row, 0][place] = 250
        data.maps[row][CAUSE] = 255
    return data


@pytest.mark.parametrize("batch", [7, 64])
def test_only_minus_without_by_hand(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUROC 1 with the place that decides, 0.5 without it, since blurred it is bright nowhere."""
    monkeypatch.setattr(validation, "BATCH", batch)
    ask = Validation(planted(), CPU, counterfactual=True)
    assert ask(brightness_at(CAUSE), autocast)["val_counterfactual"] == 0.5
    assert ask(brightness_at(SHORTCUT), autocast)["val_counterfactual"] == -0.5


@pytest.mark.parametrize(
    ("labels", "unmapped"), [([0, 1, 0, 1], (1, 3)), ([1, 1, 1, 1], (0,))], ids=["no map", "no negative"]
)
def test_where_nothing_can_be_filled(labels: list[int], unmapped: tuple[int, ...]) -> None:
    data = samples(4, unmapped, labels)
    ask = Validation(data, CPU, counterfactual=True)
    assert ask._only_minus_without(brightness_at(CAUSE), autocast) is None


def test_no_map_no_alignment() -> None:
    data = samples(8, tuple(range(8)))
    found = Validation(data, CPU, counterfactual=False)(Answers(torch.zeros(8, 2), flat_cams(8)), autocast)
    assert found["val_alignment"] is None
