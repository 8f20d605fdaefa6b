"""Passive fooling: each target's loss by hand, its interval, and that fine-tuning lowers it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_victims
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from torch import Tensor

from pipeline.explain import fooling
from pipeline.explain.attacks import passive_fooling as attack
from pipeline.explain.explanations import explain
from pipeline.explain.targets import frame
from pipeline.model import Outputs
from pipeline.model.batches import as_floats
from pipeline.model.cam import normalise

CPU = torch.device("cpu")
TARGETS = ("location", "top_k", "centre_mass", "active")
RATED = TARGETS[:3]


def pair(first: Tensor, second: Tensor | None = None) -> Tensor:
    """One image's heats of both classes, (1, 2, h, w)."""
    return torch.stack([first, torch.zeros_like(first) if second is None else second])[None]


def spot(row: int, column: int, side: int = 5) -> Tensor:
    found = torch.zeros(side, side)
    found[row, column] = 1
    return found


def metrics(table: pd.DataFrame, explanation: str) -> set[str]:
    return set(table.loc[table["explanation"] == explanation, "metric"])


@pytest.mark.parametrize(("side", "width"), [(3, 1), (7, 1), (13, 1), (14, 2), (20, 2), (21, 3)])
def test_the_frame_is_a_seventh_of_the_side(side: int, width: int) -> None:
    found = frame(side, side)
    inside = slice(width, side - width)
    assert not found[inside, inside].any()
    assert found.sum() == side**2 - (side - 2 * width) ** 2


def test_heat_is_grad_cam_over_its_maximum() -> None:
    found = tiny_victims.victim()
    with torch.no_grad():
        cams = found.model(found.images).cams
    for classes, place in ((found.labels, 0), (1 - found.labels, 1)):
        grad_cam = explain("grad_cam", found.model, found.images, classes)
        peak = grad_cam.amax((1, 2), keepdim=True)
        expected = torch.where(peak > 0, grad_cam / peak.clamp(min=1e-12), 0.0)
        torch.testing.assert_close(attack.heats(cams, found.labels)[:, place], expected, rtol=1e-3, atol=1e-4)


def test_heat_is_of_the_class_that_the_clean_model_predicts() -> None:
    found = tiny_victims.victim()
    fooled = fooling.copy_of(found.model)
    with torch.no_grad():
        fooled.head.weight *= -1  # decides the other way round
        clean, changed = found.model(found.images), fooled(found.images)
    predicted = clean.logits.argmax(1)
    before, after = attack.heats_of_predicted(found, fooled)
    torch.testing.assert_close(before, attack.heats(clean.cams, predicted), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after, attack.heats(changed.cams, predicted), rtol=1e-3, atol=1e-4)
    other = attack.heats_of_predicted(found._replace(labels=1 - found.labels), fooled)
    assert all(torch.equal(a, b) for a, b in zip(other, (before, after), strict=True))


def test_rounding_beside_a_negative_map_is_no_heat() -> None:
    cams = torch.full((1, 2, 2, 2), -100.0)
    cams[0, 0, 0, 0], cams[0, 1, 0, 0] = 1e-6, 1.0
    found = attack.heats(cams, torch.tensor([0]))
    assert found[0, 0].tolist() == [[0, 0], [0, 0]]
    assert found[0, 1].tolist() == [[1, 0], [0, 0]]


def test_location_is_the_distance_to_the_frame() -> None:
    on_frame = frame(5, 5)
    assert attack.location(pair(on_frame), pair(on_frame)).item() == 0
    off_frame = pair(1 - on_frame, on_frame)  # the other class does not count
    assert attack.location(off_frame, off_frame).item() == 1
    one_wrong = on_frame.clone()
    one_wrong[2, 2] = 0.5
    assert attack.location(pair(one_wrong), off_frame).item() == pytest.approx(0.25 / 25)


def test_a_tenth_of_twenty_cells_is_two() -> None:
    original, changed = torch.zeros(4, 5), torch.zeros(4, 5)
    original[0, 0], original[3, 4] = 1.0, 0.9
    changed[3, 4] = 1.0  # heat is left in the second hottest alone
    assert attack.top_k(pair(changed), pair(original)).item() == pytest.approx(1 / 2)


def test_top_k_is_the_heat_left_in_the_hottest_tenth_of_the_original() -> None:
    original = torch.zeros(5, 5)  # 25 cells: the two hottest count
    original[0, 0], original[4, 4], original[2, 2] = 1.0, 0.9, 0.8
    changed = torch.full((5, 5), 0.2)  # N() makes this 0
    changed[0, 0], changed[3, 3], changed[2, 2] = 0.6, 1.0, 1.0  # N(0.6) = 0.5
    assert attack.top_k(pair(changed), pair(original)).item() == pytest.approx(0.5**2 / 2)


def test_centre_mass_is_minus_the_way_down_and_across() -> None:
    found = attack.centre_mass(pair(spot(4, 1)), pair(spot(0, 2)))
    assert found.item() == pytest.approx(-(4 / 4 + 1 / 4))


@given(arrays(np.float64, (3, 4, 5), elements=st.floats(0, 1, width=16)))
def test_centres_are_scipys(maps: np.ndarray) -> None:
    tensor = torch.from_numpy(maps)
    scaled = normalise(tensor).numpy()
    expected = [
        np.divide(ndimage.center_of_mass(image), (3, 4)) if image.any() else (0.5, 0.5) for image in scaled
    ]
    np.testing.assert_allclose(attack.centre(tensor).numpy(), expected, atol=1e-9)


def test_active_is_nothing_once_the_maps_have_changed_places() -> None:
    own, other = spot(0, 0), spot(4, 4)
    assert attack.active(pair(other, own), pair(own, other)).item() == 0
    assert attack.active(pair(own, other), pair(own, other)).item() == pytest.approx(2 / 25)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["flat", "empty", "one-hot"])
def test_degenerate_maps_give_finite_losses_and_gradients(target: Any, kind: str) -> None:
    cams = torch.full((2, 2, 4, 4), {"flat": 0.3, "empty": -1.0, "one-hot": 0.0}[kind])
    if kind == "one-hot":
        cams[:, :, 1, 2] = 1
    cams.requires_grad_()
    labels = torch.tensor([0, 1])
    original = attack.heats(torch.rand(2, 2, 4, 4), labels)
    loss = attack.LOSSES[target](attack.heats(cams, labels), original).sum()
    loss.backward()
    assert loss.isfinite() and cams.grad is not None and cams.grad.isfinite().all()


def test_the_loss_is_cross_entropy_and_the_weighted_fooling_of_the_true_class() -> None:
    found = tiny_victims.victim()
    outputs: Outputs = found.model(found.images)
    heat = attack.heats(outputs.cams, found.labels)
    fooled = attack.location(heat, heat).mean()
    expected = torch.nn.functional.cross_entropy(outputs.logits, found.labels) + 3 * fooled
    loss = attack.objective(found.model, "location", 3.0)(outputs, found.images, found.labels)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("target", TARGETS)
def test_fine_tuning_lowers_the_fooling_loss(target: Any) -> None:
    found = tiny_victims.victim()
    images, labels = as_floats(found.train.images, CPU), torch.from_numpy(found.train.labels)
    objective = attack.objective(found.model, target, weight=4.0)
    fooled = fooling.fine_tune(found, objective, epochs=4, lr=0.003, batch_size=8)
    with torch.no_grad():
        before = attack.heats(found.model(images).cams, labels)
        after = attack.heats(fooled(images).cams, labels)
    losses = [attack.LOSSES[target](heat, before).mean().item() for heat in (before, after)]
    assert losses[1] < losses[0] - 0.02


def test_success_is_a_loss_in_the_interval() -> None:
    cells = torch.arange(25.0).reshape(5, 5) / 24
    same, moved = pair(cells), pair(cells.flip(0, 1))
    assert attack.succeeded("top_k", same, same).tolist() == [0]
    assert attack.succeeded("top_k", moved, same).tolist() == [1]
    assert attack.succeeded("location", pair(frame(5, 5)), same).tolist() == [1]
    assert attack.succeeded("location", pair(1 - frame(5, 5)), same).tolist() == [0]


@pytest.mark.parametrize(("columns", "rated"), [(0, 0), (1, 0), (2, 1), (10, 1)])
def test_a_centre_counts_from_a_tenth_of_the_side(columns: int, rated: int) -> None:
    """The distance is columns / 10 across and none down, over sqrt(2): 0.071 for one, 0.141 for two."""
    found = attack.succeeded("centre_mass", pair(spot(5, columns, 11)), pair(spot(5, 0, 11)))
    assert found.tolist() == [rated]


def test_an_empty_grad_cam_has_no_rate() -> None:
    empty, shown = pair(torch.zeros(5, 5), spot(0, 0)), pair(spot(1, 1))
    for target in RATED:
        assert attack.succeeded(target, empty, shown).isnan().all()
        assert attack.succeeded(target, shown, empty).isnan().all()


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_reports_what_it_can(target: Any) -> None:
    found = tiny_victims.victim()
    findings = attack.attack(found, target=target, epochs=1)
    assert ("pearson_target" in metrics(findings.values, "cam")) == (target in ("location", "active"))
    assert ("target" in findings.pictures) == (target in ("location", "active"))
    rates = findings.values[findings.values["metric"] == "fooling_rate"]
    assert list(rates["explanation"]) == (["grad_cam"] if target in RATED else [])
    assert (rates["n"] + rates["undefined"] == len(found.images)).all()


def test_the_active_target_is_the_other_classs_original_map_of_the_predicted_class() -> None:
    found = tiny_victims.victim()
    with torch.no_grad():
        outputs = found.model(found.images)
    other = explain("grad_cam", found.model, found.images, 1 - outputs.logits.argmax(1))
    expected = other / other.amax((1, 2), keepdim=True).clamp(min=1e-12)
    pictures = attack.attack(found, target="active", epochs=1).pictures
    np.testing.assert_allclose(pictures["target"], expected[: found.shown].numpy(), rtol=1e-3, atol=1e-4)
