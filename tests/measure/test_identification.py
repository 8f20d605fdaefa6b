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

from pipeline.common.errors import UserError
from pipeline.common.paths import PREPARED
from pipeline.data.store import Store, open_store
from pipeline.explain import regions as posthoc
from pipeline.identify import identify
from pipeline.measure import identification
from pipeline.measure.roles import measured
from pipeline.measure.survey import look_at_all
from pipeline.model import CamClassifier, load

CELL = Path("compact/cross_entropy/0")
SHARE = 0.2  # params.yaml's


@pytest.fixture(scope="module")
def identified(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project, examined; tests only read it."""
    root = tmp_path_factory.mktemp("identified")
    return tiny_cells.copied(trained_project, root, lambda: identify(tiny_cells.settings(), NAME))


def table(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(root / "identify" / NAME / CELL / f"{name}.csv", keep_default_na=False, na_values=[""])


def opened(root: Path) -> tuple[CamClassifier, Store]:
    model = load(root / "runs" / NAME / CELL / "model.safetensors")
    return model, open_store(root / PREPARED / NAME)


def margin_of(model: CamClassifier, image: np.ndarray) -> float:
    """z1 - z0 of one uint8 or already scaled image."""
    scaled = image / 255 if image.dtype == np.uint8 else image
    with torch.no_grad():
        logits = model(torch.from_numpy(scaled[None]).float()).logits[0]
    return float(logits[1] - logits[0])


def test_regions_are_shares_of_their_images_margin(identified: Path) -> None:
    regions, (model, store) = table(identified, "regions"), opened(identified)
    columns = ["sample_id", "role", "source", "label", "predicted", "region", "x", "y", "width", "height"]
    assert list(regions) == [*columns, "area", "sign", "importance", "share", "concept"]
    place = {name: row for row, name in enumerate(store.manifest["sample_id"])}
    for line in regions.drop_duplicates("sample_id").itertuples():
        margin = margin_of(model, store.images[place[line.sample_id]])
        assert line.predicted == (margin > 0)
        assert line.share == pytest.approx(line.importance / abs(margin), rel=1e-3)
    assert regions["sample_id"].nunique() == 39
    assert (np.sign(regions["importance"]) == regions["sign"]).all()
    assert (regions[["x", "y"]].to_numpy() + regions[["width", "height"]].to_numpy() <= 1 + 1e-9).all()


def test_only_regions_for_the_class_belong_to_concepts(identified: Path) -> None:
    regions = table(identified, "regions")
    learned = regions[regions["role"] == "val"]["predicted"].unique()
    has_concept = (regions["sign"] > 0) & regions["predicted"].isin(learned)
    assert (regions["concept"].notna() == has_concept).all()


def test_regions_do_not_depend_on_the_batch(identified: Path) -> None:
    model, store = opened(identified)
    one, many = (look_at_all(model, store, SHARE, size) for size in (1, 50))
    pixels = one.samples.columns[one.samples.columns.str.match("causal_|shortcut_")]
    exact = [table.samples.drop(columns=pixels) for table in (one, many)]
    pd.testing.assert_frame_equal(*exact, rtol=1e-3, atol=1e-4)
    # A pixel at the threshold may fall to either side where another batch means another kernel.
    pd.testing.assert_frame_equal(one.samples[pixels], many.samples[pixels], rtol=0, atol=0.03)
    assert one.labels.max() == len(one.regions)
    assert (one.labels > 0).mean() == pytest.approx((many.labels > 0).mean(), abs=1e-3)
    numbered = [set(np.unique(one.labels[image])) - {0} for image in range(len(one.samples))]
    rows = one.regions.groupby("image").apply(lambda part: set(part.index + 1), include_groups=False)
    assert all(rows[image] == numbers for image, numbers in enumerate(numbered) if numbers)


def test_conceptssummarise_the_regions_of_test_samples(identified: Path) -> None:
    regions, found = table(identified, "regions"), table(identified, "concepts")
    columns = ["predicted", "concept", "n_regions", "prevalence", "importance", "share", "margin_drop"]
    assert list(found) == [*columns, "x", "y", "area"]
    assert len(found) > 0
    tested = regions[regions["role"] != "val"]
    for line in found.itertuples():
        own = tested[(tested["predicted"] == line.predicted) & (tested["concept"] == line.concept)]
        assert line.n_regions == len(own)
        assert line.importance == pytest.approx(own["importance"].mean())
        assert line.x == pytest.approx((own["x"] + own["width"] / 2).mean())
        total = tested[tested["predicted"] == line.predicted]["sample_id"].nunique()
        assert line.prevalence == pytest.approx(own["sample_id"].nunique() / total)


def test_prevalence_is_counted_per_source(identified: Path) -> None:
    regions, found = table(identified, "regions"), table(identified, "prevalence")
    tested = regions[regions["role"] != "val"]
    assert list(found) == ["predicted", "concept", "source", "prevalence", "n"]
    for line in found.itertuples():
        pool = tested[(tested["predicted"] == line.predicted) & (tested["source"] == line.source)]
        assert line.n == pool["sample_id"].nunique()
        assert line.prevalence * line.n == pytest.approx(
            pool[pool["concept"] == line.concept]["sample_id"].nunique()
        )
    concepts = table(identified, "concepts").set_index(["predicted", "concept"])["prevalence"]
    for place, part in found.groupby(["predicted", "concept"]):
        assert (part["prevalence"] * part["n"]).sum() / part["n"].sum() == pytest.approx(concepts[place])


def test_margin_drops_equal_masking_by_hand(identified: Path) -> None:
    model, store = opened(identified)
    survey = look_at_all(model, store, SHARE, 7)
    regions = identification.with_concepts(survey, 6)
    drops = identification.margin_drops(model, store, survey, regions, 5)
    assert len(drops) > 0
    for line in drops.iloc[::7].itertuples():
        sample = survey.samples.loc[line.image]
        image = store.images[sample["row"]] / 255
        rows = regions.index[(regions["image"] == line.image) & (regions["concept"] == line.concept)] + 1
        mask = np.isin(survey.labels[line.image], rows)
        finer = image.shape[1] // mask.shape[0]
        masked = np.where(
            mask.repeat(finer, 0).repeat(finer, 1), image.mean(axis=(1, 2), keepdims=True), image
        )
        sign = 1 if sample["predicted"] else -1
        expected = sign * (margin_of(model, store.images[sample["row"]]) - margin_of(model, masked))
        assert line.drop == pytest.approx(expected, abs=1e-4)


def test_test_samples_do_not_shape_concepts(identified: Path) -> None:
    """Whatever test regions look like, validation regions keep their concepts."""
    survey = look_at_all(*opened(identified), SHARE, 7)
    is_test = (survey.samples["role"] != "val").loc[survey.regions["image"]].to_numpy()
    changed = survey.patterns.copy()
    changed[is_test] = np.random.default_rng(0).normal(size=changed[is_test].shape)
    weights = survey.regions.assign(importance=survey.regions["importance"].where(~is_test, 9.0))
    before = identification.with_concepts(survey, 6)
    after = identification.with_concepts(survey._replace(patterns=changed, regions=weights), 6)
    pd.testing.assert_frame_equal(
        before.loc[~is_test, ["concept", "distance"]], after.loc[~is_test, ["concept", "distance"]]
    )


def test_a_class_without_validation_regions_has_no_concepts(identified: Path) -> None:
    survey = look_at_all(*opened(identified), SHARE, 7)
    samples = survey.samples.assign(predicted=(survey.samples["role"] != "val").astype(int))
    regions = identification.with_concepts(survey._replace(samples=samples), 6)
    predicted = samples["predicted"].loc[regions["image"]].to_numpy()
    assert (regions["concept"][predicted == 1] == 0).all()
    assert (regions["concept"][(predicted == 0) & (regions["sign"] > 0)] > 0).all()


def test_exemplars_are_few_and_of_different_samples(identified: Path) -> None:
    found = table(identified, "exemplars")
    assert list(found) == ["predicted", "concept", "rank", "sample_id", "x", "y", "width", "height"]
    for _, part in found.groupby(["predicted", "concept"]):
        assert part["rank"].tolist() == list(range(1, len(part) + 1))
        assert len(part) <= 4
        assert part["sample_id"].is_unique
    keys = ["sample_id", "predicted", "concept", "x", "y", "width", "height"]
    assert len(found.merge(table(identified, "regions"), on=keys)) == len(found)


def test_channels_sum_to_the_mean_margin(identified: Path) -> None:
    found, (model, store) = table(identified, "channels"), opened(identified)
    samples = measured(store).query("role != 'val'")
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
    wanted |= {(name, kind) for name in posthoc.Overlap._fields for kind in ("causal", "shortcut")}
    for role, part in found.groupby("role"):
        assert set(zip(part["metric"], part["reference"], strict=True)) == wanted, role
    values = found.set_index(["role", "metric", "reference"])
    assert (values.xs("completeness_error", level="metric")["value"] < 1e-4).all()
    assert values.loc[("test_open", "iou", "causal"), "n"] == 9  # samples with a finding
    assert values.loc[("test_closed", "iou", "shortcut"), "n"] == 5
    assert values["value"].drop("completeness_error", level="metric").between(0, 1).all()
    results = json.loads((identified / "identify" / NAME / CELL / "record.json").read_text())["results"]
    assert results["causal_iou"] == pytest.approx(values.loc[("test_open", "iou", "causal"), "value"])
    assert results["concepts"] == len(table(identified, "concepts"))


def test_real_data_has_no_truth_to_agree_with(identified: Path) -> None:
    model, store = opened(identified)
    store.info["phantom"] = False
    found = identification.summary_table(look_at_all(model, store, SHARE, 50).samples)
    assert set(found["metric"]) == {"shared_salience", "completeness_error"}


def test_two_runs_give_equal_tables_and_a_third_does_nothing(identified: Path, tiny_project: Path) -> None:
    params, folder = tiny_cells.settings(), Path("identify") / NAME / CELL
    identify(params, NAME)
    for path in folder.glob("*.csv"):
        assert path.read_bytes() == (identified / path).read_bytes()
    stamp = (folder / "record.json").stat().st_mtime_ns
    identify(params, NAME)
    assert (folder / "record.json").stat().st_mtime_ns == stamp


def test_untrained_cells_are_an_error(tiny_project: Path) -> None:
    shutil.rmtree("runs")
    with pytest.raises(UserError, match="2 of 2 cells of tiny have no training record"):
        identify(tiny_cells.settings(), NAME)
