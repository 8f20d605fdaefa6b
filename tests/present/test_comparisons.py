"""Estimates and paired differences: numbers by hand on a three-seed grid, and on random values."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from small_grid import METHODS, REACH, grid, metrics, row

from pipeline.present.comparisons import compare, summarise, to_references, verdicts
from pipeline.present.results import Grid
from pipeline.score.stats import holm, sign_flip_p, t_interval

BY = ["scope", "source"]
TO_PLAIN = [("cyborg", "cross_entropy"), ("control_a", "cross_entropy")]


def test_mean_interval_and_cells() -> None:
    found = row(summarise(metrics(), BY, grid()), method="cyborg", scope="macro")
    assert found["mean"] == pytest.approx(0.8)
    assert (found["low"], found["high"]) == pytest.approx((0.8 - REACH * 0.2, 0.8 + REACH * 0.2))
    assert (found["n"], found["planned"], found["cells"]) == (3, 3, "cyb0 cyb1 cyb2")
    beside = row(summarise(metrics(), BY, grid()), method="control_a", scope="macro")
    assert (beside["beside"], found["beside"]) == ("control", "")


def test_missing_cell_lowers_n_and_stays_visible() -> None:
    found = summarise(metrics(skip=("cyborg", 1)), BY, grid())
    lacking = row(found, method="cyborg", scope="macro")
    assert (lacking["n"], lacking["planned"], lacking["cells"]) == (2, 3, "cyb0 cyb2")
    nothing = metrics()
    absent = summarise(nothing[nothing["method"] != "cyborg"], BY, grid())
    absent = row(absent, method="cyborg", scope="macro")
    assert absent["n"] == 0 and np.isnan(absent["mean"]) and absent["cells"] == ""


def test_the_long_form() -> None:
    found = compare(metrics(), BY, TO_PLAIN, 0.95, family=["other", "scope"])
    numbers = ["value", "low", "high", "pairs", "p", "adjusted"]
    assert list(found) == ["dataset", "backbone", "method", "other", *BY, *numbers]
    gain = row(found, method="cyborg", scope="macro")
    assert gain["value"] == pytest.approx(0.2)
    assert (gain["low"], gain["high"]) == pytest.approx((0.2 - REACH * 0.1, 0.2 + REACH * 0.1))
    assert gain["pairs"] == 3 and np.isnan([gain["p"], gain["adjusted"]]).all()  # too few for a p


def test_pairs_share_seeds_only() -> None:
    found = compare(metrics(skip=("cross_entropy", 0)), BY, TO_PLAIN, 0.95)
    gain = row(found, method="cyborg", scope="macro")
    assert gain["value"] == pytest.approx(0.25)  # seeds 1 and 2
    assert gain["pairs"] == 2


def test_what_no_seed_has_of_both_has_no_row() -> None:
    lacking = metrics()
    lacking = lacking[lacking["method"] != "cyborg"]
    assert set(compare(lacking, BY, TO_PLAIN, 0.95)["method"]) == {"control_a"}
    assert compare(lacking, BY, [("cyborg", "")], 0.95).empty


def test_what_differs_within_a_seed_is_averaged_over_what_both_have() -> None:
    values = metrics()
    lacking = (values["method"] == "cyborg") & (values["seed"] == 0) & (values["scope"] == "closed")
    values.loc[lacking, "value"] = np.nan
    values.loc[(values["method"] == "cyborg") & (values["scope"] == "macro"), "value"] += 0.3
    (found,) = compare(values, [], TO_PLAIN[:1], 0.95, over=BY).to_dict("records")
    # seed 0: 0.1 and 0.4 of the source and macro; seeds 1 and 2: 0.2, 0.2, 0.5 and 0.3, 0.3, 0.6
    assert found["value"] == pytest.approx(np.mean([0.25, 0.3, 0.4])) and found["pairs"] == 3


def test_rounding_errors_of_a_mean_are_no_gain() -> None:
    """0.1 + 0.2 - 0.3 is 5.6e-17; without averaging nothing is rounded."""
    values = metrics().assign(value=0.0)
    values.loc[values["method"] == "cyborg", "value"] = [0.1, 0.2, -0.3] * 3
    (found,) = compare(values, [], TO_PLAIN[:1], 0.95, over=BY).to_dict("records")
    assert (found["value"], found["low"], found["high"]) == (0, 0, 0)
    tiny = values.assign(value=np.where(values["method"] == "cyborg", 1e-14, 0.0))
    assert set(compare(tiny, BY, TO_PLAIN[:1], 0.95)["value"]) == {1e-14}


def test_holm_within_the_given_family_of_random_values() -> None:
    """Two data sets, three methods, eight seeds: p against a second library's order, family by family."""
    axes = (("d", "e"), METHODS, range(8), ("macro", "closed"))
    values = pd.DataFrame(product(*axes), columns=["dataset", "method", "seed", "scope"])
    values = values.assign(backbone="b", draw=values["dataset"])
    noise = np.random.default_rng(3).normal(size=len(values))
    values["value"] = noise + values["method"].map(METHODS.index)
    pairs = to_references(grid(datasets=("d", "e")))
    assert pairs == [
        ("cross_entropy", "cyborg"), ("control_a", "cyborg"), ("cyborg", "cross_entropy"),
        ("control_a", "cross_entropy"),
    ]  # fmt: skip
    found = compare(values, ["scope"], pairs, 0.9, family=["other", "scope"])
    wide = values.pivot(index=["dataset", "scope", "seed"], columns="method", values="value")
    assert len(found) == 4 * 4
    for one in found.itertuples():
        gains = (wide[one.method] - wide[one.other]).loc[one.dataset, one.scope].to_numpy()
        assert (one.value, one.low, one.high) == pytest.approx(t_interval(gains, 0.9))
        assert one.p == sign_flip_p(gains)
    for (other, scope), family in found.groupby(["other", "scope"]):
        assert len(family) == 4, (other, scope)  # two data sets, two methods
        np.testing.assert_array_equal(family["adjusted"], holm(family["p"].to_numpy()))
    assert not np.allclose(
        found["adjusted"], holm(found["p"].to_numpy())
    )  # one large family is another thing


def test_a_verdict_follows_interval_and_adjusted_p_together() -> None:
    limits = pd.DataFrame(
        {"low": [0.1, -0.2, -0.2, 0.0, 0.1, 0.1], "high": [0.2, -0.1, 0.1, 0.1, 0.2, 0.2],
         "adjusted": [0.05, 0.01, 0.01, 0.01, 0.06, np.nan]}
    )  # fmt: skip
    assert verdicts(limits, 0.95) == ["higher", "lower", "unclear", "unclear", "unclear", "few"]


def two_draws() -> tuple[pd.DataFrame, Grid]:
    """Draws d and e of one data set: cyborg gains 0.1, 0.2, 0.3 on d and 0.4 three times on e."""
    later = metrics().assign(draw="e", value=lambda rows: rows["value"] - 0.2)
    later.loc[later["method"] == "cyborg", "value"] = (
        later.loc[later["method"] == "cross_entropy", "value"].to_numpy() + 0.4
    )
    cells = pd.concat([grid().cells, grid().cells.assign(draw="e")])
    return pd.concat([metrics(), later]), replace(grid(), cells=cells)


def test_draws_are_joined_and_pairs_share_draw_and_seed() -> None:
    values, joined = two_draws()
    found = row(summarise(values, BY, joined), method="cyborg", scope="macro")
    assert (found["n"], found["planned"]) == (6, 6)
    assert found["mean"] == pytest.approx((0.8 + 0.4 + 0.4) / 2)
    gain = row(compare(values, BY, TO_PLAIN[:1], 0.95, family=["scope"]), scope="macro")
    assert gain["value"] == pytest.approx(0.3) and gain["pairs"] == 6
    reach = 12.706204736432095 * 0.1  # t of two means of draws, 0.2 and 0.4
    assert (gain["low"], gain["high"]) == pytest.approx((0.3 - reach, 0.3 + reach))
    assert gain["p"] == gain["adjusted"] == 2 / 2**6


def test_an_estimate_is_a_mean_over_draws_of_means_over_seeds() -> None:
    values, joined = two_draws()
    lacking = values[(values["draw"] == "d") | (values["seed"] == 0)]
    found = row(summarise(lacking, BY, joined), method="cyborg", scope="macro")
    assert found["mean"] == pytest.approx((0.8 + 0.7) / 2) and (found["n"], found["planned"]) == (4, 6)
