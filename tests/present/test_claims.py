"""Verdicts on published claims: each word follows from the interval, and names of methods do not matter."""

import math

import pandas as pd
import pytest
from fake_results import params

from pipeline.present.claims import (
    decisions_hold,
    explanations_hold,
    guidance_helps,
    judged,
    two_classes_stay,
)
from pipeline.present.results import DatasetNote, Grid
from pipeline.present.variants import variants

NAN = math.nan
SMOOTH = {"name": "softplus", "beta": 5}
SAT = {"regularisers": [{"name": "saliency_adversarial"}]}
METHODS = variants(
    params(
        methods={
            "cross_entropy": {"loss": {"name": "cross_entropy"}},
            "two": {"loss": {"name": "cross_entropy"}, "weight_decay": 3.0},
            "three": {"loss": {"name": "cross_entropy"}, "activation": SMOOTH},
            "four": {
                "loss": {"name": "cross_entropy"},
                "activation": SMOOTH,
                "regularisers": [{"name": "hessian"}],
            },
            "five": {"loss": {"name": "cross_entropy"}, "activation": {"name": "half_huber"}},
            "six": {
                "loss": {"name": "cross_entropy"},
                "activation": {"name": "half_huber"},
                "regularisers": [{"name": "lipschitz"}],
            },
            "seven": {"loss": {"name": "cross_entropy"}, **SAT},
            "eight": {"loss": {"name": "cross_entropy"}, "map_source": "shuffled", **SAT},
        }
    )
).drop(index=["cyborg", "difference_salience", "divergence_shuffled"])
GRID = Grid({"d": DatasetNote("D", "", True)}, frozenset({"eight"}), (), 0.95, pd.DataFrame())


def values(
    attack: str, metric: str, rows: dict[str, list[float]], explanation: str = "", budget: float = NAN
) -> pd.DataFrame:
    """A value per method and seed."""
    return pd.DataFrame(
        [
            {"dataset": "d", "backbone": "b", "method": method, "draw": "d", "seed": seed, "attack": attack,
             "explanation": explanation, "metric": metric,
             "budget": budget, "value": value}
            for method, seeds in rows.items()
            for seed, value in enumerate(seeds)
        ]
    )  # fmt: skip


def gains(*rows: tuple[str, str, float, float, float], adjusted: float = 0.05) -> pd.DataFrame:
    """(what, where, value, low, high) as `judged` takes them."""
    return pd.DataFrame(rows, columns=["what", "where", "value", "low", "high"]).assign(adjusted=adjusted)


@pytest.mark.parametrize(
    ("interval", "adjusted", "word"),
    [
        ((0.2, 0.1, 0.3), 0.05, "holds (above 0)"),
        ((0.2, 0.1, 0.3), 0.06, "cannot be told from 0"),  # an interval alone tells nothing
        ((0.2, 0.1, 0.3), NAN, "no verdict (fewer than 6 units)"),
        ((0.2, -0.1, 0.5), 0.01, "cannot be told from 0"),
        ((0.0, 0.0, 0.0), 1.0, "cannot be told from 0"),
        ((-0.2, -0.3, -0.1), 0.01, "does not hold (below 0)"),
    ],
)
def test_a_verdict_needs_interval_and_p(
    interval: tuple[float, float, float], adjusted: float, word: str
) -> None:
    said = judged("C", gains(("a", "", *interval), adjusted=adjusted), 0.95)
    assert said.startswith(f"C: {word} in 1 of 1: a ")


def test_verdicts_are_counted_and_grouped() -> None:
    up, unclear = (0.2, 0.1, 0.3), (0.1, -0.1, 0.3)
    rows = gains(
        ("a − b", "cam", *up), ("c − b", "cam", *unclear), ("a − b", "gradient", *up), ("d", "", *unclear)
    )
    assert judged("C", rows, 0.95) == (
        "C: holds (above 0) in 2 of 4: a − b (cam +0.200 ± 0.100, gradient +0.200 ± 0.100); "
        "cannot be told from 0 in 2: c − b (cam +0.100 ± 0.200), d +0.100 ± 0.200."
    )


def test_nothing_to_judge_says_nothing() -> None:
    assert judged("C", gains(), 0.95) == ""


def test_gains_are_means_over_what_both_have_per_seed() -> None:
    mine = values("x", "pearson_clean", {"cross_entropy": [0.1, 0.2], "two": [0.2, 0.4]}, "cam")
    other = values("x", "pearson_clean", {"cross_entropy": [0.5, 0.5], "two": [0.8, NAN]}, "gradient")
    said = guidance_helps(pd.concat([mine, other]), "cross_entropy", 0.95)
    assert "two +0.200 ± 0.000" in said  # seed 0: 0.1 and 0.3; seed 1: 0.2 alone


def test_two_class_maps_that_move_more_are_said_to() -> None:
    rows = [
        values("lie", "pearson_clean", {"cross_entropy": [0.1] * 8, "two": [0.9] * 8}, "cam"),
        values(
            "lie",
            "pearson_clean",
            {"cross_entropy": [0.5] * 8, "two": [0.5] * 8},
            "difference_salience",
        ),
    ]
    said = two_classes_stay(pd.concat(rows), 0.95)
    assert "holds (above 0) in 1 of 2: difference salience − cam (cross_entropy +0.400 ± 0.000)" in said
    assert "does not hold (below 0) in 1: difference salience − cam (two −0.400 ± 0.000)" in said


def test_each_setting_is_judged_against_the_least_of_it() -> None:
    seeds = {
        "cross_entropy": [0.1, 0.2, 0.3] * 3,
        "two": [0.2, 0.3, 0.4] * 3,
        "three": [0.4, 0.2, 0.3] * 3,
        "four": [0.1, 0.0, 0.1] * 3,
    }
    said = explanations_hold(values("move", "ssim_clean", seeds, "grad_cam"), METHODS, 0.95)
    decay, softplus, hessian = said.splitlines()
    assert decay.startswith("More weight decay") and "two − cross_entropy (grad cam +0.100 ± 0.000)" in decay
    assert "holds (above 0) in 1 of 1" in decay
    assert "cannot be told from 0 in 1 of 1: three − cross_entropy (grad cam +0.100" in softplus
    assert hessian.startswith("A Hessian term") and "four − three (grad cam −0.233" in hessian


def test_a_regulariser_is_judged_with_and_without_it() -> None:
    seeds = {"cross_entropy": [0.1] * 8, "five": [0.2] * 8, "six": [0.15] * 8}
    said = decisions_hold(values("walk", "ara_attack", seeds), METHODS, GRID)
    assert "walk: lipschitz raises ARA: holds (above 0) in 1 of 2: six − cross_entropy +0.0500" in said
    assert "does not hold (below 0) in 1: six − five −0.0500 ± 0.0000" in said


def test_small_budgets_and_shuffled_maps() -> None:
    small, large = (
        values(
            "pgd",
            "accuracy_linf",
            {"cross_entropy": [low] * 8, "seven": [high] * 8, "eight": [other] * 8},
            "",
            budget,
        )
        for low, high, other, budget in ((0.1, 0.3, 0.2, 2 / 255), (0.0, 0.9, 0.0, 16 / 255))
    )
    clean = values(
        "pgd", "accuracy_linf", {"cross_entropy": [1.0] * 8, "seven": [0.9] * 8, "eight": [0.9] * 8}, "", 0.0
    )
    said = decisions_hold(pd.concat([clean, small, large]), METHODS, GRID)
    assert "raises accuracy under PGD (L∞, mean over budgets up to 4/255): holds" in said
    assert "1 of 1: seven − cross_entropy +0.200 ± 0.000." in said  # neither at 0 nor at 16/255
    assert "gains less from maps that are not the image's own: holds" in said
    assert "1 of 1: seven − eight +0.100 ± 0.000." in said


def test_guidance_helps_or_hurts() -> None:
    seeds = {"cross_entropy": [0.1] * 8, "two": [0.2] * 8, "three": [0.05] * 8}
    said = guidance_helps(values("walk", "ara_attack", seeds), "cross_entropy", 0.95)
    assert said == (
        "walk: ARA against cross_entropy: helped (above 0) in 1 of 2: two +0.1000 ± 0.0000; "
        "hurt (below 0) in 1: three −0.0500 ± 0.0000."
    )
