"""The shortcut alarm's judgement: values by hand, and what every judgement must obey."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.explain import suspicion

NAN = float("nan")
KNOWN = {"inside_maps": 0.5, "n_maps": 9, "margin_fall": 0.5, "known_auroc": 1.0, "unseen_auroc": 0.75}


def judged(**changes: Any) -> pd.Series:
    return suspicion.judge(pd.DataFrame([{**KNOWN, **changes}])).iloc[0]


@pytest.mark.parametrize(
    ("changes", "score"),
    [
        ({}, 0.5),
        ({"inside_maps": 0.0}, (0.95 + 0.5) / 2),  # 9 regions outside and one at one half; half of it is lost
        ({"inside_maps": 1.0, "unseen_auroc": 1.0}, 0.05 / 2),
        ({"inside_maps": 0.0, "unseen_auroc": 0.5}, 1.95 / 2),
        ({"inside_maps": 0.0, "unseen_auroc": 0.3}, 1.95 / 2),  # worse than chance: all is lost
        ({"inside_maps": 0.0, "n_maps": 1, "unseen_auroc": 1.0}, 0.75 / 2),
        ({"inside_maps": NAN, "n_maps": 0, "unseen_auroc": 0.5}, 0.5 + 0.5 * 2 / 3),
        ({"inside_maps": 0.0, "unseen_auroc": NAN}, 0.5 + 0.45 * 2 / 3),
        ({"inside_maps": 0.0, "known_auroc": 0.59}, 0.5 + 0.45 * 2 / 3),  # presence never told anything
        ({"inside_maps": NAN, "n_maps": 0, "unseen_auroc": NAN}, 0.5),
        ({"inside_maps": 0.0, "unseen_auroc": 0.5, "margin_fall": 0.025}, 0.5 + 0.475 / 2),
        ({"inside_maps": 0.0, "unseen_auroc": 0.5, "margin_fall": -1.0}, 0.5),
        ({"inside_maps": 0.0, "unseen_auroc": 0.5, "margin_fall": NAN}, 0.5),
    ],
)
def test_scores_by_hand(changes: dict[str, float], score: float) -> None:
    assert judged(**changes)["score"] == pytest.approx(score)


def test_verdicts_and_the_kinds_of_evidence() -> None:
    assert judged()[["verdict", "evidence"]].tolist() == ["unclear", "maps sources fill"]
    alone = judged(inside_maps=NAN, n_maps=0, unseen_auroc=0.5)
    assert alone[["verdict", "evidence"]].tolist() == ["shortcut", "sources fill"]
    unfilled = judged(inside_maps=1.0, unseen_auroc=NAN, margin_fall=NAN)
    assert unfilled[["verdict", "evidence"]].tolist() == ["unclear", "maps"]
    assert judged(inside_maps=1.0, unseen_auroc=1.0)["verdict"] == "cause"


def test_many_concepts_are_judged_one_by_one() -> None:
    table = pd.DataFrame([{**KNOWN, "inside_maps": inside} for inside in (0.0, 1.0, NAN)], index=[7, 3, 5])
    table.loc[5, "n_maps"] = 0
    found = suspicion.judge(table)
    assert found.index.tolist() == [7, 3, 5]
    assert found["score"].tolist() == [judged(**row)["score"] for row in table.to_dict("records")]


def test_no_concept_is_no_verdict() -> None:
    found = suspicion.judge(pd.DataFrame([KNOWN]).iloc[:0])
    assert list(found) == ["score", "verdict", "evidence"]
    assert len(found) == 0


share = st.floats(0, 1)


@given(share, share, share, share, st.integers(1, 50), st.floats(-1, 2))
def test_more_suspicion_never_lowers_the_score(
    inside: float, less: float, unseen: float, lower: float, n: int, fall: float
) -> None:
    given_less = judged(inside_maps=inside, unseen_auroc=unseen, n_maps=n, margin_fall=fall)["score"]
    given_more = judged(
        inside_maps=min(inside, less), unseen_auroc=min(unseen, lower), n_maps=n, margin_fall=fall
    )["score"]
    assert 0 <= given_less <= given_more + 1e-12 <= 1 + 1e-12


def test_presence_is_the_best_match_among_heavy_cells() -> None:
    contributions = np.zeros((2, 2, 1, 10))
    contributions[0, :, 0, 3] = (3, 4)  # the one heavy cell that is not faint: along (0.6, 0.8)
    contributions[0, :, 0, 4] = (0.1, 0)  # the second of the heavy fifth
    contributions[0, :, 0, 5] = (0, 0.05)  # lighter than a fifth of the cells: not looked at
    contributions[1, :, 0, 0] = (-2, 0)
    contributions[1, :, 0, 9] = (0, 1)
    found = suspicion.presence(contributions, np.array([[2.0, 0.0], [0.0, 0.5], [3.0, 4.0]]))
    np.testing.assert_allclose(found, [[1, 0.8, 1], [0, 1, 0.8]], atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 50))
def test_presence_knows_no_place_and_no_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    contributions, directions = rng.normal(size=(3, 4, 5, 5)), rng.normal(size=(2, 4))
    moved = rng.permutation(contributions.reshape(3, 4, 25), axis=2).reshape(3, 4, 5, 5)
    found = suspicion.presence(contributions, directions)
    np.testing.assert_allclose(suspicion.presence(moved * scale, directions), found, atol=1e-9)
    assert (np.abs(found) <= 1 + 1e-12).all()
