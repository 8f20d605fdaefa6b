"""What a trained cell decides by: important regions, recurring concepts, what they are worth.

The post-hoc tool of `pipeline.explain.regions`, on validation and test samples; it needs no human map. The
explained class is the predicted one. Concepts are found on validation; test regions join the nearest. Lengths
are shares of the image's side, areas of the image; importances are parts of the predicted class's margin.

    regions       every important region: box (x, y: left, top), sign, importance, share of the margin
    concepts      per predicted class, over test samples: how often, how heavy, where (x, y: mean centre), and
                  the mean drop of the margin when their regions are filled with the image's mean
    prevalence    share of each test source's samples that show the concept
    exemplars     the regions nearest to a concept's centre, one per sample
    channels      mean part of the margin of every channel of the activations, over test samples
    alarm         which concepts look like a shortcut, and why: `pipeline.measure.reliance`
    summary       shared-salience ratio, completeness, and agreement with phantoms' exact masks
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import interpolate

from pipeline.common.seeding import derive
from pipeline.data.store import TRUTHS, Store
from pipeline.explain import faithfulness
from pipeline.explain import regions as posthoc
from pipeline.measure import Measurement, reliance
from pipeline.measure.roles import TEST
from pipeline.measure.survey import Survey, look_at_all
from pipeline.model import CamClassifier, inference

CLASSES = (0, 1)
BOX = ["x", "y", "width", "height"]
ABOUT = ["sample_id", "role", "source", "label", "predicted"]


def measure(model: CamClassifier, store: Store, settings: Mapping[str, Any]) -> Measurement:
    """All tables of one cell; settings: `identify` of params.yaml, and `batch_size`."""
    batch_size = settings["batch_size"]
    survey = look_at_all(model, store, settings["important_share"], batch_size)
    regions = with_concepts(survey, settings["max_concepts"])
    drops = margin_drops(model, store, survey, regions, batch_size)
    tables = {
        "regions": region_table(survey.samples, regions),
        "concepts": concept_table(survey.samples, regions, drops),
        "prevalence": prevalence_table(survey.samples, regions),
        "exemplars": exemplar_table(survey.samples, regions, settings["exemplars"]),
        "channels": channel_table(survey),
        "summary": summary_table(survey.samples),
        "alarm": reliance.alarm_table(model, store, survey, regions, drops, batch_size),
    }
    return Measurement(tables, headlines(tables))


def with_concepts(survey: Survey, max_concepts: int) -> pd.DataFrame:
    """The regions with their concept (1.. per predicted class; 0 for none) and distance to it.

    Features are found among validation regions that speak for the predicted class, the heaviest first. A
    class that is predicted for no validation sample has none.
    """
    of_image = survey.samples.loc[survey.regions["image"]].reset_index(drop=True)
    regions = survey.regions.assign(concept=0, distance=np.nan)
    share = regions["importance"] / of_image["margin"]
    regions["share"] = share.where(of_image["margin"] > 0)
    for predicted in CLASSES:
        own = ((of_image["predicted"] == predicted) & (regions["sign"] > 0)).to_numpy()
        learned = own & (of_image["role"] == "val").to_numpy()
        if not learned.any():
            continue
        seed = derive(0, "features", predicted) % 2**32  # the numbers hang on the word
        centres = posthoc.concepts(survey.patterns[learned], max_concepts, seed)
        nearest, _ = posthoc.nearest_concept(survey.patterns[learned], centres)
        weight = np.bincount(nearest, regions.loc[learned, "importance"], minlength=len(centres))
        centres = centres[np.argsort(-weight, kind="stable")]
        nearest, distance = posthoc.nearest_concept(survey.patterns[own], centres)
        regions.loc[own, "concept"], regions.loc[own, "distance"] = nearest + 1, distance
    return regions


def margin_drops(
    model: CamClassifier, store: Store, survey: Survey, regions: pd.DataFrame, batch_size: int
) -> pd.DataFrame:
    """What the margin of each test sample loses when one concept's regions are filled with the image's mean.

    Columns image, concept, drop; one row and one forward per sample and concept that it shows.
    """
    shown = shown_in_test(survey.samples, regions)
    pairs = shown[["image", "concept"]].drop_duplicates().reset_index(drop=True)
    concept_of = np.concatenate([[0], regions["concept"].to_numpy()])
    drops = []
    for start in range(0, len(pairs), batch_size):
        image, concept = pairs.iloc[start : start + batch_size].to_numpy().T
        sample = survey.samples.iloc[image]
        images = inference.load_images(model, store.images, sample["row"].to_numpy())
        inside = torch.from_numpy(concept_of[survey.labels[image]] == concept[:, None, None])[:, None]
        covered = interpolate(inside.float().to(images.device), size=images.shape[-2:]) > 0.5
        masked = torch.where(covered, faithfulness.mean_fill(images), images)
        after = inference.logit_differences(model, masked, batch_size).double().cpu().numpy()
        drops.append(sample["margin"].to_numpy() - (2 * sample["predicted"].to_numpy() - 1) * after)
    return pairs.assign(drop=np.concatenate([np.empty(0), *drops]))


def shown_in_test(samples: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Regions of test samples that belong to a concept, with what is known about their samples."""
    known = samples[[*ABOUT, "margin"]].loc[regions["image"]].reset_index(drop=True)
    joined = pd.concat([regions, known], axis=1)
    return joined[(joined["concept"] > 0) & joined["role"].isin(TEST)]


def region_table(samples: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Every region with its sample; `concept` is blank for regions that belong to none."""
    about = samples[ABOUT].loc[regions["image"]].reset_index(drop=True)
    table = regions.assign(concept=regions["concept"].astype("Int64").mask(regions["concept"] == 0))
    kept = ["region", *BOX, "area", "sign", "importance", "share", "concept"]
    return pd.concat([about, table[kept]], axis=1)


def concept_table(samples: pd.DataFrame, regions: pd.DataFrame, drops: pd.DataFrame) -> pd.DataFrame:
    """One row per concept; `share` is its part of the summed margins of the samples that show it."""
    shown = shown_in_test(samples, regions).merge(drops, on=["image", "concept"], validate="many_to_one")
    shown[["x", "y"]] = posthoc.centres(shown)
    tested = np.bincount(samples[samples["role"].isin(TEST)]["predicted"], minlength=len(CLASSES))
    rows = []
    for (predicted, concept), group in shown.groupby(["predicted", "concept"]):
        once = group.drop_duplicates("image")
        rows.append(
            {
                "predicted": predicted,
                "concept": concept,
                "n_regions": len(group),
                "prevalence": len(once) / tested[once["predicted"].iloc[0]],
                "importance": group["importance"].mean(),
                "share": group["importance"].sum() / once["margin"].sum(),
                "margin_drop": once["drop"].mean(),
                **group[["x", "y", "area"]].mean(),
            }
        )
    columns = ["predicted", "concept", "n_regions", "prevalence", "importance", "share", "margin_drop"]
    return pd.DataFrame(rows, columns=[*columns, "x", "y", "area"])


def prevalence_table(samples: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Share of the n test samples of a source, predicted to be of the class, that show each of its
    concepts."""
    shown = shown_in_test(samples, regions).drop_duplicates(["image", "concept"])
    tested = samples[samples["role"].isin(TEST)].groupby(["predicted", "source"]).size().rename("n")
    pairs = shown[["predicted", "concept"]].drop_duplicates().merge(tested.reset_index(), on="predicted")
    counts = shown.groupby(["predicted", "concept", "source"]).size().rename("shown").reset_index()
    table = pairs.merge(counts, how="left", on=["predicted", "concept", "source"])
    table["prevalence"] = table["shown"].fillna(0) / table["n"]
    columns = ["predicted", "concept", "source", "prevalence", "n"]
    return table[columns].sort_values(columns[:3], ignore_index=True)


def exemplar_table(samples: pd.DataFrame, regions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Per concept, the regions nearest to its centre, at most one per sample."""
    known = samples[["sample_id", "predicted"]].loc[regions["image"]].reset_index(drop=True)
    joined = pd.concat([regions, known], axis=1)
    joined = joined[joined["concept"] > 0].sort_values(["predicted", "concept", "distance", "sample_id"])
    nearest = joined.drop_duplicates(["predicted", "concept", "sample_id"])
    rank = nearest.groupby(["predicted", "concept"]).cumcount() + 1
    columns = ["predicted", "concept", "rank", "sample_id", *BOX]
    return nearest.assign(rank=rank)[rank <= count][columns].reset_index(drop=True)


def channel_table(survey: Survey) -> pd.DataFrame:
    """Mean part of the margin per channel and predicted class, ranked by size."""
    tested = survey.samples["role"].isin(TEST)
    rows = []
    for predicted in CLASSES:
        chosen = (tested & (survey.samples["predicted"] == predicted)).to_numpy()
        if chosen.any():
            importance = survey.channels[chosen].mean(axis=0, dtype=np.float64)
            order = np.argsort(-np.abs(importance), kind="stable")
            rows += [(predicted, k, importance[k], rank) for rank, k in enumerate(order, start=1)]
    return pd.DataFrame(rows, columns=["predicted", "channel", "importance", "rank"])


def summary_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Per role: mean shared-salience ratio, largest completeness error, mean overlaps with exact masks."""
    rows = []
    for role, group in samples.groupby("role", sort=False):
        rows.append((role, "shared_salience", "", group["shared_salience"]))
        rows.append((role, "completeness_error", "", group["completeness_error"]))
        for kind, name in itertools.product(TRUTHS, posthoc.Overlap._fields):
            if f"{kind}_{name}" in samples:
                rows.append((role, name, kind, group[f"{kind}_{name}"]))
    table = pd.DataFrame(rows, columns=["role", "metric", "reference", "values"])
    joined = [
        values.max() if metric == "completeness_error" else values.mean()
        for metric, values in zip(table["metric"], table["values"], strict=True)
    ]
    counted = table.assign(value=joined, n=table["values"].map(pd.Series.count))
    return counted[counted["n"] > 0].drop(columns="values")


def headlines(tables: dict[str, pd.DataFrame]) -> dict[str, int | float]:
    """The record's results: how many concepts, how much of class 1 is called a shortcut, and on unseen
    sources the shared salience and the IoUs."""
    summary = tables["summary"]
    unseen = summary[summary["role"] == "test_open"].set_index(["metric", "reference"])["value"]
    wanted = {"shared_salience": ("shared_salience", "")}
    wanted |= {f"{kind}_iou": ("iou", kind) for kind in TRUTHS}
    found = {name: float(unseen.get(place, np.nan)) for name, place in wanted.items()}
    abnormal = tables["alarm"][tables["alarm"]["predicted"] == 1]
    called = abnormal["weight"][abnormal["verdict"] == "shortcut"].sum() if len(abnormal) else np.nan
    return {"concepts": len(tables["concepts"]), "shortcut_weight": float(called), **found}
