"""Counterfactual tests: what they change, and that they convict and clear two hand-made networks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import planted
import pytest
import torch
from sklearn.metrics import roc_auc_score

from pipeline.data.store import Store
from pipeline.measure import counterfactuals, evaluation
from pipeline.measure.roles import measured

SETTINGS = {
    "batch_size": 16,
    "curve_steps": 2,
    "curve_samples": 2,
    "gallery": 4,
    "threshold": {"rule": "eer", "value": 0},
    "novel": ["site_c"],
}
CAUSE = planted.network(cause=10, shortcut=0)
SHORTCUT = planted.network(cause=0, shortcut=10)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return planted.write(tmp_path_factory.mktemp("planted") / "tiny")


@pytest.fixture(scope="module")
def found(store: Store) -> dict[str, evaluation.Measurement]:
    """What evaluate says of either network."""
    return {
        name: evaluation.measure(model, store, SETTINGS)
        for name, model in {"cause": CAUSE, "shortcut": SHORTCUT}.items()
    }


def aurocs(measurement: evaluation.Measurement, role: str = "test_closed", source: str = "") -> pd.Series:
    table = measurement.tables["counterfactuals"]
    mine = table[(table["role"] == role) & (table["source"] == source)]
    return mine.set_index(counterfactuals.KIND).sort_index()["auroc"]


@pytest.mark.parametrize("fill", ["blur", "swap"])
@pytest.mark.parametrize("role", ["val", "test_closed"])
def test_the_human_region_convicts_one_network_and_clears_the_other(found, fill: str, role: str) -> None:
    convicted, cleared = (aurocs(found[name], role)["human", fill] for name in ("shortcut", "cause"))
    assert convicted["as_is"] == cleared["as_is"] == 1
    assert convicted["without"] > 0.95 and convicted["only"] < 0.6
    assert cleared["without"] < 0.65 and cleared["only"] > 0.9


@pytest.mark.parametrize("fill", ["blur", "swap", "twin"])
def test_the_exact_masks_convict_one_network_and_clear_the_other(found, fill: str) -> None:
    cause, shortcut = aurocs(found["cause"]), aurocs(found["shortcut"])
    assert cause["cause", fill, "without"] < 0.65 and cause["shortcut", fill, "without"] > 0.95
    assert shortcut["cause", fill, "without"] > 0.95 and shortcut["shortcut", fill, "without"] < 0.65


def test_twins_are_exact_everywhere(found) -> None:
    for role, source in (("val", ""), ("test_closed", ""), ("test_open", "site_b")):
        assert aurocs(found["cause"], role, source)["cause", "twin", "without"] == 0.5
        assert aurocs(found["shortcut"], role, source)["shortcut", "twin", "without"] == 0.5
        assert aurocs(found["cause"], role, source)["shortcut", "twin", "without"] == 1


def test_headlines_of_either_network(found) -> None:
    cause, shortcut = found["cause"].results, found["shortcut"].results
    assert cause["conflict_auroc"] == 1 and shortcut["conflict_auroc"] == 0
    assert cause["without_cause"] == 0.5 and shortcut["without_cause"] == 1
    assert cause["evidence_gap"] > 0.3 and shortcut["evidence_gap"] < -0.3


def test_a_table_row_by_hand(store: Store) -> None:
    """One answer per image: 100 for its row, less where something was filled."""
    scores = evaluation.scored(store, np.arange(140.0)[measured(store)["row"] - 40])
    answers = counterfactuals.answers(
        lambda images: images.mean((1, 2, 3)).double().numpy(), store, scores, 16
    )
    table = counterfactuals.counterfactual_table(answers)
    assert list(table) == counterfactuals.COLUMNS
    line = table.set_index(["role", "source", *counterfactuals.KIND]).loc[
        "test_open", "site_b", "cause", "twin", "without"
    ]
    rows = np.flatnonzero(store.manifest["source"] == "site_b")
    twins = store.twin("cause")[rows].mean((1, 2, 3)) / 255
    positive = store.labels[rows] == 1
    expected = np.where(positive, twins, rows - 40.0)
    assert line["auroc"] == roc_auc_score(positive, expected)
    assert line["change"] == pytest.approx((twins - (rows - 40))[positive].mean())
    assert (line["n_negative"], line["n_positive"], line["n_annotated"]) == (20, 20, 20)


def test_as_is_is_of_the_same_images_and_costs_no_pass(store: Store) -> None:
    seen = []

    def score(images: torch.Tensor) -> np.ndarray:
        seen.append(len(images))
        return np.zeros(len(images))

    scores = evaluation.scored(store, np.arange(140.0))
    answers = counterfactuals.answers(score, store, scores, 16)
    untouched = answers[answers["test"] == "as_is"]
    np.testing.assert_array_equal(untouched["logit_difference"], untouched["as_is"])
    # val 20, closed 40, open 80 images; human four times; exact masks on closed; twins of who has one
    assert sum(seen) == 4 * 140 + 2 * 4 * 40 + 70 + (10 + 20 + 40)
    assert max(seen) <= 16


@pytest.mark.parametrize("name", ["human", "cause", "shortcut"])
def test_a_region_is_ones_own_or_borrowed_within_the_role(store: Store, name: str) -> None:
    samples = measured(store).query("role == 'test_open'")
    region = counterfactuals.regions(store)[name]
    tested = counterfactuals.lent(store, samples, region)
    own = region.owners[tested["row"]]
    assert len(tested) == 80 and own.sum() == 40
    assert (tested["lender"][own] == tested["row"][own]).all()
    borrowed = tested["lender"][~own]
    assert region.owners[borrowed].all() and set(borrowed) <= set(samples["row"])
    assert len(set(borrowed)) > 10  # and not the same one's
    assert (tested["other"] != tested["row"]).all() and set(tested["other"]) <= set(samples["row"])
    assert (store.labels[tested["other"]] == 0).all() and len(set(tested["other"])) > 20


def test_positives_without_a_map_are_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = measured(store).query("role == 'test_closed'")
    blank = store.has_map.copy()
    blank[samples["row"].iloc[1]] = False  # a positive
    monkeypatch.setattr(store, "has_map", blank)
    tested = counterfactuals.lent(store, samples, counterfactuals.regions(store)["human"])
    assert set(samples["row"]) - set(tested["row"]) == {samples["row"].iloc[1]}
    monkeypatch.setattr(store, "has_map", blank & False)
    assert counterfactuals.lent(store, samples, counterfactuals.regions(store)["human"]).empty


def test_what_is_changed_is_the_region_and_nothing_else(store: Store) -> None:
    samples = measured(store).query("role == 'test_closed'")
    region = counterfactuals.regions(store)["cause"]
    tested = counterfactuals.lent(store, samples, region).iloc[:8]
    changed = counterfactuals.altered(store, tested, region)
    images = torch.from_numpy(store.images[tested["row"]]).float() / 255
    others = torch.from_numpy(store.images[tested["other"]]).float() / 255
    inside = torch.from_numpy(region.cut(store.truth("causal")[tested["lender"]]))[:, None]
    assert inside.float().mean() < 0.12  # 12 x 12 px of 48 x 48 at most
    for test, kept in {"without": ~inside, "only": inside}.items():
        for fill in ("blur", "swap"):
            assert torch.equal(changed[fill, test][kept], images[kept])
        assert torch.equal(changed["swap", test][~kept], others[~kept])
        assert (changed["blur", test][~kept] - images[~kept]).abs().mean() > 0.01


def test_shown_scores_name_whose_region_it_is(store: Store, found) -> None:
    table = found["cause"].tables["shown_scores"]
    assert list(table) == ["sample_id", "role", "label", "region_of", "test", "logit_difference"]
    assert table["test"].value_counts().to_dict() == {"as_is": 8, "without": 8, "only": 8}
    own = table["sample_id"] == table["region_of"]
    assert (own == (table["label"] == 1)).all()
    shown = store.manifest["sample_id"].to_numpy()[found["cause"].arrays["index"]]
    as_is = table[table["test"] == "as_is"].set_index("sample_id")["logit_difference"]
    np.testing.assert_allclose(as_is[shown], found["cause"].arrays["logit_difference"], atol=1e-6)
    positive = table[table["label"] == 1].groupby("test")["logit_difference"].mean()
    assert positive["without"] < 0.3 * positive["as_is"] and positive["only"] > 0.8 * positive["as_is"]


def test_batches_change_nothing(store: Store) -> None:
    scores = evaluation.scored(store, np.arange(140.0))
    score: Callable = lambda images: images.mean((1, 2, 3)).double().numpy()  # noqa: E731
    one, two = (counterfactuals.answers(score, store, scores, size) for size in (7, 140))
    pd.testing.assert_frame_equal(one, two, rtol=1e-6)


def test_real_data_has_human_regions_alone(tmp_path: Path) -> None:
    real = planted.write(tmp_path / "tiny", phantom=False)
    found = evaluation.measure(CAUSE, real, SETTINGS)
    assert set(found.tables["counterfactuals"]["region"]) == {"human"}
    assert set(found.tables["counterfactuals"]["fill"]) == {"blur", "swap"}
    assert found.tables["strata"].empty and list(found.tables["strata"]) != []
    assert found.tables["scores"]["marked"].isna().all()
    assert np.isnan(found.results["conflict_auroc"]) and np.isnan(found.results["without_cause"])
    assert found.results["evidence_gap"] > 0.3


def test_phantoms_without_twins_are_told_by_their_masks_alone(tmp_path: Path) -> None:
    found = evaluation.measure(CAUSE, planted.write(tmp_path / "tiny", twins=False), SETTINGS)
    assert "twin" not in set(found.tables["counterfactuals"]["fill"])
    assert np.isnan(found.results["without_cause"])


def test_images_that_nobody_marked_have_no_counterfactual_tests(tmp_path: Path) -> None:
    bare = planted.write(tmp_path / "tiny", phantom=False)
    bare.has_map = np.zeros_like(bare.has_map)
    tables = evaluation.measure(CAUSE, bare, SETTINGS).tables
    assert tables["counterfactuals"].empty and tables["shown_scores"].empty
