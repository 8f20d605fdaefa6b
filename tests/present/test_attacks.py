"""Tables of attacks: numbers by hand on a small grid, and what is said where something is missing."""

import numpy as np
import pandas as pd
import pytest
from attacked_grid import (
    ARA,
    DECIDED,
    HOAX,
    HOAXED,
    METHODS,
    NAN,
    PGD,
    VARIANTS,
    cell,
    difference,
    grid,
    made,
    named,
    panel,
    twice,
    values,
)

from pipeline.present import attacks
from pipeline.present.attacks import hoax, manipulability, robust_decisions
from pipeline.present.attacks.rows import Attacked
from pipeline.present.results import Grid
from pipeline.present.tables import Table


def test_without_attacks_there_are_no_tables() -> None:
    nothing = grid(("lie", "sham"), methods=())
    assert attacks.tables(Attacked(HOAX.iloc[:0], nothing, VARIANTS)) == []


def test_only_tables_of_planned_kinds() -> None:
    names = [table.name for table in attacks.tables(Attacked(HOAX, HOAXED, VARIANTS))]
    assert names == ["hoax", "guidance_and_robustness"]


def test_hoax_rows_are_methods_and_explanations() -> None:
    table = made(hoax, HOAX, HOAXED)
    maps = panel(table, "maps").rows
    assert maps[["method", "explanation"]].to_numpy().tolist() == [
        ["cross_entropy", "cam"], ["cross_entropy", "difference salience"],
        ["cyborg", "cam"], ["cyborg", "difference salience"],
    ]  # fmt: skip
    assert cell(maps, "Pearson, clean map", method="cross_entropy", explanation="cam").startswith("0.200 ±")
    decisions = panel(table, "decisions")
    assert cell(decisions.rows, "accuracy before", method="cyborg") == "0.800 ± 0.000"
    assert decisions.note == "lie: sham, steps 3."


def test_hoax_says_how_much_nearer_maps_of_both_classes_stay() -> None:
    note = panel(made(hoax, HOAX, HOAXED), "maps").note
    reach = 4.302652729911275 * 0.1 / np.sqrt(3)  # of differences 0.8, 0.7, 0.6
    said = f"difference salience − cam (cross_entropy +0.700 ± {reach:.3f}, cyborg +0.500 ± 0.000)"
    assert f"no verdict (fewer than 6 units) in 2 of 2: {said}." in note


def test_hoax_without_counterparts_judges_nothing() -> None:
    alone = HOAX[HOAX["explanation"] != "difference_salience"]
    assert panel(made(hoax, alone, HOAXED), "maps").note == ""


def test_hoax_says_that_the_copy_keeps_the_clean_threshold() -> None:
    caption = made(hoax, HOAX, HOAXED).caption
    assert "the hoaxed one starts from it and is not fitted again" in caption and "AUROC is the" in caption


def test_an_attack_without_a_record_lowers_n() -> None:
    lacking = HOAX[~((HOAX["method"] == "cyborg") & (HOAX["seed"] == 1))]
    table = made(hoax, lacking, HOAXED)
    row = table.tidy[(table.tidy["method"] == "cyborg") & (table.tidy["explanation"] == "cam")].iloc[0]
    assert (row["n"], row["planned"], row["cells"]) == (2, 3, "cyb0 cyb2")
    assert cell(panel(table, "decisions").rows, "accuracy before", method="cyborg").endswith("(2 of 3)")


def test_planned_counts_what_the_attack_is_meant_for() -> None:
    first = HOAX[HOAX["seed"] == 0]
    table = made(hoax, first, grid(("lie", "sham"), methods=("cross_entropy",), seeds=(0,)))
    assert set(table.tidy["method"]) == {"cross_entropy"} and set(table.tidy["planned"]) == {1}
    assert cell(panel(table, "decisions").rows, "accuracy before", method="cross_entropy") == "0.900"


def test_captions_say_what_they_rest_on() -> None:
    planned = HOAXED.attacks.assign(robustness_key=["", *["k"] * 5])
    lacking = Grid(HOAXED.datasets, HOAXED.controls, (), 0.95, HOAXED.cells, planned)
    caption = made(hoax, HOAX, lacking).caption
    assert "5 of 6 attacked cells" in caption and "Phantoms" in caption and "(18 times in all" in caption


def test_manipulability_stands_beside_its_settings_and_the_plain_method() -> None:
    found = values(
        "move",
        {("cam", "ssim_clean", NAN): {"cross_entropy": [0.1, 0.2, 0.3], "smooth": [0.4, 0.5, 0.6]}},
    )
    table = made(
        manipulability, found, grid(("move", "manipulation"), methods=("cross_entropy", "smooth")), VARIANTS
    )
    assert difference(table, method="smooth", other="cross_entropy")["value"] == pytest.approx(0.3)
    assert set(table.differences["method"]) == {"smooth"}  # the plain method is compared with none
    rows = panel(table, "move: cam").rows
    assert list(rows) == ["method", "weight decay", "activation", "Hessian weight", "SSIM"]
    assert cell(rows, "activation", method="smooth") == "softplus 20"
    changed = panel(table, "move; differences")
    assert list(changed.rows) == ["method", "compared with", "SSIM, cam"]
    assert changed.rows.to_numpy().tolist() == [["smooth", "cross_entropy", "+0.300 ± 0.000"]]
    assert "softplus" in changed.note
    assert "(fewer than 6 units) in 1 of 1: smooth − cross_entropy" in changed.note
    assert "at the threshold of equal errors" in table.caption and "MSE 0" in table.caption


def decided() -> Table:
    return made(robust_decisions, pd.concat([PGD, ARA]), DECIDED, VARIANTS)


def test_decisions_under_all_attacks_stand_in_one_row() -> None:
    rows = decided().panels[0].rows
    assert list(rows) == ["method", "AUROC, clean", "accuracy, clean", "L∞ 1/255", "masking", "ARA"]
    assert rows["method"].tolist() == ["cross_entropy", "cyborg", "shuffled (control)", "smooth"]
    assert cell(rows, "masking", method="cyborg") == "2 of 3"
    assert cell(rows, "ARA", method="smooth") == "0.0012 ± 0.0000"
    assert cell(rows, "L∞ 1/255", method="cross_entropy").startswith("0.200 ±")


def test_curves_are_in_the_csv_with_their_budgets() -> None:
    tidy = decided().tidy
    curve = tidy[tidy["metric"] == "accuracy_attack"]
    assert set(curve["budget"]) == {0.01} and set(curve["mean"]) == {0.5} and len(curve) == len(METHODS)
    assert tidy.loc[tidy["metric"] == "ara_attack", "budget"].isna().all()


def test_variants_are_compared_to_the_nearest_and_the_plain_method() -> None:
    rows = panel(decided(), "; differences").rows
    reach = 4.302652729911275 * 0.1 / np.sqrt(3)  # of differences -0.2, -0.3, -0.4
    assert rows[["method", "compared with", "L∞ 1/255"]].to_numpy().tolist() == [
        ["shuffled (control)", "cyborg", f"−0.300 ± {reach:.3f}"],
        ["smooth", "cross_entropy", "+0.300 ± 0.000"],  # once: the nearest is the plain one
    ]
    assert "masking" not in rows


def test_what_twice_the_effort_lowers_is_shown_and_not_compared() -> None:
    more = values("pgd", {("", "overstated_linf", NAN): {m: [0.0, 0.1, 0.2] for m in METHODS}})
    table = made(robust_decisions, pd.concat([PGD, more]), grid(("pgd", "pgd")))
    shown, compared = table.panels[0].rows, panel(table, "; differences").rows
    assert cell(shown, "overstated", method="cyborg").startswith("0.100 ±")
    assert "overstated" not in compared and "overstated" in table.caption


def test_a_method_with_two_defences_is_compared_to_both_bases() -> None:
    flat = VARIANTS.loc[["smooth"]].rename(index={"smooth": "cyborg"}).assign(nearest="smooth")
    methods = pd.concat([VARIANTS.drop("cyborg"), flat])
    table = made(robust_decisions, PGD, grid(("pgd", "pgd")), methods)
    rows = panel(table, "; differences").rows
    mine = rows[rows["method"] == "cyborg"]
    assert mine["compared with"].tolist() == ["smooth", "cross_entropy"]
    assert [text[:6] for text in mine["L∞ 1/255"]] == ["−0.100", "+0.200"]
    gains = [difference(table, method="cyborg", other=other, budget=0.00392)["value"] for other in
             ("smooth", "cross_entropy")]  # fmt: skip
    assert gains == pytest.approx([-0.1, 0.2])


def test_a_method_that_one_attack_is_not_meant_for_has_dashes() -> None:
    both = grid(("pgd", "pgd"), methods=("cross_entropy",)).attacks
    other = grid(("smallest", "minimal_perturbation")).attacks
    mixed = Grid(DECIDED.datasets, DECIDED.controls, (), 0.95, DECIDED.cells, pd.concat([both, other]))
    found = pd.concat([PGD[PGD["method"] == "cross_entropy"], ARA])
    rows = made(robust_decisions, found, mixed, VARIANTS).panels[0].rows
    assert cell(rows, "L∞ 1/255", method="cyborg") == "–" == cell(rows, "masking", method="cyborg")
    assert cell(rows, "AUROC, clean", method="cyborg") == "0.900 ± 0.000"


def test_two_attacks_of_a_kind_are_told_apart() -> None:
    twice = grid(("pgd", "pgd"), ("strong_pgd", "pgd"))
    found = pd.concat([PGD, PGD.assign(attack="strong_pgd")])
    rows = made(robust_decisions, found, twice, VARIANTS).panels[0].rows
    assert {"pgd: L∞ 1/255", "strong pgd: L∞ 1/255", "strong pgd: masking"} <= set(rows)
    assert cell(rows, "strong pgd: masking", method="cyborg") == "2 of 3"


def test_an_attack_of_another_kind_has_a_table_of_its_own() -> None:
    found = values(
        "new",
        {
            ("", "odd_number", NAN): {m: [0.1, 0.2, 0.3] for m in METHODS},
            ("", "odd_number", 1 / 255): {m: [0.5, 0.5, 0.5] for m in METHODS},
            ("cam", "turned", NAN): {"smooth": [0.7, 0.7, 0.7]},
        },
    )
    (table,) = attacks.tables(Attacked(found, grid(("new", "telepathy")), VARIANTS))
    assert table.name == "other_attacks" and set(table.tidy["kind"]) == {"telepathy"}
    whole, maps = table.panels
    assert list(whole.rows) == ["method", "odd number", "odd number, 1/255"]
    assert cell(whole.rows, "odd number, 1/255", method="cyborg") == "0.500 ± 0.000"
    assert cell(maps.rows, "turned", method="smooth", explanation="cam") == "0.700 ± 0.000"
    assert whole.note == "new: telepathy, steps 3."


def test_what_is_recorded_and_undefined_is_not_missing() -> None:
    about = {("cam", "cc_before", NAN): {"cross_entropy": [NAN, NAN, NAN], "cyborg": [NAN, NAN]}}
    found = pd.concat([HOAX, values("lie", about)])  # type: ignore[arg-type]
    rows = panel(made(hoax, found, HOAXED), "maps").rows
    column = "CC, human map: before"
    assert cell(rows, column, method="cross_entropy", explanation="cam") == "–"
    assert (
        cell(rows, column, method="cyborg", explanation="cam") == "missing (0 of 3)"
    )  # one without a record


def test_one_plain_method_has_nothing_to_be_compared_to() -> None:
    alone = grid(("pgd", "pgd"), methods=("cross_entropy", "smooth"))
    names = [table.name for table in attacks.tables(Attacked(PGD, alone, VARIANTS))]
    assert names == ["robust_decisions"]


def test_attacks_that_none_has_run_yet_are_counted() -> None:
    planned = DECIDED.attacks.assign(robustness_key="")
    empty = Grid(DECIDED.datasets, DECIDED.controls, (), 0.95, DECIDED.cells, planned)
    found = attacks.tables(Attacked(PGD.iloc[:0], empty, VARIANTS))
    assert [len(table.panels) for table in found] == [0, 0]
    assert "0 of 24 attacked cells" in named(found, "robust_decisions").caption


def test_holm_is_within_an_attack_and_a_measure() -> None:
    """Two methods are compared with a base in PGD's budgets 0 and 1/255: two tests of p 1/32, two of 1."""
    both, found = grid(("pgd", "pgd"), ("strong_pgd", "pgd")), twice(PGD)
    found = pd.concat([found, found[found["budget"] == 0.00392].assign(metric="accuracy_l2")])
    table = made(robust_decisions, pd.concat([found, found.assign(attack="strong_pgd")]), both)
    gains = table.differences
    linf = gains[(gains["metric"] == "accuracy_linf") & (gains["budget"] == 0.00392)]
    assert len(linf) == 4 and set(linf["p"]) == {1 / 32} and set(linf["adjusted"]) == {4 / 32}
    l2 = gains[gains["metric"] == "accuracy_l2"]
    assert len(l2) == 4 and set(l2["p"]) == {1 / 32} and set(l2["adjusted"]) == {2 / 32}
