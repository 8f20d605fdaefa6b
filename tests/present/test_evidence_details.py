"""Tables of strata and of counterfactual tests: which number stands where; figures of both by their marks."""

from pathlib import Path

import numpy as np
import pandas as pd
import tiny_store
from small_grid import grid, measured, metrics, row

from pipeline.data.store import open_store
from pipeline.present import evidence_details, evidence_figures

STRATA = [
    {"scope": scope, "source": source, "stratum": stratum, "auroc": auroc}
    for scope, source in (("closed", ""), ("held_out", "s_1"), ("macro", ""))
    for stratum, auroc in (("same", 0.7), ("aligned", 0.8), ("conflict", 0.1))
]
TESTS = [
    {"role": role, "source": source, "region": "human", "fill": fill, "test": test, "auroc": auroc + more,
     "change": -more, "n_negative": 4, "n_positive": 4, "n_annotated": 3}
    for role, source, more in (("val", "", 0.3), ("test_closed", "", 0.0), ("test_open", "s_1", 0.0),
                               ("test_open", "s_2", 0.1))
    for fill in ("blur", "swap")
    for test, auroc in (("as_is", 0.5), ("without", 0.3), ("only", 0.4))
]  # fmt: skip


def test_a_panel_of_strata_per_scope() -> None:
    found = evidence_details.strata(measured(metrics(), strata=STRATA)["strata"], grid())
    assert [panel.heading.partition(", b, ")[2] for panel in found.panels] == [
        "closed test set", "all unseen sources",
    ]  # fmt: skip
    mine = row(found.panels[0].rows, method="cyborg")
    assert [text[:4] for text in mine[["same", "aligned", "conflict"]]] == ["0.80", "0.90", "0.20"]


def test_every_test_and_fill_has_a_column_and_unseen_sources_are_averaged() -> None:
    found = evidence_details.counterfactuals(
        measured(metrics(), counterfactuals=TESTS)["counterfactuals"], grid()
    )
    closed, unseen = found.panels
    tests = ["without, blur", "without, swap", "only, blur", "only, swap"]
    assert list(closed.rows) == ["method", "as is", *tests, *(f"change: {test}" for test in tests)]
    assert [row(part.rows, method="cross_entropy")["without, blur"][:4] for part in (closed, unseen)] == [
        "0.30", "0.35",
    ]  # fmt: skip
    assert row(unseen.rows, method="cross_entropy")["change: only, swap"] == "−0.05"
    assert (closed.note, unseen.note) == tuple(
        f"Images with a region of their own, in the first draw: {count}." for count in (3, 6)
    )


def test_a_source_without_a_value_leaves_no_mean() -> None:
    rows = measured(metrics(), counterfactuals=TESTS)["counterfactuals"]
    rows.loc[rows["source"] == "s_2", "auroc"] = np.nan
    unseen = evidence_details.counterfactuals(rows, grid()).panels[1]
    assert row(unseen.rows, method="cyborg")["without, blur"] == "–"


def test_nothing_measured_is_no_panel() -> None:
    empty = measured(metrics())
    assert evidence_details.strata(empty["strata"], grid()).panels == []
    assert evidence_details.counterfactuals(empty["counterfactuals"], grid()).panels == []


def test_pictures_take_away_the_region_or_all_else(tmp_path: Path) -> None:
    store = open_store(tiny_store.write(tmp_path / "tiny", n=6))
    marked = int(np.flatnonzero(store.has_map)[0])
    sample = store.manifest["sample_id"][marked]
    before, without, only = evidence_figures.altered(store, sample, sample)
    assert before.shape == without.shape == only.shape == (evidence_figures.SIDE,) * 2 + (3,)
    assert (without != only).any() and (before != without).any()


def test_the_dose_figure_has_a_line_per_method(tmp_path: Path) -> None:
    tidy = pd.DataFrame(
        [
            {"dataset": dataset, "backbone": "b", "method": method, "beside": "", "quantity": quantity,
             "n": 3, "mean": 0.5, "low": 0.4, "high": np.nan}
            for dataset in ("d", "e") for method in ("cyborg", "cross_entropy")
            for quantity in ("conflict_auroc", "without_cause")
        ]
    )  # fmt: skip
    evidence_figures.dose(tidy, {"e": 0.5, "d": 1.0}, grid(), "d", tmp_path / "dose", 50)
    text = (tmp_path / "dose.svg").read_text(encoding="utf-8")
    assert all(f">{name}<" in text for name in ("cyborg", "cross_entropy", "conflict, b", "without cause, b"))


def test_a_method_with_one_dose_has_no_line(tmp_path: Path) -> None:
    tidy = pd.DataFrame(
        [
            {"dataset": dataset, "backbone": "b", "method": method, "beside": "", "quantity": quantity,
             "n": 3, "mean": 0.5, "low": 0.4, "high": 0.6}
            for dataset, method in (("d", "cyborg"), ("d", "cross_entropy"), ("e", "cross_entropy"))
            for quantity in ("conflict_auroc", "without_cause")
        ]
    )  # fmt: skip
    evidence_figures.dose(tidy, {"e": 0.5, "d": 1.0}, grid(), "d", tmp_path / "dose", 50)
    text = (tmp_path / "dose.svg").read_text(encoding="utf-8")
    assert ">cross_entropy<" in text and ">cyborg<" not in text
