"""The table of decisions under attack: how many stand, and how large the smallest successful change is."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipeline.present.attacks.rows import (
    COMPARED,
    DECIDES,
    Attacked,
    budget_text,
    difference_lines,
)
from pipeline.present.claims import decisions_hold
from pipeline.present.results import GROUP, Grid
from pipeline.present.tables import Panel, Table, estimate_texts, in_order, named, parts, spread
from pipeline.present.variants import to_bases

TABLE = "robust_decisions"
NORMS = {"accuracy_linf": "L∞", "accuracy_l2": "L2"}
AREAS = {"ara_attack": "ARA", "ara_btr": "BTR-ARA"}
MASKING = "masking_linf"
OVERSTATED = "overstated_linf"
OTHERS = {
    "accuracy_linf_unbounded": "L∞ unbounded",
    OVERSTATED: "overstated",
    MASKING: "masking",
    **AREAS,
    "unbroken": "unbroken",
}
AREA_DIGITS = 4  # areas are small: hundredths of the grey range
FIGURES = {
    TABLE: "Share of test images whose decision is right and stands, against the size of the "
    "change: mean over seeds; the band runs from the least to the largest seed."
}
PICTURE = (
    "adversarial explanations, first seed: the image pushed towards either class within a budget, and the "
    "change over its own range. Below: the logit difference, above 0 for class 1."
)


def table(mine: Attacked) -> Table:
    """All attacks on decisions in one row per method, and how methods differ."""
    tidy, differences = mine.estimates(), mine.differences(to_bases(mine.methods))
    caption = (
        "Accuracy under projected gradient descent by norm and budget (shares of the grey range; L2 as root "
        "mean square), and the area under the accuracy-robustness curve above the larger class's share, in "
        "the same unit (ARA; BTR-ARA: until the true class's probability falls to that share, the same thing "
        "where it is a half). overstated: by how much twice the steps and one start more lower accuracy at "
        "the middle L∞ budget. masking: cells in which that changes it by more than 0.1, a search without "
        "gradients breaks what gradients left there, or an unbounded perturbation leaves any: gradients are "
        "masked or the attack is too short, and accuracies too high. unbroken: share of images "
        f"that no perturbation broke; these count with the largest that was tried. {COMPARED} {DECIDES} "
        f"{mine.rests_on()}"
    )
    panels = list(_panels(mine, tidy, differences))
    figures = FIGURES | mine.pictures(PICTURE)
    return Table(TABLE, "Robust decisions", caption, tidy, panels, differences, figures)


def _panels(mine: Attacked, tidy: pd.DataFrame, differences: pd.DataFrame) -> Iterator[Panel]:
    for dataset, heading, part in parts(with_columns(tidy), mine.grid):
        yield Panel(dataset, heading, decision_lines(part, mine.grid), mine.settings(part))
        compared = part[~part["metric"].isin([MASKING, OVERSTATED])]
        changed = difference_lines(differences, compared, mine.grid, name_other=True)
        if len(changed):
            held = decisions_hold(mine.within(part, "dataset", "backbone"), mine.methods, mine.grid)
            yield Panel(dataset, f"{heading}; differences", changed, held)


def with_columns(tidy: pd.DataFrame) -> pd.DataFrame:
    """The rows about decisions that panels show, with `column` and `digits`, each quantity once."""
    names = tidy.drop_duplicates("attack")
    several = set(names.loc[names["kind"].duplicated(keep=False), "attack"])
    columns = [_column(row, f"{row.attack}: " if row.attack in several else "") for row in tidy.itertuples()]
    digits = [AREA_DIGITS if metric in AREAS else 3 for metric in tidy["metric"]]
    shown = tidy.assign(column=columns, digits=digits)
    return shown[shown["column"] != ""].drop_duplicates([*GROUP, "column"])


def _column(row: Any, prefix: str) -> str:
    if row.metric == "auroc_clean":
        return "AUROC, clean"
    if row.metric in NORMS and row.budget == 0:
        return "accuracy, clean"
    if row.metric in NORMS:
        return f"{prefix}{NORMS[row.metric]} {budget_text(row.budget)}"
    return prefix + OTHERS[row.metric] if row.metric in OTHERS else ""


def decision_lines(rows: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """One line per method, one column per quantity, in the order of the rows."""
    flags = [_count_text(mean, n) for mean, n in zip(rows["mean"], rows["n"], strict=True)]
    texts = np.where(rows["metric"] == MASKING, flags, estimate_texts(rows))
    return named(spread(in_order(rows.assign(text=texts), grid), rows["column"]), grid)


def _count_text(share: float, n: int) -> str:
    return f"{share * n:.0f} of {n}" if n else "missing"
