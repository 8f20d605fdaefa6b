"""Which epoch of a training, and which of several trainings, is kept: validation alone decides.

AUROC on validation saturates where a shortcut is as good as the cause, and then says nothing of which of the
two a model goes by. So it only bounds the choice (`tolerance`), and among what is good enough the metric
decides. Every method and control is judged by the images' own human maps.
"""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = {
    "auroc": "val_auroc",
    "alignment": "val_alignment",
    "counterfactual": "val_counterfactual",
}
DIGITS = 10  # of validation's values, so that equal ones are equal however their sums were rounded
Row = dict[str, Any]  # an epoch's numbers by column; None where validation has no map to judge by


def chosen(rows: Sequence[Mapping[str, Any]], metric: str, tolerance: float) -> int:
    """The place of the row that is kept.

    Of the rows whose validation AUROC is at most `tolerance` below the best, the one with the highest
    `metric` (a key of COLUMNS); of equals the one with the highest AUROC, and of these the last.

    >>> rows = [{"val_auroc": 1.0, "val_alignment": 0.1}, {"val_auroc": 0.99, "val_alignment": 0.4}]
    >>> chosen(rows, "alignment", 0.02), chosen(rows, "alignment", 0.0), chosen(rows, "auroc", 0.02)
    (1, 0, 0)
    """
    ranks = _ranks(rows, metric)
    return max(_near_the_best(rows, tolerance), key=ranks.__getitem__)


def contenders(rows: Sequence[Mapping[str, Any]], metric: str, tolerance: float) -> list[int]:
    """The places of all rows that `chosen` may name now or once more rows follow, ascending.

    What is no better than another row in AUROC and ranks behind it can never be.
    """
    ranks, aurocs = _ranks(rows, metric), [row["val_auroc"] for row in rows]
    near = _near_the_best(rows, tolerance)
    return [
        place
        for place in near
        if not any(aurocs[other] >= aurocs[place] and ranks[other] > ranks[place] for other in near)
    ]


def applied(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    """The metric that decides: `auroc` where validation has no human map to judge by.

    >>> applied([{"val_auroc": 1.0, "val_alignment": None}], "alignment")
    'auroc'
    """
    return metric if all(row.get(COLUMNS[metric]) is not None for row in rows) else "auroc"


def _near_the_best(rows: Sequence[Mapping[str, Any]], tolerance: float) -> list[int]:
    best = max(row["val_auroc"] for row in rows)
    return [place for place, row in enumerate(rows) if round(best - row["val_auroc"], DIGITS) <= tolerance]


def _ranks(rows: Sequence[Mapping[str, Any]], metric: str) -> list[tuple[float, float, int]]:
    column = COLUMNS[applied(rows, metric)]
    return [(row[column], row["val_auroc"], place) for place, row in enumerate(rows)]
