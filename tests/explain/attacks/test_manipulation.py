"""Manipulated inputs: maps follow their target within the budget, outputs stay, noise does not do as much."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_victims
import torch
from torch import Tensor, nn

from pipeline.common.errors import UserError
from pipeline.explain import similarity
from pipeline.explain.attacks import Victim, manipulation
from pipeline.explain.attacks.manipulation import Search, manipulate, softened
from pipeline.explain.explanations import explain
from pipeline.explain.targets import border

SEARCH = Search(eps=0.03, steps=30, lr=0.1, output_weight=1e4)


def value(table: pd.DataFrame, metric: str, explanation: str) -> float:
    return table.loc[(table["metric"] == metric) & (table["explanation"] == explanation), "value"].item()


def predicted(victim: Victim) -> Tensor:
    with torch.no_grad():
        return victim.model(victim.images).logits.softmax(1)


def moved(victim: Victim, name: str, search: Search = SEARCH) -> Tensor:
    """The manipulated images, each towards the next one's map."""
    clean = predicted(victim)
    before = explain(name, victim.model, victim.images, clean.argmax(1))
    return manipulate(victim, name, clean, before, before.roll(-1, 0), search)


@pytest.mark.parametrize("target", ["other", "sham"])
def test_maps_follow_the_target_and_outputs_stay(target: Any) -> None:
    victim = tiny_victims.victim(6, explanations=("difference_salience", "gradient"))
    found = manipulation.attack(victim, eps=0.03, steps=60, target=target).values
    for name in victim.explanations:
        assert value(found, "mse_target", name) < 0.8 * value(found, "mse_target_before", name)
        assert value(found, "pearson_target", name) > 0.2 + value(found, "pearson_target_before", name)
        assert value(found, "ssim_target", name) > value(found, "ssim_target_before", name)
        assert value(found, "pearson_clean", name) < 0.7
        assert value(found, "decision_changes", name) == 0
        assert value(found, "probability_change", name) < 0.01
        assert value(found, "input_rms", name) <= value(found, "input_linf", name) <= 0.03 + 1e-6


@pytest.mark.parametrize("name", ["cam", "gradient_x_input", "integrated_gradients"])
def test_noise_of_the_same_size_moves_a_map_less(name: str) -> None:
    victim = tiny_victims.victim(4)
    classes = predicted(victim).argmax(1)
    before = explain(name, victim.model, victim.images, classes).numpy()
    changed = moved(victim, name, SEARCH._replace(steps=15))
    sign = torch.randn(changed.shape, generator=torch.Generator().manual_seed(0)).sign()
    noisy = victim.images + (changed - victim.images).abs() * sign
    attacked, disturbed = (
        similarity.compare(explain(name, victim.model, images, classes).numpy(), before)["pearson"].mean()
        for images in (changed, noisy)
    )
    assert attacked < disturbed - 0.05


def test_what_is_reported_is_of_the_original_network_and_the_clean_class() -> None:
    victim = tiny_victims.victim(4, explanations=("grad_cam",), shown=3)
    found = manipulation.attack(victim, eps=SEARCH.eps, steps=SEARCH.steps)
    changed, clean = moved(victim, "grad_cam"), predicted(victim)
    after = explain("grad_cam", victim.model, changed, clean.argmax(1))
    before = explain("grad_cam", victim.model, victim.images, clean.argmax(1))
    expected = similarity.compare(after.numpy(), before.numpy())
    for metric in ("mse", "pearson", "ssim"):
        assert value(found.values, f"{metric}_clean", "grad_cam") == pytest.approx(expected[metric].mean())
    shift = (predicted(victim._replace(images=changed)) - clean).abs().amax(1).mean().item()
    assert value(found.values, "probability_change", "grad_cam") == pytest.approx(shift)
    pictures = found.pictures
    np.testing.assert_allclose(pictures["after_grad_cam"], after[:3].numpy(), rtol=1e-5)
    np.testing.assert_allclose(pictures["before_grad_cam"], before[:3].numpy(), rtol=1e-5)
    np.testing.assert_allclose(pictures["target_grad_cam"], before[1:4].numpy(), rtol=1e-5)
    assert pictures["images_grad_cam"].dtype == np.uint8
    np.testing.assert_allclose(pictures["images_grad_cam"], changed[:3].numpy() * 255, atol=0.5001)


def test_what_the_labels_say_explains_nothing() -> None:
    victim = tiny_victims.victim(4, explanations=("cam", "gradient"))
    wrong = victim._replace(labels=1 - victim.labels)
    found, again = (manipulation.attack(one, steps=2).values for one in (victim, wrong))
    pd.testing.assert_frame_equal(again, found)


def test_manipulated_images_are_images_within_the_budget() -> None:
    victim = tiny_victims.victim(4)
    bright = victim._replace(images=(victim.images * 2).clamp(0, 1))
    changed = moved(bright, "difference_salience", SEARCH._replace(lr=1.0))
    assert changed.min() >= 0 and changed.max() <= 1 and not changed.requires_grad
    assert 0.029 < (changed - bright.images).abs().max() <= 0.03 + 1e-6


def test_images_do_not_depend_on_their_batch_and_global_randomness_is_left_alone() -> None:
    before = torch.get_rng_state()
    together, alone = (
        moved(tiny_victims.victim(4, batch_size=size), "gradient", SEARCH._replace(steps=4))
        for size in (4, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-3)


def test_a_heavier_output_weight_keeps_outputs_nearer() -> None:
    victim = tiny_victims.victim(4)
    clean = predicted(victim)
    drift = [
        (
            predicted(victim._replace(images=moved(victim, "cam", SEARCH._replace(output_weight=weight))))
            - clean
        )
        .abs()
        .max()
        for weight in (0.0, 1e2, 1e6)
    ]
    assert drift[2] < drift[1] < drift[0]


def kinds(model: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for _, module in model.named_modules(remove_duplicate=False)]


def test_relus_are_softened_in_a_frozen_copy_only() -> None:
    model = tiny_victims.victim(1).model
    before = kinds(model)
    twin, softplus = softened(model)
    assert kinds(model) == before and nn.ReLU in before
    assert kinds(twin) == [nn.Softplus if kind is nn.ReLU else kind for kind in before]
    assert not any(weight.requires_grad for weight in twin.parameters())
    assert all(weight.requires_grad for weight in model.parameters())
    images = tiny_victims.victim(2).images
    softplus.beta = 1e5
    torch.testing.assert_close(twin(images).logits, model(images).logits, rtol=1e-3, atol=1e-2)
    softplus.beta = 10.0
    assert (twin(images).logits - model(images).logits).abs().max() > 0.1


def test_a_smooth_network_is_attacked_as_it_is() -> None:
    victim = tiny_victims.victim(4, activation="softplus")
    twin, softplus = softened(victim.model)
    assert all(module is not softplus for module in twin.modules())
    torch.testing.assert_close(twin(victim.images).logits, victim.model(victim.images).logits)
    found = manipulation.attack(victim._replace(explanations=("gradient",)), steps=20).values
    assert value(found, "pearson_target", "gradient") > value(found, "pearson_target_before", "gradient")


def test_the_sham_target_is_its_border_and_others_are_skipped() -> None:
    victim = tiny_victims.victim(1, explanations=("smooth_grad", "cam", "grad_cam_pp"))
    found = manipulation.attack(victim, steps=1, target="sham")
    assert set(found.values["explanation"]) == {"cam"}
    np.testing.assert_array_equal(found.pictures["target_cam"][0], border(4, 4).numpy())


def test_what_cannot_be_attacked_is_said() -> None:
    with pytest.raises(UserError, match=r"needs one of cam, .* in robustness.explanations"):
        manipulation.attack(tiny_victims.victim(2, explanations=("smooth_grad",)))
    with pytest.raises(UserError, match="at least 2 images, got 1"):
        manipulation.attack(tiny_victims.victim(1))


def test_the_model_comes_back_as_it_was_when_an_explanation_raises(monkeypatch: Any) -> None:
    victim = tiny_victims.victim(2, explanations=("cam",))
    weights = {name: value.clone() for name, value in victim.model.state_dict().items()}

    def broken(*_: Any) -> Tensor:
        raise RuntimeError("broken")

    monkeypatch.setattr("pipeline.explain.explanations.cam.explanation", broken)
    with pytest.raises(RuntimeError, match="broken"):
        manipulation.attack(victim)
    assert all(torch.equal(value, weights[name]) for name, value in victim.model.state_dict().items())
    assert all(value.requires_grad and value.grad is None for value in victim.model.parameters())
