"""What was found, in sentences: who passes both tests on phantoms, what else is said, and of whom."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from small_grid import grid, measured, metrics

from pipeline.present import answer, evidence
from pipeline.present.draws import Joined

CONFLICT = {"scope": "macro", "source": "", "stratum": "conflict"}
WITHOUT = {"role": "test_closed", "source": "", "region": "cause", "fill": "twin", "test": "without"}


def phantom(conflict: float, without: float) -> evidence.Table:
    """cross_entropy has these; cyborg 0.1 more of both, control_a 0.2 more."""
    strata, tests = [{**CONFLICT, "auroc": conflict}], [{**WITHOUT, "auroc": without}]
    return evidence.table(measured(metrics(), strata=strata, counterfactuals=tests), grid())


def said(table: evidence.Table, **about: Any) -> str:
    (sentence,) = answer.sentences(table, grid(**about)).values()
    return sentence


def test_who_passes_both_tests_decides_by_the_cause() -> None:
    assert said(phantom(0.81, 0.5)) == (
        "Title_1: cyborg (conflict 0.91 [0.91, 0.91], without cause 0.60 [0.60, 0.60]) decides by what "
        "people marked; cross_entropy does not. With other maps than the image's own, conflict is "
        "1.01 [1.01, 1.01] (control_a)."
    )
    both = said(phantom(0.9, 0.55))
    assert "cross_entropy (conflict 0.90" in both and ") decide by what people marked. With" in both


@pytest.mark.parametrize(("conflict", "without"), [(0.79, 0.5), (0.85, 0.6)], ids=["conflict", "cause"])
def test_one_test_is_not_enough(conflict: float, without: float) -> None:
    sentence = said(phantom(conflict, without))
    assert sentence.startswith(
        "Title_1: no method decides by what people marked; the highest conflict has cyborg ("
    )


def test_all_data_sets_in_one_sentence() -> None:
    """cyborg passes on both, cross_entropy on one; a control never counts."""
    one, two = phantom(0.9, 0.55), phantom(0.81, 0.5)
    rows = pd.concat([one.tidy, two.tidy.assign(dataset="e")], ignore_index=True)
    wide = grid(datasets=("d", "e"))
    assert answer.overall(replace(one, tidy=rows), wide) == (
        "Who decides by what people marked: cyborg on 2 of 2 data sets and cross_entropy on 1."
    )
    rows = pd.concat([two.tidy, phantom(0.1, 0.1).tidy.assign(dataset="e")], ignore_index=True)
    assert answer.overall(replace(one, tidy=rows), wide) == (
        "Who decides by what people marked: cyborg on 1 of 2 data sets; cross_entropy on none."
    )
    low = phantom(0.1, 0.1).tidy
    rows = pd.concat([low, low.assign(dataset="e")], ignore_index=True)
    assert answer.overall(replace(one, tidy=rows), wide) == (
        "No method decides by what people marked on any of 2 data sets."
    )


def test_variants_are_left_out() -> None:
    found = phantom(0.81, 0.5)
    variant = replace(grid(), draws={"d": Joined(("d",), "o", "no shortcut")})
    assert answer.sentences(found, variant) == {}


def test_of_real_data_the_highest_auroc_on_unseen_sources_and_what_it_is_worth() -> None:
    found = evidence.table(measured(metrics()), grid(phantom=False))
    assert said(found, phantom=False) == (
        "Title_1: on sources never seen in training, cyborg has the highest AUROC of 2 methods, "
        "0.80 [0.30, 1.30]."
    )  # cyborg is the reference itself
    against = replace(grid(phantom=False), references=("cross_entropy",))
    (sentence,) = answer.sentences(evidence.table(measured(metrics()), against), against).values()
    assert sentence.endswith(
        "; its difference to cross_entropy is +0.20 [−0.05, +0.45]; fewer than 6 units give no verdict."
    )


def test_without_unseen_sources_the_closed_test_and_without_methods_nothing() -> None:
    values = metrics()
    found = evidence.table(measured(values[values["scope"] == "closed"]), grid(phantom=False))
    assert "on test images of known sources, cyborg has" in said(found, phantom=False)
    controls = replace(grid(phantom=False), controls=frozenset({"cross_entropy", "cyborg", "control_a"}))
    (sentence,) = answer.sentences(evidence.table(measured(values), controls), controls).values()
    assert sentence == "Title_1: no method has been measured."
