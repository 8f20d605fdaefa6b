"""The samples that are measured: validation and test images by role, and a fair choice of a few."""

import numpy as np
import pandas as pd

from pipeline.common.files import sha256_text
from pipeline.data.store import Store

TEST = ("test_closed", "test_open")
ROLES = ("val", *TEST)


def measured(store: Store) -> pd.DataFrame:
    """Validation and test samples by role: their row in the store and what is known about them."""
    parts = []
    for role in ROLES:
        rows = store.rows(role)
        known = store.manifest.iloc[rows][["sample_id", "source", "class_name", "subject_id"]]
        parts.append(known.assign(label=store.labels[rows], role=role, row=rows))
    columns = ["sample_id", "label", "source", "class_name", "subject_id", "role", "row"]
    return pd.concat(parts, ignore_index=True)[columns]


def by_hash(samples: pd.DataFrame, count: int) -> np.ndarray:
    """Index values of up to `count` samples, both labels in turn, in the order of their ids' hashes."""
    keyed = samples[["label"]].assign(hash=samples["sample_id"].map(sha256_text)).sort_values("hash")
    turn = keyed.groupby("label").cumcount()
    ordered = keyed.assign(turn=turn).sort_values(["turn", "label"], ascending=[True, False])
    return np.array(ordered.index[:count])
