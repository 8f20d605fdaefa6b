"""What an attack does to a trained cell: the model, the test images it must stand on, and one attack's run.

Attacks are measured by decisions, and epochs are chosen by ranking alone, so a cell need not decide well
where its logits are equal. Here it decides at the equal-error threshold of validation, which leaves both
classes alike room: the threshold is taken into the head's bias, z_1 falls by it, and the larger logit is
the decision. CAMs, which know no bias, and rankings stay as they are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data.store import Store
from pipeline.explain.attacks import Findings, Victim
from pipeline.measure import Measurement
from pipeline.measure.roles import by_hash, measured
from pipeline.model import CamClassifier, inference
from pipeline.model.batches import StoreRows, as_floats
from pipeline.score import metrics

ATTACKS = "explain/attacks"
ROLE = "test_closed"  # unseen images of the sources that the cell knows


def measure(model: CamClassifier, store: Store, settings: Mapping[str, Any]) -> Measurement:
    """What one attack finds; the arrays are its pictures and `index`, their rows in the store.

    settings: `attack`, a choice of pipeline/explain/attacks, the common ones of `robustness` in params.yaml,
    and `seed`, the cell's.
    """
    victim, rows = victim_of(model, store, settings)
    findings: Findings = catalogue.make(ATTACKS, settings["attack"])(victim)
    return Measurement(
        tables={"values": findings.values},
        results=headlines(findings.values),
        arrays={"index": rows[: victim.shown], **findings.pictures},
    )


def victim_of(model: CamClassifier, store: Store, settings: Mapping[str, Any]) -> tuple[Victim, np.ndarray]:
    """What attacks are given, and the rows of the store that are attacked: both labels in turn, by hash.

    The rows are the same for every cell of a data set. Raises UserError if there are none. The model's bias
    is changed; see the module's head.
    """
    samples = measured(store)
    tested = samples[samples["role"] == ROLE]
    if tested.empty:
        raise UserError(
            f"{store.info['dataset']}: no test image of a known source to attack; give split.test a share"
        )
    rows = tested["row"][by_hash(tested, settings["images"])].to_numpy()
    _decide_where_errors_are_equal(model, store, samples[samples["role"] == "val"], settings["batch_size"])
    images = inference.load_images(model, store.images, rows)
    victim = Victim(
        model=model,
        train=StoreRows(store.images, store.maps, store.has_map, store.labels, store.rows("train")),
        images=images,
        labels=torch.from_numpy(store.labels[rows]).to(images.device),
        human_maps=as_floats(store.maps[rows], images.device),
        has_map=torch.from_numpy(store.has_map[rows]).to(images.device),
        explanations=tuple(settings["explanations"]),
        shown=settings["shown"],
        batch_size=settings["batch_size"],
        seed=settings["seed"],
    )
    return victim, rows


def headlines(values: pd.DataFrame) -> dict[str, float]:
    """The record's results: what is said of the model as a whole."""
    whole = values[(values["explanation"] == "") & values["budget"].isna()]
    return dict(zip(whole["metric"], whole["value"].astype(float), strict=True))


def _decide_where_errors_are_equal(
    model: CamClassifier, store: Store, val: pd.DataFrame, batch_size: int
) -> None:
    """Take the equal-error threshold of the validation samples into the bias."""
    seen = inference.look(model, store.images, val["row"].to_numpy(), batch_size)
    logits = torch.cat([outputs.logits for outputs in seen]).double().cpu().numpy()
    labels, types = val["label"].to_numpy(), val["class_name"].to_numpy(str)
    with torch.no_grad():
        model.head.bias[1] -= metrics.fit_threshold(labels, logits[:, 1] - logits[:, 0], types, "eer", 0)
