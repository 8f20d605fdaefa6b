"""The evaluate stage on cells that the train stage made, checked against the model and its own tables."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_cells
import tiny_store
import torch
from sklearn.metrics import roc_auc_score
from tiny_store import NAME

from pipeline.common.errors import UserError
from pipeline.common.paths import PREPARED
from pipeline.data.store import open_store
from pipeline.evaluate import evaluate
from pipeline.explain import alignment
from pipeline.identify import identify
from pipeline.measure import counterfactuals, evaluation, scopes, strata
from pipeline.measure.roles import by_hash
from pipeline.measure.roles import measured as measured_samples
from pipeline.model import cam, load
from pipeline.score import metrics
from pipeline.train import train

CELL = Path("compact/cross_entropy/0")
OTHER = Path("compact/difference_salience/0")


@pytest.fixture(scope="module")
def measured(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project, evaluated; tests only read it."""
    root = tmp_path_factory.mktemp("measured")
    return tiny_cells.copied(trained_project, root, lambda: evaluate(tiny_cells.settings(), NAME))


def table(root: Path, name: str, cell: Path = CELL) -> pd.DataFrame:
    return pd.read_csv(root / "evaluate" / NAME / cell / f"{name}.csv", keep_default_na=False, na_values=[""])


def record(root: Path, cell: Path = CELL) -> dict:
    return json.loads((root / "evaluate" / NAME / cell / "record.json").read_text())


def outputs(root: Path) -> tuple[np.ndarray, torch.Tensor]:
    """Logit differences and CAMs of the scored samples, one by one, in the order of scores.csv."""
    store = open_store(root / PREPARED / NAME)
    model = load(root / "runs" / NAME / CELL / "model.safetensors")
    rows = measured_samples(store)["row"].to_numpy()
    with torch.no_grad():
        seen = [model(torch.from_numpy(store.images[[row]]).float() / 255) for row in rows]
    margins = [float(one.logits[0, 1] - one.logits[0, 0]) for one in seen]
    return np.array(margins), torch.cat([one.cams for one in seen])


def test_scores_are_the_models_logit_differences(measured: Path) -> None:
    scores = table(measured, "scores")
    assert list(scores) == [
        "sample_id",
        "label",
        "source",
        "class_name",
        "subject_id",
        "role",
        "logit_difference",
        "marked",
    ]
    assert scores["role"].value_counts().to_dict() == {"val": 12, "test_closed": 10, "test_open": 17}
    np.testing.assert_allclose(scores["logit_difference"], outputs(measured)[0], atol=1e-4)


def test_marks_are_the_shortcut_masks(measured: Path) -> None:
    store, scores = open_store(measured / PREPARED / NAME), table(measured, "scores")
    rows = measured_samples(store)["row"]
    assert scores["marked"].tolist() == store.truth("shortcut").any(axis=(1, 2))[rows].astype(int).tolist()
    assert 0 < scores["marked"].mean() < 1


def test_novel_sources_have_means_of_their_own() -> None:
    scores = tiny_cells.rows().assign(logit_difference=np.arange(59.0) % 7, role="test_open")
    scores.loc[:30, "role"] = "test_closed"
    found = evaluation.error_table(scores, 3.0, novel=["lens"])
    auroc = found[found["metric"] == "auroc"].set_index(["scope", "source"])
    assert set(auroc.loc[["familiar", "novel"]].index) == {("familiar", ""), ("novel", "")}
    assert auroc.loc[("novel", ""), "value"] == auroc.loc[("held_out", "lens"), "value"]
    others = [source for scope, source in auroc.index if scope == "held_out" and source != "lens"]
    expected = auroc.loc["held_out"].loc[others, "value"].mean()
    assert auroc.loc[("familiar", ""), "value"] == pytest.approx(expected)
    assert auroc.loc[("novel", ""), "n_positive"] == auroc.loc[("held_out", "lens"), "n_positive"]


def test_threshold_comes_from_validation(measured: Path) -> None:
    val = table(measured, "scores").query("role == 'val'")
    expected = metrics.fit_threshold(
        val["label"].to_numpy(),
        val["logit_difference"].to_numpy(),
        val["class_name"].to_numpy(),
        "bpcer",
        0.2,
    )
    assert record(measured)["results"]["threshold"] == pytest.approx(expected)


def test_test_scores_choose_nothing() -> None:
    scores = tiny_cells.rows().assign(role="val", logit_difference=np.arange(59) / 10)
    scores.loc[30:, "role"] = "test_closed"
    rule = {"rule": "eer", "value": 0.0}
    changed = scores.assign(logit_difference=scores["logit_difference"].where(scores["role"] == "val", -7.0))
    assert evaluation.fitted_threshold(changed, rule) == evaluation.fitted_threshold(scores, rule)


def test_metrics_name_scope_source_and_counts(measured: Path) -> None:
    found = table(measured, "metrics").fillna({"source": ""})
    assert list(found) == ["scope", "source", "metric", "value", "n_negative", "n_positive"]
    counts = found.drop_duplicates(["scope", "source"]).set_index(["scope", "source"])
    assert counts[["n_negative", "n_positive"]].T.to_dict("list") == {
        ("closed", ""): [5, 5],
        ("held_out", "lens"): [8, 5],  # against the negatives of site_b and live_b
        ("held_out", "site_b"): [4, 4],  # against its own
        ("macro", ""): [8, 9],
    }
    closed = set(found.query("scope == 'closed'")["metric"])
    assert closed >= {"auroc", "auroc_low", "auroc_high", "ap", "eer", "apcer_nodule", "apcer_opacity"}
    assert closed >= {"apcer_max", "apcer_mean", "apcer_pooled", "bpcer", "acer_max", "acer_mean"}
    assert closed >= {"bpcer10", "bpcer20", "bpcer100", "accuracy", "ece"}


def test_metrics_equal_scikit_learn_on_the_score_table(measured: Path) -> None:
    scores, found = table(measured, "scores"), table(measured, "metrics").fillna({"source": ""})
    values = found.set_index(["scope", "source", "metric"])["value"]
    unseen = scores.query("role == 'test_open'")
    groups = {
        ("closed", ""): scores.query("role == 'test_closed'"),
        ("held_out", "site_b"): unseen.query("source == 'site_b'"),
        ("held_out", "lens"): unseen.query("source == 'lens' or label == 0"),
    }
    for place, group in groups.items():
        assert values[(*place, "auroc")] == pytest.approx(
            roc_auc_score(group["label"], group["logit_difference"])
        )
    macro = (values["held_out", "site_b", "auroc"] + values["held_out", "lens", "auroc"]) / 2
    assert values["macro", "", "auroc"] == pytest.approx(macro)
    results = record(measured)["results"]
    assert results["closed_auroc"] == pytest.approx(values["closed", "", "auroc"])
    assert results["open_auroc"] == pytest.approx(macro)


def test_counterfactuals_and_strata_are_those_of_the_model(measured: Path) -> None:
    store = open_store(measured / PREPARED / NAME)
    model = load(measured / "runs" / NAME / CELL / "model.safetensors")
    samples = evaluation.scored(store, outputs(measured)[0])
    answers = counterfactuals.answers(partial(evaluation._score, model, 5), store, samples, 5)
    for name, expected in {
        "counterfactuals": counterfactuals.counterfactual_table(answers),
        "strata": strata.strata_table(samples),
    }.items():
        found = table(measured, name).fillna({"source": ""})
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, atol=1e-4)
    tested = table(measured, "counterfactuals")
    kinds = set(tested[["region", "fill"]].itertuples(index=False, name=None))
    assert kinds == {(region, fill) for region in ("human", "cause", "shortcut") for fill in ("blur", "swap")}


def test_macro_has_no_limits_and_no_single_types(measured: Path) -> None:
    macro = table(measured, "metrics").query("scope == 'macro'")
    assert not macro["metric"].isin(["auroc_low", "auroc_high"]).any()


def samples(*rows: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["role", "source", "label"]).assign(sample_id=range(len(rows)))


@pytest.mark.parametrize(
    ("unseen", "expected"),
    [
        ([("x", 1), ("x", 0), ("y", 0)], {"x": [0, 1]}),
        ([("x", 1), ("y", 0), ("z", 0)], {"x": [0, 0, 1]}),
        ([("x", 1), ("z", 1)], {"x": [0, 0, 1], "z": [0, 0, 1]}),  # against the two known negatives
        ([("y", 0)], {}),
    ],
)
def test_what_unseen_positives_are_told_from(unseen: list, expected: dict) -> None:
    known = [("test_closed", "k", 0), ("test_closed", "k", 0), ("test_closed", "k", 1), ("val", "k", 0)]
    groups = scopes.held_out_groups(samples(*known, *[("test_open", *row) for row in unseen]))
    assert {source: sorted(group["label"]) for source, group in groups.items()} == expected


def test_alignment_equals_the_maps_of_the_model(measured: Path) -> None:
    found = table(measured, "alignment").set_index(["role", "map", "reference", "metric"])
    store, scores = open_store(measured / PREPARED / NAME), table(measured, "scores")
    place = np.flatnonzero((scores["role"] == "test_open") & (scores["label"] == 1))
    rows = measured_samples(store)["row"].to_numpy()[place]
    maps = cam.difference_salience(outputs(measured)[1][place], torch.ones(len(place)))
    expected = alignment.align(maps.numpy(), store.truth("causal")[rows])
    for metric in alignment.METRICS:
        line = found.loc[("test_open", "difference_salience", "truth", metric)]
        assert line["value"] == pytest.approx(np.nanmean(expected[metric]), abs=1e-3)
        assert (line["n"], line["undefined"]) == (9, np.isnan(expected[metric]).sum())


def test_alignment_covers_what_has_a_reference(measured: Path) -> None:
    found = table(measured, "alignment").drop_duplicates(["role", "map", "reference"])
    counts = found.groupby(["role", "reference"])["n"].agg(list).to_dict()
    assert counts == {
        ("test_closed", "human"): [10] * 3,
        ("test_closed", "truth"): [5] * 3,
        ("test_open", "truth"): [9] * 3,  # unseen sources carry no human maps here
    }


def test_areas_are_those_of_the_curves(measured: Path) -> None:
    curves, areas = table(measured, "curves"), table(measured, "faithfulness")
    assert len(areas) == 2 * 3 * 2
    assert set(areas["n"]) == {4}
    keys = ["role", "order", "curve"]
    expected = [np.trapezoid(part["score"], part["share"]) for _, part in curves.groupby(keys)]
    np.testing.assert_allclose(areas.sort_values(keys)["area"], expected, rtol=1e-6)


def test_all_orders_start_and_end_alike(measured: Path) -> None:
    curves = table(measured, "curves")
    ends = curves[curves["share"].isin([0, 1])].groupby(["role", "curve", "share"])["score"]
    assert (ends.nunique() == 1).all()


def test_galleries_show_the_same_samples_for_every_cell(measured: Path) -> None:
    galleries = [np.load(measured / "evaluate" / NAME / cell / "gallery.npz") for cell in (CELL, OTHER)]
    first, second = galleries
    np.testing.assert_array_equal(first["index"], second["index"])
    assert first["index"].shape == (6,)
    assert (first["cams"] != second["cams"]).any()
    store = open_store(measured / PREPARED / NAME)
    assert set(store.labels[first["index"]]) == {0, 1}
    roles = ["test_closed"] * 3 + ["test_open"] * 3
    assert all(row in store.rows(role) for row, role in zip(first["index"], roles, strict=True))
    scores, (margins, cams) = table(measured, "scores"), outputs(measured)
    listed = dict(zip(store.manifest["sample_id"].iloc[first["index"]], range(6), strict=True))
    place = [scores.index[scores["sample_id"] == name][0] for name in listed]
    np.testing.assert_allclose(first["cams"], cams.numpy()[place], atol=1e-4)
    np.testing.assert_allclose(first["logit_difference"], margins[place], atol=1e-4)


def test_shown_samples_do_not_depend_on_scores() -> None:
    table_ = tiny_cells.rows().assign(logit_difference=0.0)
    assert list(by_hash(table_, 9)) == list(by_hash(table_.assign(logit_difference=np.arange(59.0)), 9))
    assert table_["label"].iloc[by_hash(table_, 4)].tolist() == [1, 0, 1, 0]
    assert len(by_hash(table_, 1000)) == 59


def test_a_second_run_does_nothing(tiny_project: Path) -> None:
    params = tiny_cells.settings()
    evaluate(params, NAME)
    files = [path for path in Path("evaluate").rglob("*") if path.is_file()]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    evaluate(params, NAME)
    assert all((path.stat().st_mtime_ns, path.read_bytes()) == before[path] for path in files)


def test_two_runs_give_equal_tables(measured: Path, tiny_project: Path) -> None:
    evaluate(tiny_cells.settings(), NAME)
    for name in record(measured)["files"]:
        one, two = (root / "evaluate" / NAME / CELL / name for root in (measured, tiny_project))
        assert one.read_bytes() == two.read_bytes()


def test_a_retrained_model_is_measured_again(tiny_project: Path) -> None:
    params = tiny_cells.settings()
    evaluate(params, NAME)
    key = record(tiny_project)["key"]
    other = Path("runs") / NAME / OTHER
    shutil.copytree(Path("runs") / NAME / OTHER, Path("runs") / NAME / CELL, dirs_exist_ok=True)
    evaluate(params, NAME)
    assert record(tiny_project)["key"] != key
    assert record(tiny_project)["settings"]["train"] == json.loads((other / "record.json").read_text())["key"]


def test_untrained_cells_are_listed(tiny_project: Path) -> None:
    (Path("runs") / NAME / CELL / "record.json").unlink()
    with pytest.raises(UserError) as caught:
        evaluate(tiny_cells.settings(), NAME)
    assert str(caught.value) == (
        "1 of 2 cells of tiny have no training record in runs/tiny: cross_entropy/compact/0; "
        "run `python -m pipeline.train tiny` first"
    )
    assert not Path("evaluate").exists()


def test_a_data_set_without_test_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to report is reported as nothing: headers without rows, headlines without a value."""
    monkeypatch.chdir(tmp_path)
    params = tiny_store.params(
        train={"epochs": 1}, methods={"cross_entropy": {"loss": {"name": "cross_entropy"}}}
    )
    tiny_store.write(tmp_path / PREPARED / NAME)
    train(params, NAME)
    evaluate(params, NAME)
    identify(params, NAME)
    for name in ("alignment", "faithfulness", "curves", "strata", "shown_scores"):
        assert table(tmp_path, name).empty
    assert set(table(tmp_path, "scores")["role"]) == {"val"}
    results = record(tmp_path)["results"]
    assert results["closed_auroc"] is None
    assert results["open_auroc"] is None
    assert results["conflict_auroc"] is results["without_cause"] is results["evidence_gap"] is None
