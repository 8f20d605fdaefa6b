"""Measurements of a model that nobody trained: both classes are predicted, often wrongly, and no score is 1.

On a perfect model, true and predicted class, known and unseen sources, both signs of a map look alike, and a
mistake about any of them would go unseen.
"""

import numpy as np
import pandas as pd
import pytest
import tiny_cells
import torch
from sklearn.metrics import roc_auc_score

from pipeline.data.store import Store, open_store
from pipeline.explain import alignment, faithfulness
from pipeline.measure import Measurement, evaluation, identification
from pipeline.measure.roles import ROLES, TEST, by_hash, measured
from pipeline.measure.survey import look_at_all
from pipeline.model import CamClassifier, build

EVALUATE = {
    "batch_size": 7,
    "curve_steps": 4,
    "curve_samples": 8,
    "gallery": 3,
    "threshold": {"rule": "bpcer", "value": 0.2},
    "novel": [],
}
IDENTIFY = {"batch_size": 7, "important_share": 0.2, "max_concepts": 3, "exemplars": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tiny_cells.write(tmp_path_factory.mktemp("data") / "tiny"))


@pytest.fixture(scope="module")
def model(store: Store) -> CamClassifier:
    """Random weights; the bias makes it call half of the images abnormal."""
    torch.manual_seed(7)
    network = build("compact", in_channels=1).eval()
    with torch.no_grad():
        network.head.weight.mul_(20)  # as far apart as those of a trained model
        logits = network(torch.tensor(np.array(store.images)) / 255).logits
        network.head.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return network


@pytest.fixture(scope="module")
def outputs(model: CamClassifier, store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Logit differences (n,) and CAMs (n, 2, h, w) of the measured samples, in their order."""
    rows = measured(store)["row"].to_numpy()
    with torch.no_grad():
        seen = model(torch.from_numpy(store.images[rows]).float() / 255)
    return (seen.logits[:, 1] - seen.logits[:, 0]).double().numpy(), seen.cams.numpy()


@pytest.fixture(scope="module")
def evaluated(model: CamClassifier, store: Store) -> Measurement:
    return evaluation.measure(model, store, EVALUATE)


@pytest.fixture(scope="module")
def identified(model: CamClassifier, store: Store) -> Measurement:
    return identification.measure(model, store, IDENTIFY)


def test_the_model_is_undecided(store: Store, outputs: tuple[np.ndarray, np.ndarray]) -> None:
    """Else the tests below could not fail."""
    samples, called = measured(store), outputs[0] > 0
    for role in ROLES:
        mine = (samples["role"] == role).to_numpy()
        assert {*called[mine]} == {True, False}
        assert {*(called[mine] == (samples["label"][mine] == 1))} == {True, False}


def test_scores_and_macro_mean(evaluated: Measurement, outputs: tuple[np.ndarray, np.ndarray]) -> None:
    scores = evaluated.tables["scores"]
    np.testing.assert_allclose(scores["logit_difference"], outputs[0], atol=1e-5)
    unseen = scores[scores["role"] == "test_open"]
    groups = {
        "closed": scores[scores["role"] == "test_closed"],
        "site_b": unseen[unseen["source"] == "site_b"],
        "lens": unseen[(unseen["source"] == "lens") | (unseen["label"] == 0)],
    }
    expected = {name: roc_auc_score(part["label"], part["logit_difference"]) for name, part in groups.items()}
    assert len({*expected.values(), 1.0}) == 4  # all different, none perfect
    found = evaluated.tables["metrics"].query("metric == 'auroc'").set_index(["scope", "source"])["value"]
    assert found["closed", ""] == pytest.approx(expected["closed"])
    assert found["held_out", "site_b"] == pytest.approx(expected["site_b"])
    assert found["held_out", "lens"] == pytest.approx(expected["lens"])
    macro = (expected["site_b"] + expected["lens"]) / 2
    assert found["macro", ""] == pytest.approx(macro)
    assert evaluated.results["open_auroc"] == pytest.approx(macro)
    assert evaluated.results["closed_auroc"] == pytest.approx(expected["closed"])


def test_each_map_is_aligned_under_its_own_name(
    evaluated: Measurement, store: Store, outputs: tuple[np.ndarray, np.ndarray]
) -> None:
    samples, (_, cams) = measured(store), outputs
    found = evaluated.tables["alignment"].set_index(["role", "reference", "map", "metric"])["value"]
    label = samples["label"].to_numpy()
    own, other = (cams[np.arange(len(label)), which] for which in (label, 1 - label))
    maps = {"true_cam": own, "false_cam": other, "difference_salience": own - other}
    references = {"human": (store.maps, store.has_map), "truth": (store.truth("causal"), None)}
    for role in TEST:
        for name, (values, there) in references.items():
            there = np.asarray(values).any(axis=(1, 2)) if there is None else there
            rows = samples["row"].to_numpy()
            place = np.flatnonzero((samples["role"] == role).to_numpy() & there[rows])
            for kind, map_ in maps.items():
                if not len(place):
                    assert (role, name, kind, "cc") not in found.index
                    continue
                expected = alignment.align(map_[place], np.asarray(values)[rows[place]])
                for metric in ("cc", "auc_judd", "energy_pointing"):
                    want = np.nanmean(expected[metric])
                    assert found[role, name, kind, metric] == pytest.approx(want, abs=1e-6)


def test_curves_explain_the_predicted_class(
    evaluated: Measurement, model: CamClassifier, store: Store, outputs: tuple[np.ndarray, np.ndarray]
) -> None:
    """Against curves made by hand: order and score are those of the predicted class."""
    samples, (differences, cams) = measured(store), outputs
    found = evaluated.tables["curves"]
    for role in TEST:
        place = by_hash(samples[samples["role"] == role], EVALUATE["curve_samples"])
        predicted = (differences[place] > 0).astype(int)
        assert {*predicted} == {0, 1} and (predicted != samples["label"][place]).any()
        own, other = (cams[place][range(len(place)), which] for which in (predicted, 1 - predicted))
        for order, maps in (("difference_salience", own - other), ("true_cam", own)):
            mine = (found["role"] == role) & (found["order"] == order) & (found["curve"] == "deletion")
            curve = found[mine]["score"].to_numpy()
            expected = deletion(model, store.images[samples["row"][place]], predicted, maps, len(curve))
            np.testing.assert_allclose(curve, expected, atol=2e-3)


def deletion(
    model: CamClassifier, images: np.ndarray, classes: np.ndarray, maps: np.ndarray, points: int
) -> np.ndarray:
    """Mean probability of the class while the most salient pixels become the image's mean."""
    scaled = images / 255.0
    fine = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[:, None], scaled.shape[-2:], mode="bilinear"
    )
    ranks = faithfulness.pixel_ranks(torch.from_numpy(maps), len(maps), scaled.shape[-2:]).numpy()
    best = fine.flatten(1).argmax(1).numpy()
    assert (ranks.reshape(len(ranks), -1)[np.arange(len(best)), best] < 20).all()  # the most salient go first
    curve = []
    for share in np.linspace(0, 1, points):
        gone = (ranks < share * ranks[0].size)[:, None]
        changed = np.where(gone, scaled.mean(axis=(2, 3), keepdims=True), scaled)
        with torch.no_grad():
            chances = model(torch.from_numpy(changed).float()).logits.softmax(1).numpy()
        curve.append(chances[np.arange(len(classes)), classes].mean())
    return np.array(curve)


def test_the_threshold_is_that_of_validation_and_errors_are_counted_at_it(evaluated: Measurement) -> None:
    scores, threshold = evaluated.tables["scores"], evaluated.results["threshold"]
    val = scores[scores["role"] == "val"]
    negatives = val[val["label"] == 0]["logit_difference"]
    assert (negatives >= threshold).mean() <= 0.2
    lower = val["logit_difference"][val["logit_difference"] < threshold].max()
    assert (negatives >= lower).mean() > 0.2  # the next lower score would refuse too many
    closed = scores[scores["role"] == "test_closed"]
    found = evaluated.tables["metrics"].query("scope == 'closed'").set_index("metric")["value"]
    normal, abnormal = (closed[closed["label"] == label]["logit_difference"] for label in (0, 1))
    assert found["bpcer"] == pytest.approx((normal >= threshold).mean())
    assert found["apcer_pooled"] == pytest.approx((abnormal < threshold).mean())


def test_margins_are_those_of_the_predicted_class(
    identified: Measurement, outputs: tuple[np.ndarray, np.ndarray], store: Store
) -> None:
    """For images that are called normal, evidence for the class is evidence against label 1."""
    samples, (differences, cams) = measured(store), outputs
    by_id = dict(zip(samples["sample_id"], range(len(samples)), strict=True))
    regions = identified.tables["regions"]
    assert set(regions["predicted"]) == {0, 1} and set(regions["sign"]) == {-1, 1}
    for line in regions.itertuples():
        place = by_id[line.sample_id]
        assert line.predicted == int(differences[place] > 0)
        salience = cams[place, line.predicted] - cams[place, 1 - line.predicted]
        centre = salience[
            int((line.y + line.height / 2) * salience.shape[0]) % salience.shape[0],
            int((line.x + line.width / 2) * salience.shape[1]) % salience.shape[1],
        ]
        assert line.share == pytest.approx(line.importance / abs(differences[place]), rel=1e-3)
        assert np.sign(line.importance) == line.sign
        if line.width * salience.shape[1] <= 1.01 and line.height * salience.shape[0] <= 1.01:
            assert np.sign(centre) == line.sign


def test_channels_add_up_to_the_margin_of_either_class(
    identified: Measurement, outputs: tuple[np.ndarray, np.ndarray], store: Store, model: CamClassifier
) -> None:
    samples, (differences, _) = measured(store), outputs
    tested = samples["role"].isin(TEST).to_numpy()
    bias = float((model.head.bias[1] - model.head.bias[0]).detach())
    channels = identified.tables["channels"]
    assert set(channels["predicted"]) == {0, 1}
    for predicted, part in channels.groupby("predicted"):
        own = differences[tested & ((differences > 0) == (predicted == 1))]
        sign = 1 if predicted else -1
        assert part["importance"].sum() == pytest.approx(sign * (own - bias).mean(), abs=1e-4)


def test_a_concept_is_worth_what_the_margin_loses_without_it(
    identified: Measurement, model: CamClassifier, store: Store
) -> None:
    survey = look_at_all(model, store, IDENTIFY["important_share"], 7)
    regions = identification.with_concepts(survey, IDENTIFY["max_concepts"])
    drops = identification.margin_drops(model, store, survey, regions, 7)
    called = survey.samples.loc[drops["image"], "predicted"]
    assert set(called) == {0, 1}
    for line in drops.itertuples():
        sample = survey.samples.loc[line.image]
        image = store.images[sample["row"]] / 255.0
        rows = regions.index[(regions["image"] == line.image) & (regions["concept"] == line.concept)] + 1
        mask = np.isin(survey.labels[line.image], rows)
        finer = image.shape[1] // mask.shape[0]
        covered = mask.repeat(finer, 0).repeat(finer, 1)
        masked = np.where(covered, image.mean(axis=(1, 2), keepdims=True), image)
        with torch.no_grad():
            logits = model(torch.from_numpy(np.stack([image, masked])).float()).logits.numpy()
        own = sample["predicted"]
        margins = logits[:, own] - logits[:, 1 - own]
        assert line.drop == pytest.approx(margins[0] - margins[1], abs=1e-3)
    concepts = identified.tables["concepts"]
    expected = drops.assign(predicted=called.to_numpy()).groupby(["predicted", "concept"])["drop"].mean()
    found = concepts.set_index(["predicted", "concept"])["margin_drop"]
    pd.testing.assert_series_equal(
        found.sort_index(), expected.sort_index(), check_names=False, check_dtype=False
    )


def test_completeness_holds_for_both_classes(identified: Measurement) -> None:
    summary = identified.tables["summary"].set_index(["role", "metric", "reference"])["value"]
    assert (summary.xs("completeness_error", level="metric") < 1e-3).all()


def test_as_many_exemplars_as_asked_for_where_there_are_enough(identified: Measurement) -> None:
    regions, found = identified.tables["regions"], identified.tables["exemplars"]
    members = regions.dropna(subset="concept").groupby(["predicted", "concept"])["sample_id"].nunique()
    counted = found.groupby(["predicted", "concept"]).size()
    assert (members > IDENTIFY["exemplars"]).any()
    for place, count in counted.items():
        assert count == min(members[place], IDENTIFY["exemplars"])


def test_a_quantity_that_no_sample_has_is_no_row(model: CamClassifier, store: Store) -> None:
    samples = look_at_all(model, store, 0.2, 7).samples
    without = samples.assign(causal_iou=np.nan)
    found = identification.summary_table(without)
    assert not ((found["metric"] == "iou") & (found["reference"] == "causal")).any()
    assert ((found["metric"] == "iou") & (found["reference"] == "shortcut")).any()


def test_a_metric_that_one_unseen_source_lacks_has_no_macro_mean(store: Store) -> None:
    samples = measured(store)
    unseen = [
        pd.DataFrame({"metric": ["auroc", "ap", "auroc_low", "auroc_high"], "value": [0.5, ap, 0.4, 0.6]})
        for ap in (0.7, np.nan)
    ]
    values = evaluation.mean_errors(unseen, samples, "macro").set_index("metric")["value"]
    assert values["auroc"] == 0.5 and np.isnan(values["ap"])


def test_summaries_by_hand() -> None:
    """Means of ratios, but the worst error of completeness; one sample is enough for a row."""
    samples = pd.DataFrame(
        {
            "role": ["test_closed", "test_closed", "test_open"],
            "shared_salience": [0.2, 0.4, 0.9],
            "completeness_error": [0.1, 0.5, 0.3],
            "causal_iou": [0.5, np.nan, 0.25],
        }
    )
    found = identification.summary_table(samples).set_index(["role", "metric"])[["value", "n"]]
    assert found.loc[("test_closed", "shared_salience")].tolist() == [pytest.approx(0.3), 2]
    assert found.loc[("test_closed", "completeness_error")].tolist() == [0.5, 2]
    assert found.loc[("test_closed", "iou")].tolist() == [0.5, 1]
    assert found.loc[("test_open", "iou")].tolist() == [0.25, 1]
    assert len(found) == 6
