"""Identify what every trained cell decides by: important regions, recurring features, what they are worth.

The post-hoc tool of `pipeline.explain.features`, on validation and test samples; it needs no human map. The
explained class is the predicted one. Recurring features are found on validation; test regions join the
nearest. Lengths are shares of the image's side, areas of the image; importances are parts of the margin.
Per cell, in `identify/<dataset>/<backbone>/<method>/<seed>/`:

    regions.csv      every important region: box (x, y: left, top), sign, importance, share of the margin
    features.csv     per predicted class, over test samples: how often, how heavy, where (x, y: mean centre),
                     and the mean drop of the margin when its regions are filled with the image's mean
    prevalence.csv   share of each test source's samples that show the feature
    exemplars.csv    the regions nearest to a feature's centre, one per sample
    channels.csv     mean part of the margin of every feature channel, over test samples
    summary.csv      shared-salience ratio, completeness, and agreement with phantoms' exact masks
"""

import itertools
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import interpolate

from pipeline.common import config
from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Params
from pipeline.common.files import write_csv
from pipeline.common.seeding import derive
from pipeline.data.store import TRUTHS, Store, open_store
from pipeline.explain import faithfulness
from pipeline.model import inference as forward
from pipeline.explain import regions as features
from pipeline.grid import engine, records, trained
from pipeline.grid.cells import code_hash
from pipeline.grid.engine import Task
from pipeline.model import CamClassifier, Outputs, cam

CLASSES = (0, 1)
BOX = ["x", "y", "width", "height"]
ABOUT = ["sample_id", "role", "source", "label", "predicted"]


class Survey(NamedTuple):
    """All samples once through the model."""

    samples: pd.DataFrame  # a row per sample: margin of its predicted class, shared salience, overlaps
    regions: pd.DataFrame  # a row per region; `image` is the row in `samples`
    labels: np.ndarray  # (N, H, W) row in `regions` + 1, or 0
    patterns: np.ndarray  # (regions, K + 2)
    channels: np.ndarray  # (N, K) parts of the margin


def identify(params: Params, dataset: str) -> None:
    """Examine all cells of a data set that are not examined yet."""
    store, code = open_store(trained.PREPARED / dataset), code_hash(Path(__file__))
    tasks = trained.tasks(params, store, "identify", params.identify, code)
    work = partial(
        examine,
        settings=params.identify,
        batch_size=params.evaluate.batch_size,
        device=params.train.device,
        code=code,
        root=Path.cwd(),
    )
    engine.run("identify", tasks, work, params.engine)


def examine(
    task: Task, settings: config.Identify, batch_size: int, device: str, code: str, root: Path
) -> None:
    """Write one cell's tables, then its record; `root` is where the stage runs."""
    started = time.perf_counter()
    store = open_store(root / trained.PREPARED / task.cell.dataset)
    model = forward.open_model(task.cell.folder(root / trained.RUNS) / trained.MODEL, device)
    survey = look_at_all(model, store, settings.important_share, batch_size)
    regions = with_features(survey, settings.max_features)
    drops = margin_drops(model, store, survey, regions, batch_size)

    tables = {
        "regions": region_table(survey.samples, regions),
        "features": feature_table(survey.samples, regions, drops),
        "prevalence": prevalence_table(survey.samples, regions),
        "exemplars": exemplar_table(survey.samples, regions, settings.exemplars),
        "channels": channel_table(survey),
        "summary": summary_table(survey.samples),
    }
    for name, table in tables.items():
        write_csv(task.folder / f"{name}.csv", table)
    records.write(
        task.folder,
        stage="identify",
        cell=task.cell,
        key=task.key,
        settings=task.settings,
        data_hash=store.data_hash,
        code_hash=code,
        files=[f"{name}.csv" for name in tables],
        results=headlines(tables),
        timings={"total_s": time.perf_counter() - started},
    )


def look_at_all(model: CamClassifier, store: Store, share: float, batch_size: int) -> Survey:
    """Margins, regions, channels and agreement with truth of every validation and test sample."""
    samples = trained.samples(store)
    rows = samples["row"].to_numpy()
    truth = {kind: store.truth(kind) for kind in TRUTHS}
    start, count, parts = 0, 0, []
    for outputs in forward.look(model, store.images, rows, batch_size):
        stop = start + len(outputs.logits)
        masks = {kind: mask[rows[start:stop]] for kind, mask in truth.items() if mask is not None}
        part = look_at_batch(model, outputs, masks, share)
        labels = np.where(part.labels > 0, part.labels + count, 0)
        regions = part.regions.assign(image=part.regions["image"] + start)
        parts.append(part._replace(regions=regions, labels=labels))
        start, count = stop, count + len(regions)
    table = pd.concat([part.samples for part in parts], ignore_index=True)
    return Survey(
        samples=pd.concat([samples, table], axis=1),
        regions=pd.concat([part.regions for part in parts], ignore_index=True),
        labels=np.concatenate([part.labels for part in parts]),
        patterns=np.concatenate([part.patterns for part in parts]),
        channels=np.concatenate([part.channels for part in parts]),
    )


def look_at_batch(
    model: CamClassifier, outputs: Outputs, masks: dict[str, np.ndarray], share: float
) -> Survey:
    """The survey of one batch; masks (B, H, W) by kind of truth, none for real data."""
    maps, cams = outputs.features.float().cpu().numpy(), outputs.cams.cpu()
    weight, bias = (part.detach().cpu().numpy() for part in (model.head.weight, model.head.bias))
    signed = (outputs.logits[:, 1] - outputs.logits[:, 0]).double().cpu().numpy()
    predicted = (signed > 0).astype(np.int64)
    salience = cam.difference_salience(cams, torch.from_numpy(predicted)).numpy()
    sign = 2 * predicted - 1
    completed = salience.mean(axis=(1, 2), dtype=np.float64) + sign * float(bias[1] - bias[0])
    regions = features.find_regions(salience, share)
    samples = pd.DataFrame(
        {
            "predicted": predicted,
            "margin": sign * signed,
            "shared_salience": features.shared_salience(cams.numpy()),
            "completeness_error": np.abs(completed - sign * signed),
        }
    )
    found = for_the_class(regions)
    for kind, mask in masks.items():
        there = mask.any(axis=(1, 2))
        for name, values in features.overlap(found[there], salience[there], mask[there])._asdict().items():
            samples.loc[there, f"{kind}_{name}"] = values
    return Survey(
        samples,
        regions.table,
        regions.labels,
        features.patterns(regions, maps, weight, predicted),
        features.channel_importance(maps.mean(axis=(2, 3)), weight, predicted),
    )


def for_the_class(regions: features.Regions) -> np.ndarray:
    """Where regions speak for the predicted class, bool (N, H, W)."""
    sign = np.concatenate([[0], regions.table["sign"].to_numpy()])
    return sign[regions.labels] > 0


def with_features(survey: Survey, max_features: int) -> pd.DataFrame:
    """The regions with their recurring feature (1.. per predicted class; 0 for none) and distance to it.

    Features are found among validation regions that speak for the predicted class, the heaviest first. A
    class that is predicted for no validation sample has none.
    """
    of_image = survey.samples.loc[survey.regions["image"]].reset_index(drop=True)
    regions = survey.regions.assign(feature=0, distance=np.nan)
    share = regions["importance"] / of_image["margin"]
    regions["share"] = share.where(of_image["margin"] > 0)
    for predicted in CLASSES:
        own = ((of_image["predicted"] == predicted) & (regions["sign"] > 0)).to_numpy()
        learned = own & (of_image["role"] == "val").to_numpy()
        if not learned.any():
            continue
        seed = derive(0, "features", predicted) % 2**32
        centres = features.recurring(survey.patterns[learned], max_features, seed)
        nearest, _ = features.nearest_feature(survey.patterns[learned], centres)
        weight = np.bincount(nearest, regions.loc[learned, "importance"], minlength=len(centres))
        centres = centres[np.argsort(-weight, kind="stable")]
        nearest, distance = features.nearest_feature(survey.patterns[own], centres)
        regions.loc[own, "feature"], regions.loc[own, "distance"] = nearest + 1, distance
    return regions


def margin_drops(
    model: CamClassifier, store: Store, survey: Survey, regions: pd.DataFrame, batch_size: int
) -> pd.DataFrame:
    """What the margin of each test sample loses when one feature's regions are filled with the image's mean.

    Columns image, feature, drop; one row and one forward per sample and feature that it shows.
    """
    shown = shown_in_test(survey.samples, regions)
    pairs = shown[["image", "feature"]].drop_duplicates().reset_index(drop=True)
    feature_of = np.concatenate([[0], regions["feature"].to_numpy()])
    drops = []
    for start in range(0, len(pairs), batch_size):
        image, feature = pairs.iloc[start : start + batch_size].to_numpy().T
        sample = survey.samples.iloc[image]
        images = forward.load_images(model, store.images, sample["row"].to_numpy())
        inside = torch.from_numpy(feature_of[survey.labels[image]] == feature[:, None, None])[:, None]
        covered = interpolate(inside.float().to(images.device), size=images.shape[-2:]) > 0.5
        masked = torch.where(covered, faithfulness.mean_fill(images), images)
        after = forward.margins(model, masked, batch_size).double().cpu().numpy()
        drops.append(sample["margin"].to_numpy() - (2 * sample["predicted"].to_numpy() - 1) * after)
    return pairs.assign(drop=np.concatenate([np.empty(0), *drops]))


def shown_in_test(samples: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Regions of test samples that belong to a feature, with what is known about their samples."""
    known = samples[[*ABOUT, "margin"]].loc[regions["image"]].reset_index(drop=True)
    joined = pd.concat([regions, known], axis=1)
    return joined[(joined["feature"] > 0) & joined["role"].isin(trained.TEST)]


def region_table(samples: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Every region with its sample; `feature` is blank for regions that belong to none."""
    about = samples[ABOUT].loc[regions["image"]].reset_index(drop=True)
    table = regions.assign(feature=regions["feature"].astype("Int64").mask(regions["feature"] == 0))
    kept = ["region", *BOX, "area", "sign", "importance", "share", "feature"]
    return pd.concat([about, table[kept]], axis=1)


def feature_table(samples: pd.DataFrame, regions: pd.DataFrame, drops: pd.DataFrame) -> pd.DataFrame:
    """One row per feature; `share` is its part of the summed margins of the samples that show it."""
    shown = shown_in_test(samples, regions).merge(drops, on=["image", "feature"], validate="many_to_one")
    shown[["x", "y"]] = features.centres(shown)
    tested = np.bincount(samples[samples["role"].isin(trained.TEST)]["predicted"], minlength=len(CLASSES))
    rows = []
    for (predicted, feature), group in shown.groupby(["predicted", "feature"]):
        once = group.drop_duplicates("image")
        rows.append(
            {
                "predicted": predicted,
                "feature": feature,
                "n_regions": len(group),
                "prevalence": len(once) / tested[once["predicted"].iloc[0]],
                "importance": group["importance"].mean(),
                "share": group["importance"].sum() / once["margin"].sum(),
                "margin_drop": once["drop"].mean(),
                **group[["x", "y", "area"]].mean(),
            }
        )
    columns = ["predicted", "feature", "n_regions", "prevalence", "importance", "share", "margin_drop"]
    return pd.DataFrame(rows, columns=[*columns, "x", "y", "area"])


def prevalence_table(samples: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Share of the n test samples of a source, predicted to be of the class, that show each of its
    features."""
    shown = shown_in_test(samples, regions).drop_duplicates(["image", "feature"])
    tested = samples[samples["role"].isin(trained.TEST)].groupby(["predicted", "source"]).size().rename("n")
    pairs = shown[["predicted", "feature"]].drop_duplicates().merge(tested.reset_index(), on="predicted")
    counts = shown.groupby(["predicted", "feature", "source"]).size().rename("shown").reset_index()
    table = pairs.merge(counts, how="left", on=["predicted", "feature", "source"])
    table["prevalence"] = table["shown"].fillna(0) / table["n"]
    columns = ["predicted", "feature", "source", "prevalence", "n"]
    return table[columns].sort_values(columns[:3], ignore_index=True)


def exemplar_table(samples: pd.DataFrame, regions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Per feature, the regions nearest to its centre, at most one per sample."""
    known = samples[["sample_id", "predicted"]].loc[regions["image"]].reset_index(drop=True)
    joined = pd.concat([regions, known], axis=1)
    joined = joined[joined["feature"] > 0].sort_values(["predicted", "feature", "distance", "sample_id"])
    nearest = joined.drop_duplicates(["predicted", "feature", "sample_id"])
    rank = nearest.groupby(["predicted", "feature"]).cumcount() + 1
    columns = ["predicted", "feature", "rank", "sample_id", *BOX]
    return nearest.assign(rank=rank)[rank <= count][columns].reset_index(drop=True)


def channel_table(survey: Survey) -> pd.DataFrame:
    """Mean part of the margin per channel and predicted class, ranked by size."""
    tested = survey.samples["role"].isin(trained.TEST)
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
        for kind, name in itertools.product(TRUTHS, features.Overlap._fields):
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
    """The record's results: how many features, and on unseen sources the shared salience and the IoUs."""
    summary = tables["summary"]
    unseen = summary[summary["role"] == "test_open"].set_index(["metric", "reference"])["value"]
    wanted = {"shared_salience": ("shared_salience", "")}
    wanted |= {f"{kind}_iou": ("iou", kind) for kind in TRUTHS}
    found = {name: float(unseen.get(place, np.nan)) for name, place in wanted.items()}
    return {"features": len(tables["features"]), **found}


if __name__ == "__main__":
    run_dataset_stage("identify", __doc__)
