"""Errors in the words of each task; rates that follow from others are worked out by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_grid import METHODS, grid, row

from pipeline.present import decision_errors
from pipeline.present.results import Grid
from pipeline.score import metrics

RATES = {
    "apcer_pooled": 0.2,
    "apcer_max": 0.5,
    "bpcer": 0.1,
    "accuracy": 0.85,
    "ap": 0.9,
    "ece": 0.05,
    "eer": 0.1,
}


def of_task(task: str) -> Grid:
    found = grid()
    return replace(found, datasets={name: note._replace(task=task) for name, note in found.datasets.items()})


def units(metrics_: dict[str, float]) -> pd.DataFrame:
    place = pd.DataFrame({"method": METHODS}).merge(pd.DataFrame({"seed": [0, 1, 2]}), how="cross")
    place = place.assign(dataset="d", draw="d", backbone="b", source="")
    rows = place.merge(pd.DataFrame({"scope": ["closed", "macro"]}), how="cross")
    return rows.merge(pd.DataFrame({"metric": list(metrics_), "value": list(metrics_.values())}), how="cross")


def scores() -> pd.DataFrame:
    """20 negatives scored 0..19 and 4 positives: at most one negative may be called, so 18.5 and more."""
    place = pd.DataFrame({"method": METHODS}).merge(pd.DataFrame({"seed": [0, 1, 2]}), how="cross")
    images = pd.DataFrame(
        {
            "label": [0] * 20 + [1] * 4,
            "logit_difference": [*np.arange(20.0), 10.0, 18.5, 18.7, 30.0],
            "role": "test_closed",
            "source": "here",
        }
    )
    unseen = images.assign(role="test_open", source="there", logit_difference=-images["logit_difference"])
    every = place.merge(pd.concat([images, unseen]), how="cross")
    return every.assign(dataset="d", draw="d", backbone="b")


def test_attacks_show_what_metrics_declare_and_which_way_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    new = metrics.Metric("New", "lower", "attack_errors")
    monkeypatch.setattr(decision_errors, "METRICS", {"new": new, **metrics.METRICS})
    found = units({"accuracy": 0.9, "apcer_mean": 0.1, "eer": 1.1, "new": 0.2, "auroc": 0.9})
    (table,) = decision_errors.tables(found, scores(), of_task("iris_pad"), 0.1)
    closed, macro = table.panels
    assert list(closed.rows) == ["method", "New ↓", "EER ↓", "accuracy ↑"]  # in their order of declaration
    assert closed.heading == "Title_1, b, closed test set" and "held-out" in macro.heading
    assert row(macro.rows, method="cyborg")["EER ↓"].startswith("1.100")


def test_other_tasks_have_the_words_of_the_clinic() -> None:
    (table,) = decision_errors.tables(units(RATES), scores(), of_task("cxr_anomaly"), 0.1)
    closed, macro = table.panels
    shown = {name: text.partition(" ")[0] for name, text in row(closed.rows, method="cyborg").items()}
    assert shown["sensitivity ↑"] == "0.800" and shown["specificity ↑"] == "0.900"
    assert shown["sensitivity, worst kind ↑"] == "0.500" and shown["ECE ↓"] == "0.050"
    assert shown["PPV ↑"] == "0.471" and shown["NPV ↑"] == "0.976"  # 0.08 / 0.17 and 0.81 / 0.83
    assert shown["sensitivity at 95% specificity ↑"] == "0.750"
    assert row(macro.rows, method="cyborg")["sensitivity at 95% specificity ↑"].startswith("0.000")
    assert "where 10% of images have label 1" in table.caption
    assert not any(word in table.caption + str(list(closed.rows)) for word in ("APCER", "BPCER", "attack"))


def test_prevalence_moves_predictive_values_alone() -> None:
    few, many = (
        decision_errors.tables(units(RATES), scores(), of_task("x"), share)[0].tidy for share in (0.01, 0.5)
    )
    moved = few.loc[(few["mean"] - many["mean"]).abs() > 1e-9, "metric"]
    assert set(moved) == {"ppv", "npv"}


def test_nothing_called_positive_has_no_predictive_value() -> None:
    never = decision_errors.predictive_values(pd.Series([0.0]), pd.Series([1.0]), 0.1)
    assert np.isnan(never[0][0]) and never[1][0] == pytest.approx(0.9)
