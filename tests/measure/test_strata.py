"""Strata by hand, against all pairs one by one, and what they add up to."""

from itertools import chain

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipeline.measure import strata


def samples(*rows: tuple[str, str, int, int, float]) -> pd.DataFrame:
    columns = ["role", "source", "label", "marked", "logit_difference"]
    return pd.DataFrame(rows, columns=columns).assign(sample_id=range(len(rows)))


GROUP = [  # label, marked, score
    (0, 0, 1.0),
    (0, 1, 5.0),
    (0, 1, 2.0),
    (1, 0, 4.0),
    (1, 0, 0.0),
    (1, 1, 5.0),
]


def test_strata_by_hand() -> None:
    found = strata.strata(samples(*[("test_open", "x", *row) for row in GROUP])).set_index("stratum")
    # same: unmarked 1 against 4, 0: 1 of 2; marked 5, 2 against 5: 1.5 of 2 -> 2.5 of 4
    # aligned: 1 against 5; conflict: 5, 2 against 4, 0: 4 beats 2 alone: 1 of 4
    assert found["auroc"].to_dict() == {"same": 2.5 / 4, "aligned": 1.0, "conflict": 0.25}
    assert found[["n_negative", "n_positive"]].T.to_dict("list") == {
        "same": [3, 3],
        "aligned": [1, 1],
        "conflict": [2, 2],
    }


groups = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(-3, 3).map(float)), min_size=1, max_size=30
)


@given(groups)
def test_strata_are_all_pairs_one_by_one_and_add_up_to_auroc(group: list[tuple[int, int, float]]) -> None:
    found = strata.strata(samples(*[("test_open", "x", *row) for row in group])).set_index("stratum")
    wins: dict[str, list[float]] = {stratum: [] for stratum in strata.STRATA}
    for _, negative_marked, negative in (row for row in group if row[0] == 0):
        for _, positive_marked, positive in (row for row in group if row[0] == 1):
            stratum = {0: "same", 1: "conflict", -1: "aligned"}[negative_marked - positive_marked]
            wins[stratum].append((positive > negative) + 0.5 * (positive == negative))
    for stratum, won in wins.items():
        expected = np.mean(won) if won else np.nan
        assert found.loc[stratum, "auroc"] == pytest.approx(expected, nan_ok=True)
        assert (found.loc[stratum, "n_negative"] > 0) == bool(won)
    if every := [*chain(*wins.values())]:
        table = samples(*[("test_open", "x", *row) for row in group])
        assert np.mean(every) == pytest.approx(roc_auc_score(table["label"], table["logit_difference"]))


def test_who_decides_by_the_mark_has_a_half_one_and_zero() -> None:
    rows = [("test_open", "x", label, marked, float(marked)) for label in (0, 1) for marked in (0, 1)]
    assert strata.strata(samples(*rows))["auroc"].tolist() == [0.5, 1.0, 0.0]


def test_scopes_and_means_over_them() -> None:
    known = [("test_closed", "k", *row) for row in GROUP] + [("val", "k", 0, 0, 9.0)]
    one = [("test_open", "x", *row) for row in GROUP]
    two = [("test_open", "y", label, marked, -score) for label, marked, score in GROUP]
    table = strata.strata_table(samples(*known, *one, *two), novel=["y"])
    assert list(table) == strata.COLUMNS
    conflict = table[table["stratum"] == "conflict"].set_index(["scope", "source"])
    assert conflict["auroc"].to_dict() == {
        ("closed", ""): 0.25,
        ("held_out", "x"): 0.25,
        ("held_out", "y"): 0.75,
        ("macro", ""): 0.5,
        ("familiar", ""): 0.25,
        ("novel", ""): 0.75,
    }
    assert conflict.loc[("macro", ""), ["n_negative", "n_positive"]].tolist() == [4, 4]
    plain = strata.strata_table(samples(*known, *one, *two))
    assert plain["scope"].unique().tolist() == ["closed", "held_out", "macro"]


def test_a_source_without_pairs_leaves_the_mean_undefined() -> None:
    one = [("test_open", "x", *row) for row in GROUP]
    two = [("test_open", "y", *row) for row in GROUP if row[1] == 0]
    table = strata.strata_table(samples(*[("test_closed", "k", *row) for row in GROUP], *one, *two))
    found = table.set_index(["scope", "source", "stratum"])["auroc"]
    assert np.isnan(found["held_out", "y", "conflict"]) and np.isnan(found["macro", "", "conflict"])
    assert found["held_out", "y", "same"] == 0.5


def test_real_data_has_no_strata() -> None:
    table = strata.strata_table(samples(*[("test_closed", "k", *row) for row in GROUP]).assign(marked=np.nan))
    assert table.empty and list(table) == strata.COLUMNS
