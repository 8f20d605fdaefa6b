"""The identify stage on cells that the train stage made, checked against the model and its own tables."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_cells
import torch
from tiny_store import NAME

from pipeline import identify as stage
from pipeline.common.errors import UserError
from pipeline.data.store import Store, open_store
from pipeline.explain import regions as features
from pipeline.grid import trained
from pipeline.model import CamClassifier, load

CELL = Path("compact/cross_entropy/0")
SHARE = 0.2  # params.yaml's


@pytest.fixture(scope="module")
def identified(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project, examined; tests only read it."""
    root = tmp_path_factory.mktemp("identified")
    shutil.copytree(trained_project, root, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        stage.identify(tiny_cells.settings(), NAME)
    return root


def table(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(root / "identify" / NAME / CELL / f"{name}.csv", keep_default_na=False, na_values=[""])


def opened(root: Path) -> tuple[CamClassifier, Store]:
    model = load(root / "runs" / NAME / CELL / "model.safetensors")
    return model, open_store(root / trained.PREPARED / NAME)


def margin_of(model: CamClassifier, image: np.ndarray) -> float:
    """z1 - z0 of one uint8 or already scaled image."""
    scaled = image / 255 if image.dtype == np.uint8 else image
    with torch.no_grad():
        logits = model(torch.from_numpy(scaled[None]).float()).logits[0]
    return float(logits[1] - logits[0])


def test_regions_are_shares_of_their_images_margin(identified: Path) -> None:
    regions, (model, store) = table(identified, "regions"), opened(identified)
    columns = ["sample_id", "role", "source", "label", "predicted", "region", "x", "y", "width", "height"]
    assert list(regions) == [*columns, "area", "sign", "importance", "share", "feature"]
    place = {name: row for row, name in enumerate(store.manifest["sample_id"])}
    for line in regions.drop_duplicates("sample_id").itertuples():
        margin = margin_of(model, store.images[place[line.sample_id]])
        assert line.predicted == (margin > 0)
        assert line.share == pytest.approx(line.importance / abs(margin), rel=1e-3)
    assert regions["sample_id"].nunique() == 39
    assert (np.sign(regions["importance"]) == regions["sign"]).all()
    assert (regions[["x", "y"]].to_numpy() + regions[["width", "height"]].to_numpy() <= 1 + 1e-9).all()


def test_only_regions_for_the_class_belong_to_features(identified: Path) -> None:
    regions = table(identified, "regions")
    learned = regions[regions["role"] == "val"]["predicted"].unique()
    has_feature = (regions["sign"] > 0) & regions["predicted"].isin(learned)
    assert (regions["feature"].notna() == has_feature).all()


def test_regions_do_not_depend_on_the_batch(identified: Path) -> None:
    model, store = opened(identified)
    one, many = (stage.look_at_all(model, store, SHARE, size) for size in (1, 50))
    pd.testing.assert_frame_equal(one.samples, many.samples, rtol=1e-3, atol=1e-4)
    assert one.labels.max() == len(one.regions)
    assert (one.labels > 0).mean() == pytest.approx((many.labels > 0).mean(), abs=1e-3)
    numbered = [set(np.unique(one.labels[image])) - {0} for image in range(len(one.samples))]
    rows = one.regions.groupby("image").apply(lambda part: set(part.index + 1), include_groups=False)
    assert all(rows[image] == numbers for image, numbers in enumerate(numbered) if numbers)


def test_features_summarise_the_regions_of_test_samples(identified: Path) -> None:
    regions, found = table(identified, "regions"), table(identified, "features")
    columns = ["predicted", "feature", "n_regions", "prevalence", "importance", "share", "margin_drop"]
    assert list(found) == [*columns, "x", "y", "area"]
    assert len(found) > 0
    tested = regions[regions["role"] != "val"]
    for line in found.itertuples():
        own = tested[(tested["predicted"] == line.predicted) & (tested["feature"] == line.feature)]
        assert line.n_regions == len(own)
        assert line.importance == pytest.approx(own["importance"].mean())
        assert line.x == pytest.approx((own["x"] + own["width"] / 2).mean())
        total = tested[tested["predicted"] == line.predicted]["sample_id"].nunique()
        assert line.prevalence == pytest.approx(own["sample_id"].nunique() / total)


def test_prevalence_is_counted_per_source(identified: Path) -> None:
    regions, found = table(identified, "regions"), table(identified, "prevalence")
    tested = regions[regions["role"] != "val"]
    assert list(found) == ["predicted", "feature", "source", "prevalence", "n"]
    for line in found.itertuples():
        pool = tested[(tested["predicted"] == line.predicted) & (tested["source"] == line.source)]
        assert line.n == pool["sample_id"].nunique()
        assert line.prevalence * line.n == pytest.approx(
            pool[pool["feature"] == line.feature]["sample_id"].nunique()
        )
    features_ = table(identified, "features").set_index(["predicted", "feature"])["prevalence"]
    for place, part in found.groupby(["predicted", "feature"]):
        assert (part["prevalence"] * part["n"]).sum() / part["n"].sum() == pytest.approx(features_[place])


def test_margin_drops_equal_masking_by_hand(identified: Path) -> None:
    model, store = opened(identified)
    survey = stage.look_at_all(model, store, SHARE, 7)
    regions = stage.with_features(survey, 6)
    drops = stage.margin_drops(model, store, survey, regions, 5)
    assert len(drops) > 0
    for line in drops.iloc[::7].itertuples():
        sample = survey.samples.loc[line.image]
        image = store.images[sample["row"]] / 255
        rows = regions.index[(regions["image"] == line.image) & (regions["feature"] == line.feature)] + 1
        mask = np.isin(survey.labels[line.image], rows)
        finer = image.shape[1] // mask.shape[0]
        masked = np.where(
            mask.repeat(finer, 0).repeat(finer, 1), image.mean(axis=(1, 2), keepdims=True), image
        )
        sign = 1 if sample["predicted"] else -1
        expected = sign * (margin_of(model, store.images[sample["row"]]) - margin_of(model, masked))
        assert line.drop == pytest.approx(expected, abs=1e-4)


def test_test_samples_do_not_shape_features(identified: Path) -> None:
    """Whatever test regions look like, validation regions keep their features."""
    survey = stage.look_at_all(*opened(identified), SHARE, 7)
    is_test = (survey.samples["role"] != "val").loc[survey.regions["image"]].to_numpy()
    changed = survey.patterns.copy()
    changed[is_test] = np.random.default_rng(0).normal(size=changed[is_test].shape)
    weights = survey.regions.assign(importance=survey.regions["importance"].where(~is_test, 9.0))
    before = stage.with_features(survey, 6)
    after = stage.with_features(survey._replace(patterns=changed, regions=weights), 6)
    pd.testing.assert_frame_equal(
        before.loc[~is_test, ["feature", "distance"]], after.loc[~is_test, ["feature", "distance"]]
    )


def test_a_class_without_validation_regions_has_no_features(identified: Path) -> None:
    survey = stage.look_at_all(*opened(identified), SHARE, 7)
    samples = survey.samples.assign(predicted=(survey.samples["role"] != "val").astype(int))
    regions = stage.with_features(survey._replace(samples=samples), 6)
    predicted = samples["predicted"].loc[regions["image"]].to_numpy()
    assert (regions["feature"][predicted == 1] == 0).all()
    assert (regions["feature"][(predicted == 0) & (regions["sign"] > 0)] > 0).all()


def test_exemplars_are_few_and_of_different_samples(identified: Path) -> None:
    found = table(identified, "exemplars")
    assert list(found) == ["predicted", "feature", "rank", "sample_id", "x", "y", "width", "height"]
    for _, part in found.groupby(["predicted", "feature"]):
        assert part["rank"].tolist() == list(range(1, len(part) + 1))
        assert len(part) <= 4
        assert part["sample_id"].is_unique
    keys = ["sample_id", "predicted", "feature", "x", "y", "width", "height"]
    assert len(found.merge(table(identified, "regions"), on=keys)) == len(found)


def test_channels_sum_to_the_mean_margin(identified: Path) -> None:
    found, (model, store) = table(identified, "channels"), opened(identified)
    samples = trained.samples(store).query("role != 'val'")
    margins = np.array([margin_of(model, store.images[row]) for row in samples["row"]])
    bias = float((model.head.bias[1] - model.head.bias[0]).detach())
    for predicted, part in found.groupby("predicted"):
        own = margins[(margins > 0) == predicted] - bias
        assert part["importance"].sum() == pytest.approx((2 * predicted - 1) * own.mean(), abs=1e-4)
        assert (np.diff(part["importance"].abs()) <= 0).all()
        assert part["rank"].tolist() == list(range(1, len(part) + 1))
        assert sorted(part["channel"]) == list(range(len(part)))


def test_summary_of_a_phantom(identified: Path) -> None:
    found = table(identified, "summary").fillna({"reference": ""})
    assert list(found) == ["role", "metric", "reference", "value", "n"]
    wanted = {("shared_salience", ""), ("completeness_error", "")}
    wanted |= {(name, kind) for name in features.Overlap._fields for kind in ("causal", "shortcut")}
    for role, part in found.groupby("role"):
        assert set(zip(part["metric"], part["reference"], strict=True)) == wanted, role
    values = found.set_index(["role", "metric", "reference"])
    assert (values.xs("completeness_error", level="metric")["value"] < 1e-4).all()
    assert values.loc[("test_open", "iou", "causal"), "n"] == 9  # samples with a finding
    assert values.loc[("test_closed", "iou", "shortcut"), "n"] == 5
    assert values["value"].drop("completeness_error", level="metric").between(0, 1).all()
    results = json.loads((identified / "identify" / NAME / CELL / "record.json").read_text())["results"]
    assert results["causal_iou"] == pytest.approx(values.loc[("test_open", "iou", "causal"), "value"])
    assert results["features"] == len(table(identified, "features"))


def test_real_data_has_no_truth_to_agree_with(identified: Path) -> None:
    model, store = opened(identified)
    store.info["phantom"] = False
    found = stage.summary_table(stage.look_at_all(model, store, SHARE, 50).samples)
    assert set(found["metric"]) == {"shared_salience", "completeness_error"}


def test_two_runs_give_equal_tables_and_a_third_does_nothing(identified: Path, tiny_project: Path) -> None:
    params, folder = tiny_cells.settings(), Path("identify") / NAME / CELL
    stage.identify(params, NAME)
    for path in folder.glob("*.csv"):
        assert path.read_bytes() == (identified / path).read_bytes()
    stamp = (folder / "record.json").stat().st_mtime_ns
    stage.identify(params, NAME)
    assert (folder / "record.json").stat().st_mtime_ns == stamp


def test_untrained_cells_are_an_error(tiny_project: Path) -> None:
    shutil.rmtree("runs")
    with pytest.raises(UserError, match="2 of 2 cells of tiny have no training record"):
        stage.identify(tiny_cells.settings(), NAME)
