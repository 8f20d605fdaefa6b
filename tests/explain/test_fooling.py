"""Hoaxed models: fine-tuning works on a copy, in order, without luck; the comparison is checked by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_victims
import torch
from torch import Tensor, nn

from pipeline.common.errors import UserError
from pipeline.explain import alignment, fooling, similarity
from pipeline.explain.attacks import Victim
from pipeline.explain.explanations import explain
from pipeline.model import CamClassifier, Outputs
from pipeline.model.batches import StoreRows

LABEL_GREY = 1 / 255


def tune(victim: Victim, objective: Any, **changes: Any) -> CamClassifier:
    settings = {"epochs": 2, "lr": 0.01, "batch_size": 10} | changes
    return fooling.fine_tune(victim, objective, **settings)


def wrong_labels(outputs: Outputs, images: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs.logits, 1 - labels)


def numbered(n: int = 25) -> StoreRows:
    """Image i is grey level i all over, label i % 2; every third is in use."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 1, 32, 32)).copy()
    rows = np.arange(0, n, 3)
    return StoreRows(images, images[:, 0], np.ones(n, bool), np.arange(n) % 2, rows)


def orders(victim: Victim, epochs: int = 2) -> list[int]:
    """The training images that the objective sees, in order; each must come with its own label."""
    seen: list[int] = []

    def objective(outputs: Outputs, images: Tensor, labels: Tensor) -> Tensor:
        numbers = (images[:, 0, 0, 0] / LABEL_GREY).round().int()
        assert torch.equal(numbers % 2, labels.int()) and images.shape[1:] == (1, 32, 32)
        seen.extend(numbers.tolist())
        return outputs.logits.sum()

    tune(victim, objective, epochs=epochs, batch_size=4)
    return seen


def table(victim: Victim, hoaxed: Any, target: Tensor | None = None) -> pd.DataFrame:
    border = torch.ones(4, 4)
    border[1:3, 1:3] = 0
    return fooling.compare(victim, hoaxed, target, border)[0].table()


def value(values: pd.DataFrame, metric: str, explanation: str = "") -> float:
    chosen = (values["metric"] == metric) & (values["explanation"] == explanation)
    return values.loc[chosen, "value"].item()


class Shown(nn.Module):
    """Shows given maps (n, 2, h, w) and logits (n, 2), whatever the images."""

    def __init__(self, cams: Tensor, logits: Tensor) -> None:
        super().__init__()
        self.outputs = Outputs(logits, cams, cams)

    def forward(self, images: Tensor) -> Outputs:
        return Outputs(*(values[: len(images)] for values in self.outputs))


def test_fine_tuning_changes_a_copy_and_no_running_statistics() -> None:
    victim = tiny_victims.victim()
    before = {name: tensor.clone() for name, tensor in victim.model.state_dict().items()}
    hoaxed = tune(victim, wrong_labels)
    changed = hoaxed.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in victim.model.state_dict().items())
    assert not any(torch.equal(value, before[name]) for name, value in hoaxed.named_parameters())
    assert all(torch.equal(changed[name], before[name]) for name, _ in hoaxed.named_buffers())
    assert not any(module.training for module in hoaxed.modules())
    assert all(value.grad is None for value in victim.model.parameters())


def test_fine_tuning_does_what_the_objective_says() -> None:
    victim = tiny_victims.victim()
    values = table(victim, tune(victim, wrong_labels, epochs=10, lr=0.003))
    assert value(values, "accuracy_before") > 0.8 and value(values, "accuracy_after") < 0.2
    assert value(values, "auroc_before") > 0.9 and value(values, "auroc_after") < 0.1
    assert 0.5 < value(values, "probability_change") <= 1


def test_a_frozen_victim_can_be_hoaxed() -> None:
    victim = tiny_victims.victim()
    frozen = fooling.copy_of(victim.model).requires_grad_(False)
    hoaxed = tune(victim._replace(model=frozen), wrong_labels)
    plain = tune(victim, wrong_labels)
    assert not any(value.requires_grad for value in frozen.parameters())
    for ours, theirs in zip(hoaxed.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_every_epoch_sees_every_training_image_once_in_an_order_of_its_own() -> None:
    victim = tiny_victims.victim(train=numbered())
    seen = orders(victim)
    rows = victim.train.rows.tolist()
    first, second = seen[: len(rows)], seen[len(rows) :]
    assert sorted(first) == sorted(second) == rows and first != second
    assert orders(victim) == seen
    assert orders(victim._replace(seed=1)) != seen


def test_training_images_may_be_mapped_read_only(tmp_path: Path) -> None:
    samples = numbered()
    np.save(tmp_path / "images.npy", samples.images)
    mapped = StoreRows(np.load(tmp_path / "images.npy", mmap_mode="r"), *list(vars(samples).values())[1:])
    assert orders(tiny_victims.victim(train=mapped)) == orders(tiny_victims.victim(train=samples))


def test_a_loss_that_is_not_finite_ends_in_one_line() -> None:
    def exploding(outputs: Outputs, images: Tensor, labels: Tensor) -> Tensor:
        return outputs.logits.sum() * float("nan")

    with pytest.raises(UserError, match=r"^the attack's loss became nan in epoch 1; lower its lr$"):
        tune(tiny_victims.victim(), exploding)


def test_a_model_against_itself_has_not_changed() -> None:
    victim = tiny_victims.victim(explanations=("cam", "gradient"))
    values = table(victim, fooling.copy_of(victim.model), torch.eye(4))
    assert value(values, "probability_change") == 0
    for name in victim.explanations:
        found = values[values["explanation"] == name].set_index("metric")["value"]
        assert (found["mse_clean"], found["pearson_clean"], found["ssim_clean"]) == pytest.approx((0, 1, 1))
        for metric in ("mse", "pearson", "ssim"):
            assert found[f"{metric}_target"] == found[f"{metric}_target_before"]
        for metric in ("border", "entropy", "cc", "energy_pointing"):
            assert found[f"{metric}_after"] == found[f"{metric}_before"]


def test_values_by_hand() -> None:
    corner, middle = torch.zeros(4, 4), torch.zeros(4, 4)
    corner[0, 0], middle[1, 1] = 2, 3
    clean = Shown(torch.stack([torch.stack([corner, middle])] * 4), torch.tensor([[1.0, 0.0]] * 4))
    hoaxed = Shown(torch.stack([torch.stack([middle, corner])] * 4), torch.tensor([[0.0, 1.0]] * 4))
    human = torch.zeros(4, 32, 32)
    human[:, :8, :8] = 1  # the first cell
    victim = tiny_victims.victim(4, model=clean, human_maps=human, explanations=("cam",))
    values = table(victim, hoaxed, (corner > 0).float())
    expected = {
        "border_before": 1,
        "border_after": 0,
        "entropy_before": 0,
        "entropy_after": 0,
        "mse_clean": 2 / 16,
        "mse_target": 2 / 16,
        "mse_target_before": 0,
        "pearson_clean": -1 / 15,
        "pearson_target": -1 / 15,
        "pearson_target_before": 1,
    }
    for metric, number in expected.items():
        assert value(values, metric, "cam") == pytest.approx(number, abs=1e-12), metric
    assert value(values, "accuracy_before") == value(values, "accuracy_after") == 0.5  # labels 0, 1, 0, 1
    assert value(values, "probability_change") == pytest.approx(2 / (1 + np.exp(-1)) - 1)
    assert value(values, "cc_before", "cam") > 0.6 > 0.2 > value(values, "cc_after", "cam")
    assert value(values, "energy_pointing_before", "cam") > value(values, "energy_pointing_after", "cam")


def test_both_maps_explain_the_class_that_the_clean_model_predicts() -> None:
    victim = tiny_victims.victim(explanations=("cam",))
    hoaxed = tune(victim, wrong_labels, epochs=6)
    with torch.no_grad():
        predicted = victim.model(victim.images).logits.argmax(1)
    assert not torch.equal(hoaxed(victim.images).logits.argmax(1), predicted)
    expected = explain("cam", hoaxed, victim.images, predicted)
    pictures = fooling.compare(victim, hoaxed, None, torch.ones(4, 4))[1]
    np.testing.assert_allclose(pictures["after_cam"], expected[: victim.shown].numpy(), rtol=1e-4, atol=1e-5)
    assert pictures["after_cam"].dtype == np.float32 and "target" not in pictures


def test_what_the_labels_say_explains_nothing() -> None:
    """Wrong labels change accuracies alone: the explained class is the predicted one."""
    victim = tiny_victims.victim(explanations=("cam", "difference_salience"))
    hoaxed = tune(victim, wrong_labels)
    right, wrong = (
        table(found, hoaxed).set_index(["explanation", "metric"])["value"]
        for found in (victim, victim._replace(labels=1 - victim.labels))
    )
    for name in victim.explanations:
        pd.testing.assert_series_equal(wrong[name], right[name])
    assert wrong["", "accuracy_before"] == pytest.approx(1 - right["", "accuracy_before"])


def test_the_border_is_brought_to_pixels_by_the_nearest_cell() -> None:
    victim = tiny_victims.victim(explanations=("gradient",))
    with torch.no_grad():
        predicted = victim.model(victim.images).logits.argmax(1)
    maps = explain("gradient", victim.model, victim.images, predicted).numpy()
    mask = np.ones((32, 32))
    mask[8:24, 8:24] = 0
    expected = similarity.energy_share(maps, mask).mean()
    assert value(table(victim, victim.model), "border_before", "gradient") == pytest.approx(expected)


def test_alignment_counts_images_with_a_usable_map_only() -> None:
    has_map = torch.tensor([True, True, True, False] * 3)
    human = tiny_victims.victim().human_maps.clone()
    human[0] = 0.5  # constant: says nothing
    victim = tiny_victims.victim(has_map=has_map, human_maps=human, explanations=("cam",))
    values = table(victim, victim.model)
    row = values[values["metric"] == "cc_before"].iloc[0]
    usable = np.flatnonzero(has_map)[1:]
    with torch.no_grad():
        predicted = victim.model(victim.images).logits.argmax(1)
    maps = explain("cam", victim.model, victim.images, predicted).numpy()[usable]
    assert (row["n"], row["undefined"]) == (8, 0)
    assert row["value"] == pytest.approx(alignment.align(maps, human.numpy()[usable])["cc"].mean())


def test_without_human_maps_alignment_has_no_images() -> None:
    victim = tiny_victims.victim(has_map=torch.zeros(12, dtype=torch.bool), explanations=("cam",))
    values = table(victim, victim.model)
    rows = values[values["metric"].str.startswith(("cc_", "energy_pointing_"))]
    assert len(rows) == 4 and (rows["n"] == 0).all() and rows["value"].isna().all()


def test_targets_may_differ_from_image_to_image() -> None:
    victim = tiny_victims.victim(explanations=("cam",))
    with torch.no_grad():
        outputs = victim.model(victim.images)
    own = explain("cam", victim.model, victim.images, outputs.logits.argmax(1))
    values, pictures = fooling.compare(victim, victim.model, own, torch.ones(4, 4))
    assert value(values.table(), "mse_target", "cam") == pytest.approx(0, abs=1e-9)
    assert pictures["target"].shape == (victim.shown, 4, 4)
    one_map = fooling.compare(victim, victim.model, own[0], torch.ones(4, 4))
    assert one_map[1]["target"].shape == (4, 4)
    assert value(one_map[0].table(), "mse_target", "cam") > 0.001


def test_without_a_target_nothing_is_compared_with_one() -> None:
    victim = tiny_victims.victim(explanations=("cam",))
    assert not table(victim, victim.model)["metric"].str.contains("target").any()
