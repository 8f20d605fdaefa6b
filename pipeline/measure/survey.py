"""All validation and test samples once through a trained model: margins, regions, channels.

The explained class is the predicted one. Lengths are shares of the image's side, areas of the image;
importances are parts of the predicted class's margin.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pipeline.data.store import TRUTHS, Store
from pipeline.explain import regions as posthoc
from pipeline.measure.roles import measured
from pipeline.model import CamClassifier, Outputs, cam, fills, inference


class Survey(NamedTuple):
    """All samples once through the model."""

    samples: pd.DataFrame  # a row per sample: margin of its predicted class, shared salience, overlaps
    # a row per region; `image` is the row in `samples`, `in_*` its share in human map and exact masks
    regions: pd.DataFrame
    labels: np.ndarray  # (N, H, W) row in `regions` + 1, or 0
    patterns: np.ndarray  # (regions, K + 2)
    channels: np.ndarray  # (N, K) parts of the margin


def look_at_all(model: CamClassifier, store: Store, share: float, batch_size: int) -> Survey:
    """Margins, regions, channels and agreement with truth of every validation and test sample."""
    samples = measured(store)
    rows = samples["row"].to_numpy()
    references = {kind: store.truth(kind) for kind in TRUTHS} | {"human": store.maps}
    start, count, parts = 0, 0, []
    for outputs in inference.look(model, store.images, rows, batch_size):
        stop = start + len(outputs.logits)
        masks = {kind: maps[rows[start:stop]] for kind, maps in references.items() if maps is not None}
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
    """The survey of one batch; `masks` (B, H, W) are human maps, and a phantom's by kind of truth."""
    maps, cams = outputs.features.float().cpu().numpy(), outputs.cams.cpu()
    weight, bias = (part.detach().cpu().numpy() for part in (model.head.weight, model.head.bias))
    signed = (outputs.logits[:, 1] - outputs.logits[:, 0]).double().cpu().numpy()
    predicted = (signed > 0).astype(np.int64)
    salience = cam.difference_salience(cams, torch.from_numpy(predicted)).numpy()
    sign = 2 * predicted - 1
    completed = salience.mean(axis=(1, 2), dtype=np.float64) + sign * float(bias[1] - bias[0])
    regions = posthoc.find_regions(salience, share)
    samples = pd.DataFrame(
        {
            "predicted": predicted,
            "margin": sign * signed,
            "shared_salience": posthoc.shared_salience(cams.numpy()),
            "completeness_error": np.abs(completed - sign * signed),
        }
    )
    found = for_the_class(regions)
    inside = {
        f"in_{kind}": posthoc.share_inside(regions, salience, fills.peak_regions(mask))
        for kind, mask in masks.items()
    }
    for kind, mask in ((kind, masks[kind]) for kind in TRUTHS if kind in masks):
        there = mask.any(axis=(1, 2))
        for name, values in posthoc.overlap(found[there], salience[there], mask[there])._asdict().items():
            samples.loc[there, f"{kind}_{name}"] = values
    return Survey(
        samples,
        regions.table.assign(**inside),
        regions.labels,
        posthoc.patterns(regions, maps, weight, predicted),
        posthoc.channel_importance(maps.mean(axis=(2, 3)), weight, predicted),
    )


def for_the_class(regions: posthoc.Regions) -> np.ndarray:
    """Where regions speak for the predicted class, bool (N, H, W)."""
    sign = np.concatenate([[0], regions.table["sign"].to_numpy()])
    return sign[regions.labels] > 0
