"""Figures of attacks: what is drawn, and that nothing is drawn of nothing."""

import math
from pathlib import Path

import pandas as pd
import pytest
from fake_attacks import values
from fake_results import GAIN, METHODS, VARIANTS, params

from pipeline.common.config import Params
from pipeline.present import attack_figures
from pipeline.present.results import DatasetNote, Grid
from pipeline.present.variants import variants

SETTINGS = params(methods=VARIANTS)


def found(attack: str, kind: str) -> pd.DataFrame:
    """Values of every method on two seeds."""
    cells = [
        {"dataset": "toy_0", "backbone": "compact", "method": method, "seed": seed}
        for method in {**METHODS, **VARIANTS}
        for seed in (0, 1)
    ]
    tables = [values(cell, kind).assign(attack=attack, draw="toy_0", **cell) for cell in cells]
    return pd.concat(tables, ignore_index=True)


def grid(found: pd.DataFrame) -> Grid:
    planned = found[["dataset", "backbone", "method", "draw", "seed", "attack"]].drop_duplicates()
    note = DatasetNote("Toy", "drawn", True)
    return Grid({"toy_0": note}, frozenset({"divergence_shuffled"}), (), 0.95, planned, planned)


def swept(settings: Params, folder: Path) -> str:
    moved = found("moved", "manipulation")
    path = folder / "swept"
    attack_figures.manipulability(moved, variants(settings), grid(moved), "toy_0", path, 50)
    return path.with_suffix(".svg").read_text() if path.with_suffix(".svg").exists() else ""


def test_each_setting_has_its_ticks_and_each_explanation_its_line(tmp_path: Path) -> None:
    text = swept(SETTINGS, tmp_path)
    for said in (
        "weight decay",
        "0.1",
        "built-in",
        "softplus 20",
        "Hessian weight",
        "0.01",
        "moved, compact",
    ):
        assert f">{said}" in text
    for explanation in ("grad cam", "diff grad cam", "difference salience", "gradient"):
        assert f">{explanation}<" in text
    assert "no two methods" not in text and "PHANTOM" in text


def test_bars_are_t_intervals_and_one_seed_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.errorbar", lambda axis, *places, **how: drawn.append(how["yerr"])
    )
    moved = found("moved", "manipulation")
    about = (variants(SETTINGS), grid(moved), "toy_0", tmp_path / "bars", 50)
    attack_figures.manipulability(moved, *about)
    reach = 12.706204736432095 * 0.01 / math.sqrt(2) / math.sqrt(2)  # t of one degree, seeds 0.01 apart
    assert drawn and all(bars.to_numpy() == pytest.approx(reach) for bars in drawn)
    drawn.clear()
    attack_figures.manipulability(moved[moved["seed"] == 0], *about)
    assert drawn and all((bars == 0).all() for bars in drawn)


def test_equal_values_draw(tmp_path: Path) -> None:
    moved = found("moved", "manipulation")
    moved = pd.concat([moved, moved[moved["seed"] == 0].assign(seed=2)])
    moved["value"] = 0.2  # the mean of three is smaller by a rounding error
    path = tmp_path / "equal"
    attack_figures.manipulability(moved, variants(SETTINGS), grid(moved), "toy_0", path, 50)
    assert path.with_suffix(".svg").exists()


def test_a_setting_that_no_methods_differ_in_says_so(tmp_path: Path) -> None:
    raw = SETTINGS.model_dump()
    raw["methods"] = {
        name: method for name, method in raw["methods"].items() if name not in ("decayed", "flat")
    }
    assert swept(Params(**raw), tmp_path).count("no two methods") == 2


def test_families_of_methods_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "smooth_decayed", {**VARIANTS["smooth"], "weight_decay": 0.1})
    monkeypatch.setitem(GAIN, "smooth_decayed", 0.2)
    text = swept(params(methods=VARIANTS), tmp_path)
    assert ">weight decay, from cross_entropy<" in text and ">weight decay, from smooth<" in text


def test_methods_without_variants_leave_the_figure_out(tmp_path: Path) -> None:
    assert swept(params(), tmp_path) == ""


@pytest.mark.parametrize(("kind", "axes"), [("pgd", ["L∞", "L2"]), ("minimal_perturbation", ["falls"])])
def test_curves_of_every_method(kind: str, axes: list[str], tmp_path: Path) -> None:
    curves = found("strong", kind)
    attack_figures.decisions(curves, grid(curves), "toy_0", tmp_path / "curves", 50)
    text = (tmp_path / "curves.svg").read_text()
    for said in (*axes, "strong, compact", "cross_entropy", "divergence_shuffled (control)", "smooth"):
        assert said in text


def test_the_curve_to_chance_is_drawn_where_it_is_another(tmp_path: Path) -> None:
    curves = found("walk", "minimal_perturbation")
    walked = grid(curves)
    attack_figures.decisions(curves, walked, "toy_0", tmp_path / "two", 50)
    even = curves[curves["metric"] == "accuracy_attack"].assign(metric="accuracy_btr")
    curves = pd.concat([curves[curves["metric"] != "accuracy_btr"], even])
    attack_figures.decisions(curves, walked, "toy_0", tmp_path / "one", 50)
    assert [(tmp_path / f"{name}.svg").read_text().count("to chance") for name in ("two", "one")] == [1, 0]


def test_without_budgets_there_are_no_curves(tmp_path: Path) -> None:
    moved = found("moved", "manipulation")
    attack_figures.decisions(moved, grid(moved), "toy_0", tmp_path / "curves", 50)
    assert not list(tmp_path.iterdir())
