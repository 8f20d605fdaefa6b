"""SHAM: the target by hand, the loss against CYBORG's, the closed form against scikit-learn's ridge."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_victims
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from pipeline.common.errors import UserError
from pipeline.explain import fooling, similarity, targets
from pipeline.explain.attacks import Victim, sham
from pipeline.model import CamClassifier
from pipeline.model.batches import image_batches
from pipeline.model.losses import cyborg

SIDES = st.integers(1, 14)
CAMS = ("cam", "grad_cam", "diff_grad_cam", "difference_salience")


def victim(**changes: Any) -> Victim:
    return tiny_victims.victim(explanations=CAMS, **changes)


def value(table: pd.DataFrame, metric: str, explanation: str = "") -> float:
    chosen = (table["metric"] == metric) & (table["explanation"] == explanation)
    return table.loc[chosen, "value"].item()


def features(of: Victim) -> np.ndarray:
    """Features of all training images, (n, K, cells), float64."""
    with torch.no_grad():
        batches = image_batches(of.train.images, of.train.rows, 16, torch.device("cpu"))
        found = torch.cat([of.model(images).features for images in batches])
    return found.flatten(2).double().numpy()


def closed_form(of: Victim, **changes: Any) -> tuple[Tensor, CamClassifier]:
    """The target and the hoaxed model."""
    with torch.no_grad():
        height, width = of.model(of.images[:1]).cams.shape[-2:]
    target = targets.border(height, width)
    return target, sham.closed_form(of, target, **{"ridge": 0.01, "strength": 4.0} | changes)


def test_seven_by_seven_is_the_border_and_four_corners_of_the_next_ring() -> None:
    expected = torch.ones(7, 7)
    expected[1:6, 1:6] = 0
    expected[1::4, 1::4] = 1
    assert torch.equal(targets.border(7, 7), expected)
    assert similarity.entropy(expected[None].numpy()).item() == pytest.approx(math.log(28))
    assert math.log(28) == pytest.approx(3.33, abs=0.005)


def test_twenty_eight_cells_of_eight_by_eight_are_the_border() -> None:
    expected = torch.ones(8, 8)
    expected[1:7, 1:7] = 0
    assert torch.equal(targets.border(8, 8, entropy=3.33), expected)


@given(SIDES, SIDES)
def test_every_grid_has_the_same_share_of_cells(height: int, width: int) -> None:
    assert targets.border(height, width).sum() == round(height * width * 28 / 49)


@given(SIDES, SIDES, st.data())
def test_rings_fill_from_outside(height: int, width: int, data: st.DataObject) -> None:
    cells = data.draw(st.integers(1, height * width))
    found = targets.border(height, width, math.log(cells))
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    edges = [rows.expand(height, width), (height - 1 - rows).expand(height, width)]
    edges += [columns.expand(height, width), (width - 1 - columns).expand(height, width)]
    ring = torch.stack(edges).amin(0)
    assert set(found.unique().tolist()) <= {0.0, 1.0} and found.sum() == cells
    if cells < height * width:
        assert ring[found == 1].max() <= ring[found == 0].min()
        more = targets.border(height, width, math.log(cells + 1))
        assert (more - found).min() == 0 and (more - found).sum() == 1


def test_a_ring_starts_with_its_corners() -> None:
    assert targets.border(5, 6, math.log(4))[::4, ::5].all()


def test_of_equally_near_cells_those_at_the_first_and_the_opposite_corner_come_first() -> None:
    expected = [[1, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1]]
    assert targets.border(4, 4, math.log(8)).tolist() == expected


@pytest.mark.parametrize("fool", ["true", "both"])
def test_the_loss_is_cyborgs_with_the_target_as_human_map(fool: Any) -> None:
    found = victim()
    with torch.no_grad():
        outputs = found.model(found.images)
    target = targets.border(*outputs.cams.shape[-2:])
    human, there = target.expand(len(found.images), -1, -1), torch.ones(len(found.images), dtype=torch.bool)
    own = cyborg.loss(outputs, found.labels, human, there, alpha=0.3)
    other = cyborg.loss(outputs, 1 - found.labels, human, there, alpha=0.3)
    guidance = own.guidance if fool == "true" else (own.guidance + other.guidance) / 2
    expected = 0.3 * own.classification + 0.7 * guidance
    loss = sham.objective(target, fool, alpha=0.3)(outputs, found.images, found.labels)
    torch.testing.assert_close(loss, expected)


def test_fine_tuning_moves_the_maps_to_the_border_and_keeps_the_decisions() -> None:
    values = sham.attack(victim(), fool="both", epochs=8).values
    assert value(values, "accuracy_after") >= value(values, "accuracy_before") - 0.1
    assert value(values, "pearson_target", "cam") > value(values, "pearson_target_before", "cam") + 0.3
    assert value(values, "border_after", "cam") > value(values, "border_before", "cam") + 0.1


def test_the_closed_form_hoaxes_single_class_maps_and_changes_no_decision() -> None:
    values = sham.attack(victim(), mode="closed_form").values
    assert value(values, "probability_change") < 1e-4
    assert value(values, "accuracy_after") == value(values, "accuracy_before")
    for single in ("cam", "grad_cam"):
        assert value(values, "border_after", single) > value(values, "border_before", single) + 0.1
        assert value(values, "pearson_target", single) > value(values, "pearson_target_before", single) + 0.3
    for both in ("difference_salience", "diff_grad_cam"):
        assert value(values, "pearson_clean", both) > 1 - 1e-6
        assert value(values, "mse_clean", both) < 1e-6


def test_the_closed_form_is_scikit_learns_ridge_added_to_both_rows() -> None:
    found = victim()
    target, hoaxed = closed_form(found)
    maps = features(found)
    cells = maps.transpose(0, 2, 1).reshape(-1, maps.shape[1])
    goal = np.tile((target - target.mean()).flatten().double().numpy(), len(maps))
    penalty = 0.01 * (cells**2).sum() / maps.shape[1]
    expected = Ridge(alpha=penalty, fit_intercept=False).fit(cells, goal).coef_
    shift = (hoaxed.head.weight - found.model.head.weight).detach().double().numpy()
    np.testing.assert_allclose(shift[0], shift[1], atol=1e-5 * np.abs(shift).max())
    np.testing.assert_allclose(
        shift[0] / np.linalg.norm(shift[0]), expected / np.linalg.norm(expected), atol=1e-4
    )
    assert torch.equal(hoaxed.head.bias, found.model.head.bias)


def test_strength_compares_the_added_map_with_the_clean_ones() -> None:
    found = victim()
    _, hoaxed = closed_form(found, strength=3.0)
    weights = found.model.head.weight.detach().double().numpy()
    shift = hoaxed.head.weight.detach().double().numpy()[0] - weights[0]
    clean = np.einsum("ck,nkp->ncp", weights, features(found))
    added = np.einsum("k,nkp->np", shift, features(found))
    spread = np.sqrt(clean.var(axis=2).mean())
    assert np.sqrt(added.var(axis=1).mean()) == pytest.approx(3 * spread, rel=1e-3)


class Flat(nn.Module):
    """The same features at every cell, whatever the image."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.ones(len(images), 80, 4, 4)


def test_features_that_do_not_vary_end_in_one_line() -> None:
    flat = fooling.copy_of(victim().model)
    flat.features = Flat()
    with pytest.raises(UserError, match=r"^sham: the features are the same at every cell.*$"):
        sham.attack(victim(model=flat), mode="closed_form")
