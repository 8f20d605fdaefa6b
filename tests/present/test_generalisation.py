"""The table of AUROC by source: numbers by hand, and what is said where something is missing."""

import pandas as pd
import pytest
from small_grid import REACH, grid, metrics, row

from pipeline.present import generalisation


def table(values: pd.DataFrame, **about: object) -> generalisation.Table:
    return generalisation.table({"metrics": values}, grid(**about))


def test_each_source_has_a_column_and_each_reference_one() -> None:
    (panel,) = table(metrics()).panels
    assert list(panel.rows) == [
        "method", "closed", "s 1", "macro", "macro − cyborg", "macro − cross_entropy",
    ]  # fmt: skip
    assert panel.rows["method"].tolist() == ["cross_entropy", "cyborg", "control_a (control)"]
    mine, reach = row(panel.rows, method="cyborg"), REACH * 0.1
    assert mine["macro"] == f"0.80 [{0.8 - 2 * reach:.2f}, {0.8 + 2 * reach:.2f}]"
    assert mine["macro − cross_entropy"] == f"+0.20 [−{reach - 0.2:.2f}, +{0.2 + reach:.2f}]"  # 3 seeds: no p
    assert mine["macro − cyborg"] == "–"
    assert "closed: 40 + 41; s_1: 40 + 41; macro: 40 + 41" in panel.note


def test_missing_is_said() -> None:
    lacking = metrics()
    found = table(lacking[lacking["method"] != "cyborg"])
    assert row(found.panels[0].rows, method="cyborg")["macro"] == "missing (0 of 3)"


def test_delongs_limits_are_means_over_seeds() -> None:
    limits = [
        metrics().assign(metric=name, value=lambda rows, end=end: rows["seed"] / 10 + end)
        for name, end in (("auroc_low", 0.3), ("auroc_high", 0.7))
    ]
    tidy = table(pd.concat([metrics(), *limits])).tidy
    mine = row(tidy, method="cyborg", scope="macro")
    assert (mine["delong_low"], mine["delong_high"]) == pytest.approx((0.4, 0.8))


def test_caption_says_what_it_rests_on() -> None:
    caption = table(metrics()).caption
    assert "9 of 9 cells (per method: 3 seeds)" in caption and "Phantoms" in caption
    assert "Fewer than 6 units give no p" in caption
    assert "Phantoms" not in table(metrics(), phantom=False).caption


def test_without_the_baseline_there_are_no_differences() -> None:
    only = metrics()
    found = table(only[only["method"] == "control_a"])
    assert found.differences.empty
    assert not [column for column in found.panels[0].rows if "−" in column]
