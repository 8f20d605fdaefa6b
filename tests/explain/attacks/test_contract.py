"""Promises that every attack must keep; a new file in the catalogue is found by itself."""

import operator
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_victims
import torch
from torch.nn import functional

from pipeline.common import catalogue
from pipeline.explain import fooling
from pipeline.explain.attacks import COLUMNS, Findings, Victim
from pipeline.model import CamClassifier, build

ATTACKS = catalogue.names("explain/attacks")
TABLES = ("hoax", "manipulability", "robust_decisions", "other")
TO_CLEAN = {f"{metric}_clean" for metric in ("mse", "pearson", "ssim")}
TO_TARGET = {f"{metric}_{to}" for metric in ("mse", "pearson", "ssim") for to in ("target", "target_before")}
HOAX = TO_CLEAN | {
    f"{metric}_{moment}"
    for metric in ("accuracy", "auroc", "border", "entropy", "cc", "energy_pointing")
    for moment in ("before", "after")
} | {"probability_change"}  # fmt: skip
INPUTS = {"probability_change", "decision_changes", "input_linf", "input_rms"}
WALKS = {"accuracy_clean", "auroc_clean", "radius_median", "unbroken", "ara_attack", "ara_btr"}
CHECKS = {f"accuracy_linf_{check}" for check in ("harder", "blind", "unbounded")}
LINF = CHECKS | {"auroc_clean", "accuracy_linf", "overstated_linf", "masking_linf"}
RUNS: list[tuple[str, dict[str, Any], set[str]]] = [  # settings with which it is over soon, and its metrics
    ("manipulation", {"steps": 3}, TO_CLEAN | TO_TARGET | INPUTS),
    ("manipulation", {"steps": 3, "target": "sham"}, TO_CLEAN | TO_TARGET | INPUTS),
    ("minimal_perturbation", {"steps": 4, "explain_steps": 3}, WALKS | {"accuracy_attack", "accuracy_btr"}),
    ("passive_fooling", {"epochs": 1, "batch_size": 32, "target": "top_k"}, HOAX | {"fooling_rate"}),
    ("passive_fooling", {"epochs": 1, "batch_size": 32, "target": "active"}, HOAX | TO_TARGET),
    ("pgd", {"linf": [0.01, 0.03], "l2": [0.01], "steps": 3}, LINF | {"accuracy_l2"}),
    ("sham", {"epochs": 1, "batch_size": 32}, HOAX | TO_TARGET),
    ("sham", {"mode": "closed_form"}, HOAX | TO_TARGET),
]
NEW = set(ATTACKS) - {name for name, *_ in RUNS}
RUNS += [(name, {}, set()) for name in sorted(NEW)]  # its metrics are its own affair


Run = Callable[[Victim], Findings]


def victim() -> Victim:
    """One with a model of its own, in a state that no attack would leave behind by chance."""
    found = tiny_victims.victim()
    model = fooling.copy_of(found.model)
    for index, weight in enumerate(model.parameters()):
        weight.grad = torch.full_like(weight, index)
        weight.requires_grad_(index % 2 == 0)
    model.register_forward_hook(lambda *_: None)
    return found._replace(model=model)


def state(of: Victim) -> dict[str, Any]:
    """Everything that an attack must leave as it was."""
    model = of.model
    tensors: dict[str, Any] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors |= {f"gradient of {name}": weight.grad for name, weight in model.named_parameters()}
    tensors |= {name: value for name, value in of._asdict().items() if isinstance(value, torch.Tensor)}
    return {
        "values": {name: value.detach().numpy().tobytes() for name, value in tensors.items()},
        "objects": {name: (id(value), value.requires_grad) for name, value in tensors.items()},
        "train": {name: value.tobytes() for name, value in vars(of.train).items() if value is not None},
        "modes": [module.training for module in model.modules()],
        "hooks": [
            {name: list(hooks) for name, hooks in vars(module).items() if "hooks" in name and hooks}
            for module in model.modules()
        ],
        "input gradient": of.images.grad,
        "grad mode": torch.is_grad_enabled(),
    }


def generators() -> tuple[Any, ...]:
    """The state of the global random generators."""
    _, key, *position = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), key.tobytes(), position, random.getstate()


@contextmanager
def counting(model: CamClassifier, stop: Callable[[int], bool]) -> Iterator[list[int]]:
    """Counts the forward passes of a model and its copies; raises in the one where `stop` says so."""
    calls = [0]

    def count(*_: Any) -> None:
        calls[0] += 1
        if stop(calls[0]):
            raise RuntimeError(f"stopped at {calls[0]}")

    handle = model.register_forward_pre_hook(count)
    yield calls
    handle.remove()


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: " ".join([run[0], *map(str, run[1].values())]))
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any], set[str]]:
    return request.param


@pytest.fixture(scope="module")
def run(case: tuple[str, dict[str, Any], set[str]]) -> Run:
    name, settings, _ = case
    return partial(catalogue.get("explain/attacks", name), **settings)


@pytest.fixture(scope="module")
def findings(run: Run) -> Findings:
    return run(tiny_victims.victim())


def test_values_have_the_documented_columns_and_metrics(
    findings: Findings, case: tuple[str, dict[str, Any], set[str]]
) -> None:
    values = findings.values
    assert tuple(values.columns) == COLUMNS and len(values)
    assert set(values["metric"]) == case[2] or case[0] in NEW
    assert set(values["explanation"]) <= {"", *tiny_victims.victim().explanations}
    assert not values.duplicated(["explanation", "metric", "budget"]).any()


def test_a_colour_network_without_relu_few_attacks_and_no_maps(run: Run) -> None:
    """EfficientNet on 64 px, three of four images normal, nobody has marked anything."""
    plain = tiny_victims.victim(4)
    images = functional.interpolate(plain.images, size=64).expand(-1, 3, -1, -1)
    trained = plain.train.images[:4].repeat(3, 1).repeat(2, 2).repeat(2, 3)
    torch.manual_seed(0)
    unseen = plain._replace(
        model=build("efficientnet_b0", in_channels=3).eval(),
        train=replace(plain.train, images=trained, rows=np.arange(4)),
        images=images,
        labels=torch.tensor([0, 0, 0, 1]),
        has_map=torch.zeros(4, dtype=torch.bool),
        explanations=("cam", "difference_salience"),
    )
    values = run(unseen).values
    assert values.loc[values["metric"].str.startswith(("cc_", "energy_")), "n"].eq(0).all()
    assert values.loc[~values["metric"].str.startswith(("cc_", "energy_")), "n"].gt(0).any()


def test_values_are_finite_or_counted_as_undefined(findings: Findings) -> None:
    values = findings.values
    assert (np.isfinite(values["value"]) | ((values["n"] == 0) & values["value"].isna())).all()
    images = len(tiny_victims.victim().images)
    assert ((values["n"] + values["undefined"]).between(1, images)).all()


def test_pictures_show_the_first_images(findings: Findings) -> None:
    shown = tiny_victims.victim().shown
    for picture in findings.pictures.values():
        assert picture.dtype in (np.float32, np.uint8)
        assert np.isfinite(picture).all()
        assert picture.ndim == 2 or len(picture) == shown


def test_the_victim_is_left_as_it_was(run: Run) -> None:
    found = victim()
    before = state(found)
    run(found)
    assert state(found) == before


def test_the_victim_is_left_as_it_was_when_its_forward_raises(run: Run) -> None:
    found = victim()
    before = state(found)
    with counting(found.model, lambda call: False) as calls:
        run(found)
    assert calls[0] > 1
    for last in sorted({1, calls[0] // 3, calls[0] * 2 // 3, calls[0]}):
        stop = partial(operator.eq, last)
        with counting(found.model, stop), pytest.raises(RuntimeError, match=f"stopped at {last}"):
            run(found)
        assert state(found) == before


def test_results_and_the_global_generators_do_not_depend_on_each_other(run: Run, findings: Findings) -> None:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    before = generators()
    again = run(tiny_victims.victim())
    assert generators() == before
    pd.testing.assert_frame_equal(again.values, findings.values, check_exact=True)
    assert again.pictures.keys() == findings.pictures.keys()
    assert all(np.array_equal(again.pictures[key], findings.pictures[key]) for key in again.pictures)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_default_settings_are_allowed(name: str) -> None:
    fields = catalogue.settings_model("explain/attacks", name).model_fields
    assert not [key for key, field in fields.items() if field.is_required()]
    assert catalogue.problems("explain/attacks", catalogue.filled("explain/attacks", {"name": name})) == []
    for settings in (settings for attack, settings, _ in RUNS if attack == name):
        assert catalogue.problems("explain/attacks", {"name": name, **settings}) == []


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_says_which_table_it_belongs_to(name: str) -> None:
    assert catalogue.declared("explain/attacks", name, "TABLE") in TABLES


@pytest.mark.parametrize("name", ATTACKS)
def test_each_wrong_setting_is_one_line_that_names_it(name: str) -> None:
    for key in catalogue.settings_model("explain/attacks", name).model_fields:
        lines = catalogue.problems("explain/attacks", {"name": name, key: {}})
        assert lines and all(line.startswith(key) for line in lines)
        (line,) = catalogue.problems("explain/attacks", {"name": name, f"{key}_": 1})
        assert line.startswith(f"{key}_: unknown key; did you mean {key!r}?")


COUNTING = """'''How often the model says normal.'''

from pipeline.explain.attacks import Findings, Values

TABLE = "other"


def attack(victim, *, of: int = 0):
    values = Values()
    values.add("said", victim.model(victim.images).logits.argmax(1) == of)
    return Findings(values.table(), {})
"""


def test_a_new_attack_is_one_file(add_member: Callable) -> None:
    add_member("explain/attacks", "counting", COUNTING)
    assert catalogue.declared("explain/attacks", "counting", "TABLE") == "other"
    assert catalogue.problems("explain/attacks", {"name": "counting", "of": 1.5})
    shares = [
        catalogue.make("explain/attacks", {"name": "counting", "of": label})(tiny_victims.victim()).values
        for label in (0, 1)
    ]
    assert sum(share["value"].item() for share in shares) == 1
