"""The choice of an epoch or of a candidate: by hand, and what may be forgotten on the way."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model.selection import COLUMNS, applied, chosen, contenders


def rows(*pairs: tuple[float, float | None], column: str = "val_alignment") -> list[dict[str, Any]]:
    return [{"val_auroc": auroc, column: value} for auroc, value in pairs]


@pytest.mark.parametrize(
    ("pairs", "tolerance", "expected"),
    [
        ([(0.90, 0.5), (0.99, 0.1), (1.00, 0.2)], 0.02, 2),
        ([(0.90, 0.5), (0.98, 0.3), (1.00, 0.2)], 0.02, 1),  # at the very edge
        ([(0.90, 0.5), (0.97, 0.3), (0.99, 0.2)], 0.02, 1),  # the edge of a difference that floats do not hit
        ([(0.90, 0.5), (0.979, 0.3), (1.00, 0.2)], 0.02, 2),
        ([(0.99, 0.3), (1.00, 0.3), (0.99, 0.3)], 0.02, 1),  # of equals the higher AUROC
        ([(1.00, 0.3), (1.00, 0.3), (0.99, 0.3)], 0.02, 1),  # then the last
        ([(0.90, -0.1), (0.90, -0.4)], 0.0, 0),
        ([(0.90, 0.0), (0.80, 0.4)], 0.999, 1),
    ],
)
@pytest.mark.parametrize("metric", ["alignment", "counterfactual"])
def test_choices_by_hand(
    pairs: list[tuple[float, float | None]], tolerance: float, expected: int, metric: str
) -> None:
    given = rows(*pairs, column=COLUMNS[metric])
    assert chosen(given, metric, tolerance) == expected and applied(given, metric) == metric


@pytest.mark.parametrize("metric", COLUMNS)
def test_without_maps_auroc_chooses_whatever_the_tolerance(metric: str) -> None:
    """The best epoch, of equals the last, as in CYBORG's code."""
    given = rows((0.9, None), (1.0, None), (1.0, None), (0.99, None))
    assert chosen(given, metric, 0.1) == chosen(given, metric, 0.0) == 2
    assert applied(given, metric) == "auroc"


VALUES = st.integers(0, 6).map(lambda value: value / 6)
EPOCHS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8)


@given(EPOCHS, EPOCHS, st.sampled_from([0.0, 0.2, 0.5]), st.sampled_from(["auroc", "alignment"]))
@settings(deadline=None, max_examples=400)
def test_what_is_forgotten_is_never_chosen_later(
    before: Any, after: Any, tolerance: float, metric: str
) -> None:
    """And what is remembered is a choice for some sequel: the best at once, the rest by what follows."""
    known = contenders(rows(*before), metric, tolerance)
    assert chosen(rows(*before), metric, tolerance) in known
    assert known == sorted(set(known))
    later = chosen(rows(*before, *after), metric, tolerance)
    assert later in known or later >= len(before)


@given(EPOCHS, st.sampled_from([0.2, 0.5]))
@settings(deadline=None, max_examples=200)
def test_no_epoch_is_remembered_in_vain(before: Any, tolerance: float) -> None:
    """Each contender is chosen if an epoch of low alignment pushes the AUROC bound up to it."""
    for place in contenders(rows(*before), "alignment", tolerance):
        auroc, _ = before[place]
        best = max(value for value, _ in before)
        sequel = (max(best, round(auroc + tolerance, 10)), -1.0)
        assert chosen(rows(*before, sequel), "alignment", tolerance) == place
