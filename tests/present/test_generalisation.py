"""The main table and its excerpts: numbers by hand, and what is said where something is missing."""

import numpy as np
import pandas as pd
import pytest
from small_grid import AUROC, REACH, grid, metrics, row

from pipeline.present import generalisation
from pipeline.present.generalisation import headlines, macro_gains, readme_rows


def test_each_source_has_a_column_and_each_reference_two() -> None:
    (panel,) = generalisation.table(metrics(), grid()).panels
    assert list(panel.rows) == [
        "method", "closed", "s 1", "macro", "macro − cyborg", "p; Holm (cyborg)", "macro − cross_entropy",
        "p; Holm (cross_entropy)",
    ]  # fmt: skip
    assert panel.rows["method"].tolist() == ["cross_entropy", "cyborg", "control_a (control)"]
    mine = row(panel.rows, method="cyborg")
    assert mine["macro"] == f"0.800 ± {REACH * 0.2:.3f}" and mine["closed"].startswith("1.050 ±")
    assert mine["macro − cross_entropy"] == f"+0.200 ± {REACH * 0.1:.3f}"
    assert (mine["macro − cyborg"], mine["p; Holm (cyborg)"]) == ("–", "–")
    assert mine["p; Holm (cross_entropy)"] == "0.25; 0.5"
    assert "closed: 40 + 41; s_1: 40 + 41; macro: 40 + 41" in panel.note


def test_holm_counts_both_data_sets_and_one_scope_and_reference() -> None:
    """Four tests of p 0.25: two methods on two data sets; the scopes and the other reference are no part."""
    both = pd.concat([metrics(), metrics(dataset="e")])
    table = generalisation.table(both, grid(datasets=("d", "e")))
    assert set(table.differences["p"]) == {0.25} and set(table.differences["adjusted"]) == {1.0}
    fewer = generalisation.table(both[(both["dataset"] == "d") | (both["method"] != "control_a")],
                                 grid(datasets=("d", "e")))  # fmt: skip
    assert set(fewer.differences["adjusted"]) == {0.75}


def test_missing_is_said() -> None:
    lacking = metrics()
    lacking = lacking[lacking["method"] != "cyborg"]
    table = generalisation.table(lacking, grid())
    assert row(table.panels[0].rows, method="cyborg")["macro"] == "missing (0 of 3)"
    gains = macro_gains(table, "cross_entropy")
    assert row(gains, method="cyborg")[["text", "verdict"]].tolist() == ["–", "missing"]


def test_verdicts_are_about_macro_auroc() -> None:
    values = metrics()
    closed = (values["scope"] == "closed") & (values["method"] == "cyborg")
    values.loc[closed, "value"] = 0.1  # far worse in the closed set, which is not what counts
    gains = macro_gains(generalisation.table(values, grid()), "cross_entropy").set_index("method")
    assert gains.loc["control_a", "verdict"] == "worse"  # -0.1 on every seed
    assert gains.loc["cyborg", "verdict"] == "unclear"  # +0.2 ± 0.25


def test_delongs_limits_are_means_over_seeds() -> None:
    limits = [
        metrics().assign(metric=name, value=lambda rows, end=end: rows["seed"] / 10 + end)
        for name, end in (("auroc_low", 0.3), ("auroc_high", 0.7))
    ]
    tidy = generalisation.table(pd.concat([metrics(), *limits]), grid()).tidy
    mine = row(tidy, method="cyborg", scope="macro")
    assert (mine["delong_low"], mine["delong_high"]) == pytest.approx((0.4, 0.8))


def test_caption_says_what_it_rests_on() -> None:
    caption = generalisation.table(metrics(), grid()).caption
    assert "9 of 9 cells" in caption and "cannot go below 0.25" in caption and "Phantoms" in caption
    assert "Phantoms" not in generalisation.table(metrics(), grid(phantom=False)).caption


def test_without_the_baseline_there_are_no_differences() -> None:
    only = metrics()
    table = generalisation.table(only[only["method"] == "control_a"], grid())
    assert table.differences.empty
    assert not [column for column in table.panels[0].rows if "−" in column]


def test_readme_shows_macro_and_gain() -> None:
    rows = readme_rows(generalisation.table(metrics(), grid()), grid())
    assert list(rows) == ["method", "d", "d − cross_entropy"]
    mine = row(rows, method="cyborg")
    assert mine["d"].startswith("0.800 ±") and mine["d − cross_entropy"].startswith("+0.200 ±")


def test_headlines_are_nested_and_leave_the_closed_set_out_of_macro() -> None:
    found = headlines(generalisation.table(metrics(skip=("cyborg", 1)), grid()).tidy)["d"]["b"]
    assert list(found) == ["cross_entropy", "cyborg", "control_a"]
    own = [AUROC["cyborg", seed] for seed in (0, 2)]
    assert found["cyborg"]["held_out_auroc"] == pytest.approx(np.mean(own))
    assert found["cyborg"]["closed_auroc"] == pytest.approx(np.mean(own) + 0.25)
