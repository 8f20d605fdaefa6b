"""What losses, regularisers and activations are when nothing is said, and the limits of their settings."""

from typing import Any

import pytest
import torch

from pipeline.common import catalogue
from pipeline.model import Outputs

DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "losses": {
        "cross_entropy": {},
        "cyborg": {"alpha": 0.5, "cam_class": "true"},
        "difference_salience": {"alpha": 0.5},
        "divergence": {"alpha": 0.5},
        "energy": {"alpha": 0.5},
        "evidence": {"alpha": 0.5},
        "spectral_decoupling": {"weight": 0.1},
        "true_false": {"alpha": 0.5},
    },
    "regularisers": {
        "cutout_context": {"probability": 0.5},
        "exchange": {"probability": 0.5},
        "hessian": {"weight": 0.001},
        "lipschitz": {"psi0": 220.0, "kappa": 0.02, "target_loss": 0.45, "zeta": 0.2, "z": 2.0},
        "neutral": {"weight": 1.0, "level": "chance"},
        "neutral_features": {"weight": 1.0, "level": "chance"},
        "random_erasing": {"probability": 0.5, "smallest": 0.02, "largest": 0.4},
        "right_reasons": {"weight": 1.0},
        "saliency_adversarial": {
            "mode": "plain", "eps": 8 / 255, "a": 0.6, "pace": 10.0, "threshold": 0.5, "steps": 5,
            "step": 2 / 255, "beta": 1.0,
        },
        "transplant": {"probability": 1.0},
    },
    "activations": {"half_huber": {"width": 0.5}, "softplus": {"beta": 20.0}},
}  # fmt: skip
MEMBERS = [(kind, name) for kind, members in DEFAULTS.items() for name in members]


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_defaults(kind: str, name: str) -> None:
    assert catalogue.filled(f"model/{kind}", {"name": name}) == {"name": name, **DEFAULTS[kind][name]}


@pytest.mark.parametrize(
    ("kind", "choice", "allowed"),
    [
        *(("losses", {"name": name, "alpha": 0}, True) for name in ("cyborg", "divergence", "true_false")),
        *(("losses", {"name": name, "alpha": 1}, False) for name in ("cyborg", "difference_salience")),
        *(
            ("losses", {"name": name, "alpha": a}, a < 1)
            for name in ("energy", "evidence")
            for a in (0, 0.1, 1)
        ),
        *(("losses", {"name": "spectral_decoupling", "weight": w}, w >= 0) for w in (-0.1, 0, 10)),
        *(
            ("regularisers", {"name": name, "probability": p}, 0 <= p <= 1)
            for name in ("cutout_context", "exchange", "random_erasing", "transplant")
            for p in (-0.1, 0, 1, 1.1)
        ),
        *(
            ("regularisers", {"name": name, "weight": w}, w > 0)
            for name in ("neutral", "neutral_features", "right_reasons")
            for w in (0, 0.5)
        ),
        ("regularisers", {"name": "random_erasing", "smallest": 0}, False),
        ("regularisers", {"name": "random_erasing", "smallest": 0.5, "largest": 1}, True),
        ("regularisers", {"name": "random_erasing", "smallest": 1.1}, False),
        ("regularisers", {"name": "random_erasing", "largest": 0}, False),
        ("regularisers", {"name": "random_erasing", "largest": 1.1}, False),
        ("regularisers", {"name": "hessian", "weight": 0}, False),
        ("regularisers", {"name": "hessian", "weight": 0.5}, True),
        ("regularisers", {"name": "lipschitz", "psi0": 0}, False),
        ("regularisers", {"name": "lipschitz", "psi0": 0.5, "kappa": 0, "zeta": 0, "z": 1}, True),
        ("regularisers", {"name": "lipschitz", "zeta": 1, "target_loss": 0.5}, True),
        ("regularisers", {"name": "lipschitz", "zeta": 1.1}, False),
        ("regularisers", {"name": "lipschitz", "target_loss": 0}, False),
        ("regularisers", {"name": "lipschitz", "z": 0.9}, False),
        ("regularisers", {"name": "lipschitz", "kappa": -0.1}, False),
        ("regularisers", {"name": "saliency_adversarial", "eps": 1, "a": 0, "pace": 0.5, "step": 1}, True),
        (
            "regularisers",
            {"name": "saliency_adversarial", "a": 1, "threshold": 1, "steps": 1, "beta": 0},
            True,
        ),
        ("regularisers", {"name": "saliency_adversarial", "eps": 0}, False),
        ("regularisers", {"name": "saliency_adversarial", "eps": 1.1}, False),
        ("regularisers", {"name": "saliency_adversarial", "a": 1.1}, False),
        ("regularisers", {"name": "saliency_adversarial", "pace": 0}, False),
        ("regularisers", {"name": "saliency_adversarial", "threshold": 0}, False),
        ("regularisers", {"name": "saliency_adversarial", "threshold": 1.1}, False),
        ("regularisers", {"name": "saliency_adversarial", "steps": 0}, False),
        ("regularisers", {"name": "saliency_adversarial", "step": 0}, False),
        ("regularisers", {"name": "saliency_adversarial", "step": 1.1}, False),
        ("activations", {"name": "half_huber", "width": 0}, False),
        ("activations", {"name": "half_huber", "width": 0.25}, True),
        ("activations", {"name": "softplus", "beta": 0}, False),
        ("activations", {"name": "softplus", "beta": 0.5}, True),
    ],
    ids=str,
)
def test_limits(kind: str, choice: dict[str, Any], allowed: bool) -> None:
    assert (catalogue.problems(f"model/{kind}", choice) == []) == allowed


DECLARED = {  # member -> (USES_MAPS, NEEDS_CURVATURE)
    "cutout_context": (True, False),
    "exchange": (True, False),
    "hessian": (False, True),
    "lipschitz": (False, False),
    "neutral": (True, False),
    "neutral_features": (True, False),
    "random_erasing": (False, False),
    "right_reasons": (True, False),
    "saliency_adversarial": (True, False),
}


def test_what_regularisers_declare() -> None:
    constants = ("USES_MAPS", "NEEDS_CURVATURE")
    for name, expected in DECLARED.items():
        assert tuple(catalogue.declared("model/regularisers", name, each) for each in constants) == expected


@pytest.mark.parametrize("name", catalogue.names("model/losses"))
def test_a_loss_uses_maps_if_it_says_so_and_only_then(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    cams = torch.randn(4, 2, 3, 3, generator=generator)
    outputs = Outputs(cams.mean((2, 3)), cams, cams)
    labels, there = torch.tensor([0, 1, 0, 1]), torch.ones(4, dtype=torch.bool)
    maps = torch.rand(2, 4, 6, 6, generator=generator)
    loss = catalogue.make("model/losses", {"name": name})
    one, other = (loss(outputs, labels, each, there).total.item() for each in maps)
    assert (one != other) == catalogue.declared("model/losses", name, "USES_MAPS")
