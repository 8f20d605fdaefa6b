"""A trained cell under attack: the model, the test images it must stand on, and the run of one attack."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data.store import Store
from pipeline.explain import forward
from pipeline.explain.victim import Findings, Victim
from pipeline.grid import trained
from pipeline.grid.cells import Cell
from pipeline.model.batches import Samples, unit

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
