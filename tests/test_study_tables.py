"""The study's tables: every block is filled, from the numbers that belong there."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import study_tables
from benchmarks.study_tables import BLOCKS, PAGE, TASKS, TITLES, Study, filled
from pipeline.present.markup import markdown_rows

CONFLICT = {"cross_entropy": 0.2, "transplant": 0.9, "transplant_class_mean": 0.3, "transplant_shuffled": 0.9,
            "transplant_within_class": 0.2}  # fmt: skip


@pytest.fixture
def study() -> Study:
    rows = [
        {"dataset": task, "method": method, "beside": "", "quantity": quantity, "planned": 2, "n": 2,
         "mean": value, "low": value - 0.1, "high": value + 0.1}
        for task in TASKS for method, value in CONFLICT.items() for quantity in TITLES
    ]  # fmt: skip
    rows += [{**rows[0], "method": "block_means", "beside": "floor", "mean": 0.55}]
    units = [
        {"dataset": task, "draw": f"{task}_{draw}", "seed": seed, "method": method,
         "value": value + (seed == 1) * (method == "transplant") * 9, "quantity": "conflict_auroc"}
        for task in TASKS for draw in (1, 2) for method, value in CONFLICT.items()
        for seed in range(1 if method in study_tables.CONTROLS else 2)
    ]  # fmt: skip
    gains = [
        {"dataset": task, "method": "evidence", "other": "cyborg", "quantity": quantity, "value": 0.5,
         "low": 0.4, "high": 0.6, "adjusted": 0.012, "pairs": 50}
        for task in TASKS for quantity in ("conflict_auroc", "without_cause")
    ]  # fmt: skip
    choices = [
        {"task": task, "method": "cyborg_any", "seed": seed, "alpha": alpha}
        for task in TASKS
        for seed, alpha in enumerate((0.1, 0.02))
    ]
    concepts = [
        {"dataset": f"{task}{part}", "score": score, "verdict": verdict, "truth": truth,
         "inside_maps": 1 - score, "n_maps": 9, "auroc_known": 0.9, "auroc_unseen": 0.9}
        for task in TASKS for part in ("", "_agreement_0_5")
        for score, verdict, truth in
        ((0.9, "shortcut", "shortcut"), (0.1, "cause", "cause"), (0.5, "unclear", np.nan))
    ]  # fmt: skip
    return Study(*map(pd.DataFrame, (rows, units, gains, concepts, choices)))


def test_every_block_of_the_page_is_filled(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.present.alarm.without_maps", lambda alarms: alarms["score"].to_numpy())
    blocks = {name: markdown_rows(of(study)) for name, of in BLOCKS.items()}
    page = PAGE.read_text(encoding="utf-8")
    found = filled(page, blocks)
    assert all(found.count(block) >= 1 for block in blocks.values())
    assert page.count("<!-- end -->") == len(BLOCKS) and filled(found, blocks) == found


def test_gain_gone_is_counted_over_the_units_that_all_have(study: Study) -> None:
    """Seed 1, where transplant gains 9 more, has no control."""
    found = study_tables.controls(study).set_index("control")["cxr: gain gone"]
    assert found.to_list() == ["86%", "100%", "0%"]


def test_numbers_stand_with_their_task_and_quantity(study: Study) -> None:
    line = study_tables.methods(study).set_index("method").loc["transplant"]
    assert line["iris: conflict"] == "0.90 [0.80, 1.00]" and len(line) == 6
    assert study_tables.fitness(study)["method"].to_list() == ["cross_entropy", "block_means"]
    assert study_tables.alphas(study)["face: alpha"].item() == "0.1, 0.02"
    assert (
        study_tables.dose(study).query("task == 'cxr' and method == 'transplant'")["1"].item()[:4] == "0.90"
    )
    said = study_tables.differences(study)["cxr: conflict"].item()
    assert said == "+0.50 [+0.40, +0.60], p 0.012, n 50"
