"""What a trained cell scores: errors in known and unseen sources, alignment with maps, faithfulness.

Each image passes through the model once; that gives its logits and both class activation maps, from which all
tables follow. The threshold comes from validation; test samples choose nothing.

    scores         one row per validation and test sample: logit difference z1 - z0, higher is more abnormal
    metrics        scope closed (known sources), held_out (one unseen source), macro (mean over those)
    alignment      true CAM, false CAM and difference salience against human maps and exact masks
    faithfulness   areas under deletion and insertion curves, which are in `curves`

The arrays are raw CAMs of the samples shown in pictures, the same samples for every cell.
"""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.data.store import Store
from pipeline.explain import alignment, faithfulness
from pipeline.measure import Measurement, scopes
from pipeline.measure.roles import TEST, by_hash, measured
from pipeline.model import CamClassifier, cam, inference
from pipeline.score import metrics, stats

HEADLINES = {"closed": "closed", "open": "macro"}  # name in the record's results -> scope
LIMITS = ["auroc_low", "auroc_high"]  # 95 %, DeLong


def measure(model: CamClassifier, store: Store, settings: Mapping[str, Any]) -> Measurement:
    """All tables of one cell.

    settings: `evaluate` of params.yaml, and `threshold`, the protocol's {rule, value}.
    """
    samples = measured(store)
    batches = inference.look(model, store.images, samples["row"].to_numpy(), settings["batch_size"])
    seen = [(outputs.logits.cpu(), outputs.cams.cpu()) for outputs in batches]
    logits, cams = (torch.cat(parts) for parts in zip(*seen, strict=True))
    scores = samples.assign(logit_difference=(logits[:, 1] - logits[:, 0]).double().numpy())

    threshold = fitted_threshold(scores, settings["threshold"])
    detection = error_table(scores, threshold)
    curves, areas = curve_tables(model, scores, cams, store, settings)
    shown = gallery_rows(scores, settings["gallery"])
    return Measurement(
        tables={
            "scores": scores.drop(columns="row"),
            "metrics": detection,
            "alignment": alignment_table(scores, cams, store, settings["batch_size"]),
            "faithfulness": areas,
            "curves": curves,
        },
        results={"threshold": threshold, **headlines(detection)},
        arrays={
            "index": scores["row"].to_numpy()[shown],
            "cams": cams.numpy()[shown],
            "logit_difference": scores["logit_difference"].to_numpy(np.float32)[shown],
        },
    )


def fitted_threshold(scores: pd.DataFrame, rule: dict[str, Any]) -> float:
    """The operating point of the protocol, fitted on validation."""
    return metrics.fit_threshold(*_arrays(scores[scores["role"] == "val"]), rule["rule"], rule["value"])


def error_table(scores: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Detection metrics on known sources, on each unseen source, and their mean over unseen sources."""
    tables = [errors(scores[scores["role"] == "test_closed"], threshold, scope="closed", source="")]
    groups = scopes.held_out_groups(scores)
    if groups:
        unseen = [errors(group, threshold, "held_out", source) for source, group in groups.items()]
        tables += [*unseen, macro(unseen, pd.concat(groups.values()))]
    return pd.concat(tables, ignore_index=True)


def errors(group: pd.DataFrame, threshold: float, scope: str, source: str) -> pd.DataFrame:
    """All detection metrics of one group of samples, one row each."""
    labels, differences, types = _arrays(group)
    found = metrics.detection(labels, differences, types, threshold)
    found.update(zip(LIMITS, stats.auroc_interval(labels, differences)[1:], strict=True))
    return _metric_rows(scope, source, found, group)


def macro(unseen: list[pd.DataFrame], samples: pd.DataFrame) -> pd.DataFrame:
    """Equal-weight mean over unseen sources of the metrics that all of them have; limits have no mean."""
    values = pd.concat([table.set_index("metric")["value"] for table in unseen], axis=1, join="inner")
    means = values.drop(LIMITS).mean(axis=1, skipna=False)
    return _metric_rows(
        "macro",
        "",
        dict(zip(means.index.astype(str), means, strict=True)),
        samples.drop_duplicates("sample_id"),
    )


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


def headlines(table: pd.DataFrame) -> dict[str, float]:
    """The record's results: AUROC on known sources and its mean over unseen ones (NaN without any)."""
    auroc = table[table["metric"] == "auroc"].groupby("scope")["value"].first()
    return {f"{name}_auroc": float(auroc.get(scope, np.nan)) for name, scope in HEADLINES.items()}


def _metric_rows(scope: str, source: str, values: dict[str, float], samples: pd.DataFrame) -> pd.DataFrame:
    labels = samples["label"].to_numpy()
    counts = {"n_negative": int(np.sum(labels == 0)), "n_positive": int(np.sum(labels == 1))}
    rows = {"scope": scope, "source": source, "metric": list(values), "value": list(values.values())}
    return pd.DataFrame({**rows, **counts})


def _arrays(group: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logit differences and types as the metrics take them."""
    return group["label"].to_numpy(), group["logit_difference"].to_numpy(), group["class_name"].to_numpy(str)
