"""Guidance under attack: methods that differ in their loss only, compared to the one without guidance."""

import numpy as np
import pandas as pd
from attacked_grid import (
    ARA,
    DECIDED,
    HOAX,
    HOAXED,
    PGD,
    VARIANTS,
    cell,
    difference,
    grid,
    made,
    panel,
    twice,
)

from pipeline.present.attacks import guidance
from pipeline.present.results import Grid


def test_guidance_compares_what_differs_in_the_loss_only() -> None:
    table = made(guidance, pd.concat([PGD, ARA]), DECIDED, VARIANTS)
    rows = panel(table, "difference to cross_entropy").rows
    assert rows["method"].tolist() == ["cyborg", "shuffled (control)"]
    reach = 4.302652729911275 * 0.1 / np.sqrt(3)  # of differences 0.1, 0.2, 0.3
    assert cell(rows, "L∞ 1/255", method="cyborg") == f"+0.200 ± {reach:.3f}"
    gain = difference(table, method="cyborg", budget=0.00392)
    assert np.isnan(gain["p"])  # three seeds are too few
    more = difference(made(guidance, twice(PGD), DECIDED), method="cyborg", budget=0.00392)
    assert more["p"] == 2 / 2**6
    assert more["adjusted"] == 4 * more["p"]  # of four tests: two methods, two budgets
    assert "smooth" not in {*table.tidy["method"], *table.differences["method"]}


def test_guidance_shows_what_is_left_of_the_maps() -> None:
    table = made(guidance, HOAX, HOAXED, VARIANTS)
    rows = panel(table, "maps under lie: Pearson to the clean map; difference").rows
    assert rows.to_numpy().tolist() == [["cyborg", "−0.200 ± 0.248", "−0.400 ± 0.000"]]


def test_guidance_says_whether_it_helped() -> None:
    table = made(guidance, pd.concat([twice(PGD), ARA]), DECIDED, VARIANTS)
    note = panel(table, "difference to cross_entropy").note
    assert "pgd: accuracy under PGD" in note and "smallest: ARA against cross_entropy" in note
    assert "cannot be told from 0 in 2 of 2: cyborg +0.200" in note  # p 0.031, of two tests 0.063
    assert "shuffled −0.100 ± 0.000" in note and "(fewer than 6 units) in 2 of 2: cyborg +0.0000" in note
    maps = made(guidance, twice(HOAX), HOAXED, VARIANTS)
    assert "hurt (below 0) in 1 of 1: cyborg" in panel(maps, "Pearson to the clean map; diff").note


def test_guidance_leaves_out_attacks_on_one_plain_method() -> None:
    alone = grid(("lie", "sham"), methods=("cross_entropy", "smooth")).attacks
    planned = pd.concat([DECIDED.attacks, alone])
    both = Grid(DECIDED.datasets, DECIDED.controls, (), 0.95, DECIDED.cells, planned)
    table = made(guidance, pd.concat([PGD, ARA, HOAX]), both, VARIANTS)
    assert not [panel.heading for panel in table.panels if "lie" in panel.heading]
    assert "lie" not in set(table.tidy["attack"])
