"""What a trained cell scores: errors in known and unseen sources, what decides, alignment, faithfulness.

Each image passes through the model once; that gives its logits and both class activation maps, from which
all tables follow but those of changed images. The threshold comes from validation; test samples choose
nothing.

    scores           of each validation and test sample: logit difference z1 - z0, higher is more abnormal;
                     marked: whether it carries the shortcut's mark, 1 or 0, blank on real data
    metrics          by scope, see `scopes`
    strata           AUROC where the shortcut's mark agrees with the label and where it contradicts it
    counterfactuals  what is told apart without a region, and with it alone
    shown_scores     that of the samples shown in pictures: whose region it is, and the logit differences
    alignment        true CAM, false CAM and difference salience against human maps and exact masks
    faithfulness     areas under deletion and insertion curves, which are in `curves`

The arrays are raw CAMs of the samples shown in pictures, the same samples for every cell.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.data.store import Store
from pipeline.explain import alignment, faithfulness
from pipeline.measure import Measurement, counterfactuals, scopes, strata
from pipeline.measure.counterfactuals import Score
from pipeline.measure.roles import TEST, by_hash, measured
from pipeline.model import CamClassifier, cam, inference
from pipeline.score import metrics, stats

SHOWN = {"region": "human", "fill": "blur"}  # the test that pictures show
LIMITS = ["auroc_low", "auroc_high"]  # 95 %, DeLong


def measure(model: CamClassifier, store: Store, settings: Mapping[str, Any]) -> Measurement:
    """All tables of one cell.

    settings: `evaluate` of params.yaml, and the protocol's `threshold`, {rule, value}, and `novel`, sources.
    """
    samples = measured(store)
    batches = inference.look(model, store.images, samples["row"].to_numpy(), settings["batch_size"])
    seen = [(outputs.logits.cpu(), outputs.cams.cpu()) for outputs in batches]
    logits, cams = (torch.cat(parts) for parts in zip(*seen, strict=True))
    scores = scored(store, (logits[:, 1] - logits[:, 0]).double().numpy())

    tables, results = decisions(partial(_score, model, settings["batch_size"]), scores, store, settings)
    curves, areas = curve_tables(model, scores, cams, store, settings)
    alignments = alignment_table(scores, cams, store, settings["batch_size"])
    shown = gallery_rows(scores, settings["gallery"])
    return Measurement(
        tables={**tables, "alignment": alignments, "faithfulness": areas, "curves": curves},
        results=results,
        arrays={
            "index": scores["row"].to_numpy()[shown],
            "cams": cams.numpy()[shown],
            "logit_difference": scores["logit_difference"].to_numpy(np.float32)[shown],
        },
    )


def scored(store: Store, differences: np.ndarray) -> pd.DataFrame:
    """What `roles.measured` gives, with their logit differences (N,) and marks (NaN on real data)."""
    samples = measured(store)
    marked = strata.marked(store)
    marks = np.nan if marked is None else marked[samples["row"]].astype(int)
    return samples.assign(logit_difference=differences, marked=marks)


def decisions(
    score: Score, scores: pd.DataFrame, store: Store, settings: Mapping[str, Any]
) -> tuple[dict[str, pd.DataFrame], dict[str, float]]:
    """The tables of whatever gives images a score, and their headlines for the record.

    scores: as `scored` gives them; settings: those of `measure`.
    """
    threshold, novel = fitted_threshold(scores, settings["threshold"]), settings["novel"]
    answers = counterfactuals.answers(score, store, scores, settings["batch_size"])
    tables = {
        "scores": scores.drop(columns="row"),
        "metrics": error_table(scores, threshold, novel),
        "strata": strata.strata_table(scores, novel),
        "counterfactuals": counterfactuals.counterfactual_table(answers),
        "shown_scores": shown_scores(answers, scores.iloc[gallery_rows(scores, settings["gallery"])], store),
    }
    return tables, {"threshold": threshold, **headlines(tables)}


def fitted_threshold(scores: pd.DataFrame, rule: dict[str, Any]) -> float:
    """The operating point of the protocol, fitted on validation."""
    return metrics.fit_threshold(*_arrays(scores[scores["role"] == "val"]), rule["rule"], rule["value"])


def error_table(scores: pd.DataFrame, threshold: float, novel: Sequence[str] = ()) -> pd.DataFrame:
    """Detection metrics on known sources, on each unseen source, and their means over unseen sources."""
    groups = scopes.held_out_groups(scores)
    unseen = {source: errors(group, threshold, "held_out", source) for source, group in groups.items()}
    tables = [errors(scores[scores["role"] == "test_closed"], threshold, scope="closed", source="")]
    tables += unseen.values()
    for scope, sources in scopes.means(groups, novel).items():
        samples = pd.concat([groups[source] for source in sources])
        tables.append(mean_errors([unseen[source] for source in sources], samples, scope))
    return pd.concat(tables, ignore_index=True)


def errors(group: pd.DataFrame, threshold: float, scope: str, source: str) -> pd.DataFrame:
    """All detection metrics of one group of samples, one row each."""
    labels, differences, types = _arrays(group)
    found = metrics.detection(labels, differences, types, threshold)
    found.update(zip(LIMITS, stats.auroc_interval(labels, differences)[1:], strict=True))
    return _metric_rows(scope, source, found, group)


def mean_errors(unseen: list[pd.DataFrame], samples: pd.DataFrame, scope: str) -> pd.DataFrame:
    """Equal-weight mean over unseen sources of the metrics that all of them have; limits have no mean."""
    values = pd.concat([table.set_index("metric")["value"] for table in unseen], axis=1, join="inner")
    means = values.drop(LIMITS).mean(axis=1, skipna=False)
    found = dict(zip(means.index.astype(str), means, strict=True))
    return _metric_rows(scope, "", found, samples.drop_duplicates("sample_id"))


def shown_scores(answers: pd.DataFrame, shown: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Logit differences of the shown samples as they are, without the human region, and with it alone."""
    mine = answers["sample_id"].isin(shown["sample_id"])
    for name, value in SHOWN.items():
        mine &= answers[name] == value
    found = answers[mine]
    lenders = store.manifest["sample_id"].to_numpy()[found["lender"].astype(int)]
    columns = ["sample_id", "role", "label", "region_of", "test", "logit_difference"]
    return found.assign(region_of=lenders)[columns].reset_index(drop=True)


def alignment_table(scores: pd.DataFrame, cams: Tensor, store: Store, batch_size: int) -> pd.DataFrame:
    """Mean alignment of each map with each reference; `undefined` counts samples without a value."""
    true_cam, false_cam = cam.select(cams, torch.tensor(scores["label"].to_numpy()))
    maps = {"true_cam": true_cam, "false_cam": false_cam, "difference_salience": true_cam - false_cam}
    tables = []
    for role, (kind, reference, there) in itertools.product(TEST, references(store)):
        rows = scores["row"].to_numpy()
        place = np.flatnonzero((scores["role"] == role) & there[rows])
        blocks = [place[start : start + batch_size] for start in range(0, len(place), batch_size)]
        for name, map_ in maps.items() if blocks else ():
            values = [alignment.align(map_.numpy()[block], reference[rows[block]]) for block in blocks]
            found = pd.concat(map(pd.DataFrame, values))
            about = {"role": role, "map": name, "reference": kind, "metric": found.columns}
            counts = {"n": len(found), "undefined": found.isna().sum().to_numpy()}
            tables.append(pd.DataFrame({**about, "value": found.mean().to_numpy(), **counts}))
    columns = ["role", "map", "reference", "metric", "value", "n", "undefined"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def references(store: Store) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """What maps are compared with: its name, uint8 (N, H, W), and which samples have one."""
    causal = store.truth("causal")
    truth = [] if causal is None else [("truth", causal, np.asarray(causal.any(axis=(1, 2))))]
    return [("human", store.maps, store.has_map), *truth]


def curve_tables(
    model: CamClassifier, scores: pd.DataFrame, cams: Tensor, store: Store, settings: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean deletion and insertion curves per role and order, and the areas under them.

    The explained class is the predicted one; `true_cam` is that class's CAM alone.
    """
    lines, areas = [], []
    differences = partial(inference.logit_differences, model, batch_size=settings["batch_size"])
    shares = faithfulness.shares(settings["curve_steps"])
    for role in TEST:
        place = by_hash(scores[scores["role"] == role], settings["curve_samples"])
        if not len(place):
            continue
        images = inference.load_images(model, store.images, scores["row"].to_numpy()[place])
        classes = torch.from_numpy((scores["logit_difference"].to_numpy()[place] > 0).astype(np.int64))
        own, other = (part.to(images.device) for part in cam.select(cams[place], classes))
        orders = {"difference_salience": own - other, "true_cam": own, "random": None}
        found = faithfulness.curves(
            differences, images, classes.to(images.device), orders, settings["curve_steps"]
        )
        for (order, curve), points in found.items():
            lines += [(role, order, curve, *point) for point in zip(shares, points.mean(axis=0), strict=True)]
            areas.append((role, order, curve, faithfulness.area(points).mean(), len(place)))
    keys = ["role", "order", "curve"]
    points_table = pd.DataFrame(lines, columns=[*keys, "share", "score"])
    return points_table, pd.DataFrame(areas, columns=[*keys, "area", "n"])


def gallery_rows(scores: pd.DataFrame, count: int) -> np.ndarray:
    """Places in `scores` of the samples shown in pictures: `count` per test role."""
    return np.concatenate([by_hash(scores[scores["role"] == role], count) for role in TEST])


def headlines(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """The record's results; NaN where there is no such number.

    closed_auroc, open_auroc: on known sources, and the mean over unseen ones. conflict_auroc: where the
    shortcut's mark contradicts the label, the mean over familiar unseen sources, or over all if none is said
    to be novel. without_cause: on twins without their cause. evidence_gap: only - without the human region.
    """
    auroc = tables["metrics"].set_index(["scope", "source", "metric"])["value"]
    conflict = tables["strata"].set_index(["scope", "source", "stratum"])["auroc"]
    tested = tables["counterfactuals"].set_index(["role", "source", *counterfactuals.KIND])["auroc"]
    every = conflict.get(("macro", "", "conflict"), np.nan)
    without, only = (
        tested.get(("test_closed", "", *SHOWN.values(), test), np.nan) for test in ("without", "only")
    )
    found = {
        "closed_auroc": auroc.get(("closed", "", "auroc"), np.nan),
        "open_auroc": auroc.get(("macro", "", "auroc"), np.nan),
        "conflict_auroc": conflict.get(("familiar", "", "conflict"), every),
        "without_cause": tested.get(("test_closed", "", "cause", "twin", "without"), np.nan),
        "evidence_gap": only - without,
    }
    return {name: float(value) for name, value in found.items()}


def _score(model: CamClassifier, batch_size: int, images: Tensor) -> np.ndarray:
    """A model as what gives images on the CPU a score."""
    there = images.to(next(model.parameters()).device)
    return inference.logit_differences(model, there, batch_size).double().cpu().numpy()


def _metric_rows(scope: str, source: str, values: dict[str, float], samples: pd.DataFrame) -> pd.DataFrame:
    labels = samples["label"].to_numpy()
    counts = {"n_negative": int(np.sum(labels == 0)), "n_positive": int(np.sum(labels == 1))}
    rows = {"scope": scope, "source": source, "metric": list(values), "value": list(values.values())}
    return pd.DataFrame({**rows, **counts})


def _arrays(group: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logit differences and types as the metrics take them."""
    return group["label"].to_numpy(), group["logit_difference"].to_numpy(), group["class_name"].to_numpy(str)
