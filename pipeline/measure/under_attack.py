"""A trained cell under attack: the model, the test images it must stand on, and the run of one attack.

Attacks are measured by decisions, and epochs are chosen by ranking alone, so a cell need not decide well
where its logits are equal. Here it decides at the equal-error threshold of validation, which leaves both
classes alike room: the threshold is taken into the head's bias, z_1 falls by it, and the larger logit is
the decision. CAMs, which know no bias, and rankings stay as they are.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data.store import Store
from pipeline.model import inference as forward
from pipeline.explain.attacks import Findings, Victim
from pipeline.grid import trained
from pipeline.grid.cells import Cell
from pipeline.model import CamClassifier
from pipeline.model.batches import Samples, unit
from pipeline.score import metrics

ATTACKS = "explain/attacks"
ROLE = "test_closed"  # unseen images of the sources that the cell knows


def run_attack(folder: Path, cell: Cell, store: Store, settings: dict[str, Any], device: str) -> Findings:
    """What one attack does to the model in `folder`; the pictures gain `index`, their rows in the store.

    settings: `attack`, a file of pipeline/explain/attacks, its `settings`, and the common ones of
    `robustness` in params.yaml.
    """
    victim, rows = victim_of(folder / trained.MODEL, cell, store, settings, device)
    findings: Findings = catalogue.get(ATTACKS, settings["attack"])(victim, **settings["settings"])
    return findings._replace(pictures={"index": rows[: victim.shown], **findings.pictures})


def victim_of(
    model: Path, cell: Cell, store: Store, settings: dict[str, Any], device: str
) -> tuple[Victim, np.ndarray]:
    """What attacks are given, and the rows of the store that are attacked: both labels in turn, by hash.

    The rows are the same for every cell of a data set. Raises UserError if there are none.
    """
    samples = trained.samples(store)
    tested = samples[samples["role"] == ROLE]
    if tested.empty:
        raise UserError(f"{cell.dataset}: no test image of a known source to attack; give split.test a share")
    rows = tested["row"][trained.by_hash(tested, settings["images"])].to_numpy()
    network = forward.open_model(model, device)
    _decide_where_errors_are_equal(network, store, samples[samples["role"] == "val"], settings["batch_size"])
    images = forward.load_images(network, store.images, rows)
    victim = Victim(
        model=network,
        train=Samples(store.images, store.maps, store.has_map, store.labels, store.rows("train")),
        images=images,
        labels=torch.from_numpy(store.labels[rows]).to(images.device),
        human_maps=unit(store.maps[rows], images.device),
        has_map=torch.from_numpy(store.has_map[rows]).to(images.device),
        explanations=tuple(settings["explanations"]),
        shown=settings["shown"],
        batch_size=settings["batch_size"],
        seed=cell.seed,
    )
    return victim, rows


def _decide_where_errors_are_equal(
    model: CamClassifier, store: Store, val: pd.DataFrame, batch_size: int
) -> None:
    """Take the equal-error threshold of the validation samples into the bias."""
    seen = forward.look(model, store.images, val["row"].to_numpy(), batch_size)
    logits = torch.cat([outputs.logits for outputs in seen]).double().cpu().numpy()
    labels, types = val["label"].to_numpy(), val["class_name"].to_numpy(str)
    with torch.no_grad():
        model.head.bias[1] -= metrics.fit_threshold(labels, logits[:, 1] - logits[:, 0], types, "eer", 0)
