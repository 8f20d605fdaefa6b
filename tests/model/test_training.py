"""Training: it learns, it is pure, it can stop at any epoch and go on bit for bit."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_store import arrays

from pipeline.common.errors import UserError
from pipeline.grid import checkpoint
from pipeline.model import training
from pipeline.model.batches import Batch, StoreRows
from pipeline.model.training import Fitted, State, Training, fit, learning_rate

AUGMENT = [
    {"name": "HorizontalFlip", "p": 0.5},
    {
        "name": "Affine",
        "p": 1,
        "rotate": [-5, 5],
        "interpolation": 1,
        "mask_interpolation": 1,
        "border_mode": 4,
    },
    {"name": "RandomBrightnessContrast", "p": 1, "brightness_limit": 0.1, "contrast_limit": 0},
]


def samples(rows: slice, has_map: bool = True) -> StoreRows:
    images, maps, labels = arrays(24, 32)
    return StoreRows(images, maps, np.full(24, has_map), labels, np.arange(24)[rows])


GUIDED = {"name": "divergence", "alpha": 0.5}
TRAIN, VAL = samples(slice(0, 16)), samples(slice(16, 24))


def settings(loss: dict[str, Any] = GUIDED, seed: int = 0, **train: Any) -> dict[str, Any]:
    return {
        "backbone": {"name": "compact", "weights": None},
        "method": {
            "loss": loss,
            "map_source": "human",
            "weight_decay": None,
            "activation": None,
            "regularisers": [],
        },
        "seed": seed,
        "train": {
            "epochs": 3,
            "batch_size": 8,
            "optimizer": {"name": "adamw", "lr": 0.002, "momentum": 0.9, "weight_decay": 1e-4},
            "schedule": {"name": "cosine", "step_epochs": 1, "gamma": 0.1},
            "early_stopping": None,
            "selection": {"metric": "auroc", "tolerance": 0.0},
            "augment": AUGMENT,
            "precision": "auto",
            **train,
        },
    }


def run(chosen: dict[str, Any], start: State | None = None) -> tuple[Fitted, list[State]]:
    states: list[State] = []
    fitted = fit(chosen, TRAIN, VAL, device="cpu", start=start, save=states.append)
    return fitted, states


def same(first: Fitted, second: Fitted) -> bool:
    ours, theirs = first.model.state_dict(), second.model.state_dict()
    return first.history == second.history and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_learns_the_training_set_and_reports_every_epoch() -> None:
    fitted, states = run(settings(epochs=8))
    losses = [row["loss"] for row in fitted.history]
    assert losses[-1] < 0.7 * losses[0]
    assert [row["epoch"] for row in fitted.history] == list(range(1, 9)) and len(states) == 8
    for row in fitted.history:
        assert row["loss"] == pytest.approx(0.5 * row["classification"] + 0.5 * row["guidance"], rel=1e-5)
        assert row["penalty"] == 0
    assert not fitted.model.training


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "adamw", "lr": 0.002, "momentum": 0.9, "weight_decay": 1e-4},
        {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-6},
        {"name": "sgd", "lr": 0.01, "momentum": 0.0, "weight_decay": 0.0},
    ],
    ids=["adamw", "sgd", "plain sgd"],
)
def test_resuming_after_any_epoch_ends_bit_identical(optimizer: dict[str, Any], tmp_path: Path) -> None:
    chosen = settings(optimizer=optimizer)
    whole, states = run(chosen)
    for state in states[:2]:
        checkpoint.save(tmp_path, "k", *state)
        loaded = checkpoint.load(tmp_path, "k")
        assert loaded is not None
        resumed, _ = run(chosen, State(*loaded))
        assert same(whole, resumed)


def test_resuming_a_finished_training_changes_nothing() -> None:
    whole, states = run(settings())
    resumed, more = run(settings(), states[-1])
    assert same(whole, resumed) and not more


def test_the_seed_is_all_the_randomness() -> None:
    state = torch.get_rng_state()
    first, _ = run(settings(epochs=1))
    torch.manual_seed(99)
    second, _ = run(settings(epochs=1))
    other, _ = run(settings(epochs=1, seed=1))
    assert same(first, second) and not same(first, other)
    torch.set_rng_state(state)
    run(settings(epochs=1))
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_pair_across_methods() -> None:
    """Same first weights and same batches: with alpha near 1 a guided method is cross-entropy."""
    guided, _ = run(settings({"name": "true_false", "alpha": 1 - 1e-9}, epochs=1))
    plain, _ = run(settings({"name": "cross_entropy"}, epochs=1))
    torch.testing.assert_close(guided.model.head.weight, plain.model.head.weight)


def validated(monkeypatch: pytest.MonkeyPatch, aurocs: list[float], alignments: list[Any]) -> None:
    """Trainings whose epochs are seen so."""
    monkeypatch.setattr(
        Training,
        "_validate",
        lambda self: {
            "val_loss": 0.1,
            "val_auroc": aurocs[len(self.history)],
            "val_alignment": alignments[len(self.history)],
        },
    )


@pytest.mark.parametrize(
    ("selection", "alignments", "best", "kept"),
    [
        ({"metric": "auroc", "tolerance": 0.05}, [0.5, 0.9, 0.4, 0.2, 0.3], 5, [1, 1, 3, 3, 5]),
        ({"metric": "alignment", "tolerance": 0.05}, [0.5, 0.9, 0.4, 0.2, 0.3], 3, [1, 1, 13, 13, 35]),
        ({"metric": "alignment", "tolerance": 0.4}, [0.5, 0.9, 0.4, 0.2, 0.3], 2, [1, 12, 123, 123, 1235]),
        ({"metric": "alignment", "tolerance": 0.4}, [None] * 5, 5, [1, 1, 3, 3, 5]),
    ],
)
def test_the_best_epoch_is_kept(
    selection: dict[str, Any],
    alignments: list[Any],
    best: int,
    kept: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """With its own weights, also after a resume, and no more weights are held than may still be chosen."""
    validated(monkeypatch, [0.9, 0.6, 0.95, 0.7, 0.97], alignments)
    chosen = settings(epochs=5, selection=selection)
    fitted, states = run(chosen)
    assert fitted.best_epoch == best
    assert fitted.selected_by == ("auroc" if None in alignments else selection["metric"])
    weights = states[best - 1].tensors
    assert all(
        torch.equal(value, weights[f"model.{name}"]) for name, value in fitted.model.state_dict().items()
    )
    held = [sorted({name.split(".")[1] for name in state.tensors if name[:4] == "kept"}) for state in states]
    assert [int("".join(epochs)) for epochs in held] == kept
    for state in states:
        checkpoint.save(tmp_path, "k", *state)
        loaded = checkpoint.load(tmp_path, "k")
        assert loaded is not None and same(run(chosen, State(*loaded))[0], fitted)


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 5), (None, 6)])
def test_early_stopping_waits_for_a_strictly_better_epoch(
    patience: int | None, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [0.5, 0.6, 0.6, 0.7, 0.7, 0.6] if patience == 1 else [0.5, 0.6, 0.7, 0.7, 0.6, 0.6]
    validated(monkeypatch, scores, scores)
    monkeypatch.setattr(Training, "_train", lambda self, epoch: [0.1, 0.1, 0.1, 0.0])
    assert len(run(settings(epochs=6, early_stopping=patience))[0].history) == epochs


def test_a_loss_that_is_not_finite_ends_the_cell() -> None:
    chosen = settings(optimizer={"name": "sgd", "lr": 1e30, "momentum": 0.9, "weight_decay": 0.0})
    with pytest.raises(UserError, match=r"the loss became (nan|inf) in epoch \d; lower train\.optimizer\.lr"):
        run(chosen)


def test_one_forward_per_step() -> None:
    made = Training(settings(), TRAIN, VAL, torch.device("cpu"))
    made.run_epoch()
    assert made.model.features.norm0.num_batches_tracked.item() == 2  # 16 samples, 8 per batch


SMOOTH = {"name": "softplus", "beta": 10.0}
LIPSCHITZ = {"name": "lipschitz", "target_loss": 5.0}  # above any cross-entropy here: it grows at once
EVERYTHING = [
    {"name": "saliency_adversarial", "mode": "pgd"},
    LIPSCHITZ,
    {"name": "hessian", "weight": 1e-5},
]


def robust(regularisers: list[dict[str, Any]] = EVERYTHING, **train: Any) -> dict[str, Any]:
    chosen = settings(**train)
    return {**chosen, "method": {**chosen["method"], "activation": SMOOTH, "regularisers": regularisers}}


@pytest.mark.parametrize("regularisers", [[LIPSCHITZ], EVERYTHING], ids=["lipschitz", "all"])
def test_resuming_keeps_what_regularisers_learned(regularisers: list[dict[str, Any]], tmp_path: Path) -> None:
    chosen = robust(regularisers)
    whole, states = run(chosen)
    integrals = [value for name, value in states[0].tensors.items() if name.endswith("integral")]
    assert len(integrals) == 1 and integrals[0] > 0
    checkpoint.save(tmp_path, "k", *states[0])
    loaded = checkpoint.load(tmp_path, "k")
    assert loaded is not None
    resumed, more = run(chosen, State(*loaded))
    assert same(whole, resumed)
    last = [states[-1].tensors, more[-1].tensors]
    assert all(torch.equal(value, last[1][name]) for name, value in last[0].items())


def test_penalties_are_part_of_the_loss_and_stand_in_a_column_of_their_own() -> None:
    fitted, _ = run(robust([{"name": "lipschitz", "psi0": 5000.0}], epochs=1))
    row = fitted.history[0]
    terms = 0.5 * row["classification"] + 0.5 * row["guidance"]
    assert row["penalty"] > 0 and row["loss"] == pytest.approx(terms + row["penalty"], rel=1e-5)


def test_a_strong_penalty_does_what_it_says() -> None:
    """Input gradients of the trained network are smaller."""

    def steepness(fitted: Fitted) -> float:
        images = torch.from_numpy(VAL.images[VAL.rows]).float().div(255).requires_grad_()
        logits = fitted.model(images).logits
        (slope,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), images)
        return float(slope.square().mean())

    strong = [{"name": "lipschitz", "psi0": 1e5, "zeta": 1.0}]
    assert steepness(run(robust(strong, epochs=6))[0]) < 0.5 * steepness(run(robust([], epochs=6))[0])


def test_regularisers_keep_one_forward_per_step_and_the_networks_mode() -> None:
    made = Training(robust(), TRAIN, VAL, torch.device("cpu"))
    made.run_epoch()
    assert made.model.features.norm0.num_batches_tracked.item() == 2
    assert isinstance(made.model.features.relu0, torch.nn.Softplus)


def test_regularisers_in_bfloat16() -> None:
    first, _ = run(robust(epochs=1, precision="bfloat16"))
    second, _ = run(robust(epochs=1, precision="bfloat16"))
    assert np.isfinite(first.history[0]["penalty"]) and same(first, second)


def test_a_methods_own_weight_decay() -> None:
    chosen, decay = settings(epochs=1), 0.5
    own = {**chosen, "method": {**chosen["method"], "weight_decay": decay}}
    optimizer = {**chosen["train"]["optimizer"], "weight_decay": decay}
    assert same(run(own)[0], run(settings(epochs=1, optimizer=optimizer))[0])
    assert not same(run(own)[0], run(chosen)[0])
    none = {**chosen, "method": {**chosen["method"], "weight_decay": 0.0}}
    assert not same(run(none)[0], run(chosen)[0])  # 0 is a choice, not the absence of one


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", "cuda", True),
        ("auto", "cpu", False),
        ("float32", "cuda", False),
        ("float32", "cpu", False),
        ("bfloat16", "cpu", True),
        ("bfloat16", "cuda", True),
    ],
)
def test_which_trainings_use_bfloat16(precision: str, device: str, expected: bool) -> None:
    assert training._wants_bfloat16(precision, torch.device(device)) == expected


def test_bfloat16_on_request() -> None:
    fitted, _ = run(settings(epochs=1, precision="bfloat16"))
    assert np.isfinite(fitted.history[0]["loss"])
    assert {value.dtype for value in fitted.model.parameters()} == {torch.float32}
    assert fitted.history != run(settings(epochs=1))[0].history


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("step", [1, 1, 0.1, 0.1, 0.01]),
        ("cosine", [1, 0.9045, 0.6545, 0.3455, 0.0955]),
    ],
)
def test_schedules(name: str, expected: list[float]) -> None:
    plan = {"epochs": 5, "schedule": {"name": name, "step_epochs": 2, "gamma": 0.1}}
    rates = [learning_rate(1.0, plan, epoch) for epoch in range(5)]
    assert rates == pytest.approx(expected, abs=1e-4)


def test_the_clock_starts_after_the_imports_and_goes_on_after_a_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seconds from a clock that moves by one at every look, and by a thousand while the model is built."""
    ticks = itertools.count()
    late = [0.0]
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(ticks) + late[0])
    made = training.build

    def slow(*arguments: Any) -> Any:
        late[0] += 1000
        return made(*arguments)

    monkeypatch.setattr(training, "build", slow)
    whole, states = run(settings())
    assert 0 < whole.seconds < 100
    resumed, _ = run(settings(), states[1])
    assert states[1].about["seconds"] < resumed.seconds < 100


def test_an_epochs_columns_are_means_over_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 6, 5 and 5 whose steps report their sizes: (36 + 25 + 25) / 16."""
    sizes: list[int] = []

    def step(self: Training, batch: Batch, epoch: int) -> torch.Tensor:
        sizes.append(len(batch.labels))
        return torch.tensor([1.0, 2.0, 3.0, 0.0]) * len(batch.labels)

    monkeypatch.setattr(Training, "_step", step)
    row = run(settings(epochs=1, batch_size=6))[0].history[0]
    assert sizes == [6, 5, 5]
    means = [row[name] for name in ("loss", "classification", "guidance", "penalty")]
    assert means == pytest.approx([5.375, 10.75, 16.125, 0])


def test_memory_is_not_told_on_the_cpu() -> None:
    """A process only knows the peak of its whole life."""
    assert run(settings(epochs=1))[0].peak_memory_mb is None


def test_a_model_takes_the_channels_of_its_images() -> None:
    """More of them would be taken without a word, since one grey channel can stand for many."""
    fitted, _ = run(settings(epochs=1))
    assert fitted.model.in_channels == TRAIN.images.shape[1] == 1
