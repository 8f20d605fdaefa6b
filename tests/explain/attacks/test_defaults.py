"""What an attack or explanation does when nothing is said, and the limits of what may be said."""

from typing import Any

import pytest

from pipeline.common import catalogue
from pipeline.explain.attacks import manipulation, minimal_perturbation, passive_fooling, pgd

GREY_LEVELS = [level / 255 for level in (0.5, 1, 2, 4, 8)]
ATTACKS: dict[str, dict[str, Any]] = {
    "sham": {
        "mode": "fine_tune", "fool": "true", "alpha": 0.5, "epochs": 6, "lr": 0.002, "batch_size": 8,
        "ridge": 0.001, "strength": 5.0, "entropy": None,
    },
    "passive_fooling": {"target": "location", "weight": 2.0, "epochs": 6, "lr": 0.001, "batch_size": 8},
    "manipulation": {"eps": 8 / 255, "steps": 100, "lr": 0.1, "output_weight": 1e4, "target": "other"},
    "pgd": {"linf": GREY_LEVELS, "l2": GREY_LEVELS, "steps": 20, "restarts": 2},
    "minimal_perturbation": {
        "steps": 100, "max_rms": 0.5, "momentum": 0.9, "explain_rms": 0.1, "explain_steps": 35,
    },
}  # fmt: skip
EXPLANATIONS = {"integrated_gradients": {"steps": 30}, "smooth_grad": {"noise": 0.15, "samples": 25}}


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attacks(name: str) -> None:
    assert catalogue.filled("explain/attacks", {"name": name}) == {"name": name, **ATTACKS[name]}


def test_values_of_the_papers_that_no_setting_changes() -> None:
    assert manipulation.BETAS == (10.0, 100.0)
    assert minimal_perturbation.OVERSHOOT == 5.0
    assert passive_fooling.INTERVALS == {"location": (0, 0.2), "top_k": (0, 0.3), "centre_mass": (0.1, 1)}
    assert pgd.QUERIES == 200 and pgd.ABOUT == 0.1


@pytest.mark.parametrize("name", sorted(EXPLANATIONS))
def test_explanations(name: str) -> None:
    assert catalogue.filled("explain/explanations", {"name": name}) == {"name": name, **EXPLANATIONS[name]}


@pytest.mark.parametrize(
    ("kind", "choice", "allowed"),
    [
        ("attacks", {"name": "sham", "alpha": 0}, True),
        ("attacks", {"name": "sham", "alpha": 1}, True),
        ("attacks", {"name": "sham", "alpha": 1.1}, False),
        ("attacks", {"name": "sham", "epochs": 0}, False),
        ("attacks", {"name": "sham", "batch_size": 1}, True),
        ("attacks", {"name": "sham", "entropy": 0}, True),
        ("attacks", {"name": "sham", "entropy": -0.1}, False),
        ("attacks", {"name": "sham", "strength": 0}, False),
        ("attacks", {"name": "sham", "strength": 0.5, "ridge": 0.1, "lr": 0.5, "epochs": 1}, True),
        ("attacks", {"name": "sham", "ridge": 0}, False),
        ("attacks", {"name": "sham", "lr": 0}, False),
        ("attacks", {"name": "passive_fooling", "weight": 0}, False),
        (
            "attacks",
            {"name": "passive_fooling", "weight": 0.5, "lr": 0.5, "epochs": 1, "batch_size": 1},
            True,
        ),
        ("attacks", {"name": "passive_fooling", "epochs": 0}, False),
        ("attacks", {"name": "passive_fooling", "batch_size": 0}, False),
        ("attacks", {"name": "manipulation", "eps": 1, "steps": 1, "lr": 0.5, "output_weight": 0}, True),
        ("attacks", {"name": "manipulation", "eps": 1.1}, False),
        ("attacks", {"name": "manipulation", "eps": 0}, False),
        ("attacks", {"name": "manipulation", "steps": 0}, False),
        ("attacks", {"name": "pgd", "linf": [1], "l2": [0.5], "steps": 1, "restarts": 1}, True),
        ("attacks", {"name": "pgd", "linf": [1.1]}, False),
        ("attacks", {"name": "pgd", "l2": [0]}, False),
        ("attacks", {"name": "pgd", "l2": [1.1]}, False),
        ("attacks", {"name": "pgd", "linf": [0]}, False),
        ("attacks", {"name": "pgd", "restarts": 0}, False),
        ("attacks", {"name": "pgd", "steps": 0}, False),
        ("attacks", {"name": "minimal_perturbation", "steps": 1, "explain_steps": 1, "momentum": 0}, True),
        ("attacks", {"name": "minimal_perturbation", "max_rms": 0.9, "explain_rms": 0.9}, True),
        ("attacks", {"name": "minimal_perturbation", "momentum": 1}, False),
        ("attacks", {"name": "minimal_perturbation", "momentum": 0.99}, True),
        ("attacks", {"name": "minimal_perturbation", "max_rms": 0}, False),
        ("attacks", {"name": "minimal_perturbation", "explain_rms": 0}, False),
        ("attacks", {"name": "minimal_perturbation", "explain_steps": 0}, False),
        ("explanations", {"name": "integrated_gradients", "steps": 1}, True),
        ("explanations", {"name": "integrated_gradients", "steps": 0}, False),
        ("explanations", {"name": "smooth_grad", "noise": 0, "samples": 1}, True),
        ("explanations", {"name": "smooth_grad", "samples": 0}, False),
    ],
    ids=str,
)
def test_limits(kind: str, choice: dict[str, Any], allowed: bool) -> None:
    assert (catalogue.problems(f"explain/{kind}", choice) == []) == allowed
