"""The main table and its excerpts: numbers by hand, which quantity is shown of what, what is said of few."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_grid import grid, measured, metrics, row

from pipeline.present import evidence
from pipeline.present.draws import Joined

CLOSED = {"role": "test_closed", "source": ""}
STRATA = [
    {"scope": scope, "source": "", "stratum": stratum, "auroc": auroc}
    for scope, auroc in (("macro", 0.3), ("familiar", 0.4), ("novel", 0.2))
    for stratum in ("conflict", "same")
]
PHANTOM = [
    {**CLOSED, "region": region, "fill": fill, "test": "without", "auroc": auroc}
    for region, fill, auroc in (("cause", "twin", 0.55), ("cause", "blur", 0.7), ("shortcut", "twin", 0.8))
]
REAL = [
    {**CLOSED, "region": "human", "fill": "blur", "test": test, "auroc": auroc}
    for test, auroc in (("only", 0.6), ("without", 0.7), ("as_is", 0.75))
]


def table(phantom: bool = True, **tables: list) -> evidence.Table:
    return evidence.table(measured(metrics(), **tables), grid(phantom))


def test_phantoms_are_headed_by_conflict_and_without_cause() -> None:
    found = table(strata=STRATA, counterfactuals=PHANTOM + REAL)
    assert list(found.panels[0].rows) == [
        "method", "conflict", "without cause", "conflict, novel causes", "macro", "closed",
        "without shortcut",
    ]  # fmt: skip
    mine = row(found.panels[0].rows, method="cyborg")
    shown = ["0.50", "0.65", "0.30", "0.80", "1.05", "0.90"]  # familiar sources, twins
    assert [text.partition(" [")[0] for text in mine.iloc[1:]] == shown


def test_without_novel_sources_conflict_is_over_all_and_without_twins_the_cause_is_blurred() -> None:
    found = table(strata=STRATA[:2], counterfactuals=PHANTOM[1:2])
    mine = row(found.panels[0].rows, method="cross_entropy")
    assert (mine["conflict"][:4], mine["without cause"][:4]) == ("0.30", "0.70")
    assert not [column for column in found.panels[0].rows if "novel" in column or "shortcut" in column]


def test_real_data_are_headed_by_only_minus_without() -> None:
    found = table(phantom=False, strata=STRATA, counterfactuals=REAL + PHANTOM)
    names = ["method", "only − without", "only", "without", "macro", "closed"]
    assert list(found.panels[0].rows) == names
    gaps = found.tidy[found.tidy["quantity"] == "evidence_gap"]
    np.testing.assert_allclose(gaps["mean"], -0.1)
    assert evidence.shown_first(found, grid(False)) == ["evidence_gap"]


def test_data_without_maps_are_headed_by_macro_auroc() -> None:
    assert evidence.shown_first(table(phantom=False), grid(False)) == ["held_out_auroc"]


def six_seeds(values: pd.DataFrame, step: float = 0.0) -> pd.DataFrame:
    return pd.concat([values, values.assign(seed=values["seed"] + 3, value=values["value"] + step)])


def test_less_without_the_cause_is_better() -> None:
    values = measured(metrics(), counterfactuals=PHANTOM)
    values["counterfactuals"] = pd.concat(
        [values["counterfactuals"], values["counterfactuals"].assign(seed=lambda rows: rows["seed"] + 3)]
    )
    values["metrics"] = six_seeds(values["metrics"])
    cells = grid().cells
    more = replace(grid(), cells=pd.concat([cells, cells.assign(seed=cells["seed"] + 3)]))
    found = evidence.table(values, more)
    cause = evidence.gains(found, "without_cause", "cross_entropy", 0.95)
    assert row(cause, method="control_a")[["text", "verdict"]].tolist() == [
        "+0.20 [+0.20, +0.20]; p 0.062", "unclear",
    ]  # fmt: skip
    at_ten = evidence.gains(found, "without_cause", "cross_entropy", 0.9)
    assert row(at_ten, method="control_a")["verdict"] == "worse"
    lower = found.differences.assign(value=-0.2, low=-0.3, high=-0.1)
    at_ten = evidence.gains(replace(found, differences=lower), "without_cause", "cross_entropy", 0.9)
    assert row(at_ten, method="control_a")["verdict"] == "better"


def test_few_units_are_said_to_be_few_and_have_no_p() -> None:
    found = table(strata=STRATA)
    gain = row(evidence.gains(found, "conflict_auroc", "cross_entropy", 0.95), method="cyborg")
    assert gain[["text", "verdict"]].tolist() == ["+0.10 [+0.10, +0.10]", "few"]
    assert "Fewer than 6 units give no p" in found.caption


def test_a_family_is_one_quantity_and_reference_and_leaves_variants_apart() -> None:
    one = six_seeds(measured(metrics())["metrics"])
    values = measured(pd.concat([one, one.assign(dataset="e", draw="e")]))
    both = grid(datasets=("d", "e"))
    cells = pd.concat([both.cells, both.cells.assign(seed=both.cells["seed"] + 3)])
    both = replace(both, cells=cells)
    plain = evidence.table(values, both).differences
    assert set(plain["p"]) == {2 / 64} and set(plain["adjusted"]) == {4 * 2 / 64}
    apart = replace(both, draws={"d": Joined(("d",), "d", ""), "e": Joined(("e",), "d", "flat")})
    assert set(evidence.table(values, apart).differences["adjusted"]) == {2 * 2 / 64}


def test_missing_is_said() -> None:
    values = measured(metrics())
    values["metrics"] = values["metrics"][values["metrics"]["method"] != "cyborg"]
    found = evidence.table(values, grid())
    assert row(found.panels[0].rows, method="cyborg")["macro"] == "missing (0 of 3)"
    gain = row(evidence.gains(found, "held_out_auroc", "cross_entropy", 0.95), method="cyborg")
    assert gain[["text", "verdict"]].tolist() == ["–", "missing"]


def test_readme_shows_the_first_quantities() -> None:
    rows = evidence.readme_rows(table(strata=STRATA, counterfactuals=PHANTOM), grid())
    assert list(rows) == ["method", "d: conflict", "d: without cause"]
    assert row(rows, method="cyborg")["d: conflict"].startswith("0.50 [")


def test_headlines_are_the_means_of_what_is_defined() -> None:
    found = evidence.headlines(table(strata=STRATA).tidy)
    assert list(found) == ["d/b/cross_entropy", "d/b/cyborg", "d/b/control_a"]
    expected = {
        "conflict_auroc": 0.5,
        "conflict_auroc_novel": 0.3,
        "held_out_auroc": 0.8,
        "closed_auroc": 1.05,
    }
    assert found["d/b/cyborg"] == pytest.approx(expected)
    assert all(math.isfinite(value) for numbers in found.values() for value in numbers.values())
