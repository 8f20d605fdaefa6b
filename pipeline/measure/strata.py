"""AUROC by what the shortcut's mark says in a pair of images: nothing, the truth, or the contrary.

On phantoms it is known which images carry the shortcut's mark. A pair of a negative and a positive is

    same        both carry the mark, or neither: it says nothing
    aligned     the positive alone carries it: who follows the mark is right
    conflict    the negative alone carries it: who follows the mark is wrong

so that AUROC is the mean of the three, weighted by their pairs. Who decides by the mark has 0.5, 1 and 0.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.data.store import Store
from pipeline.measure import scopes
from pipeline.score import metrics

STRATA = {  # name -> (negative carries the mark, positive carries it), for each kind of pair
    "same": ((False, False), (True, True)),
    "aligned": ((False, True),),
    "conflict": ((True, False),),
}
COLUMNS = ["scope", "source", "stratum", "auroc", "n_negative", "n_positive"]


def marked(store: Store) -> np.ndarray | None:
    """Which images of a store carry the shortcut's mark, bool (N,); None for real data."""
    masks = store.truth("shortcut")
    return None if masks is None else np.asarray(masks.any(axis=(1, 2)))


def strata_table(scores: pd.DataFrame, novel: Sequence[str] = ()) -> pd.DataFrame:
    """AUROC by stratum on known sources, on each unseen one, and its means over those; columns as COLUMNS.

    scores: one row per sample: sample_id, label, source, role, logit_difference, and marked, in {0, 1}, or
    NaN on real data, which has no strata. novel: unseen sources whose causes no known source has; see
    `scopes`. A stratum without a pair is NaN, and so is every mean over it.
    """
    if scores["marked"].isna().any():
        return pd.DataFrame(columns=COLUMNS)
    groups = scopes.held_out_groups(scores)
    found = {source: strata(group) for source, group in groups.items()}
    tables = [strata(scores[scores["role"] == "test_closed"]).assign(scope="closed", source="")]
    tables += [table.assign(scope="held_out", source=source) for source, table in found.items()]
    for scope, sources in scopes.means(groups, novel).items():
        auroc = np.mean([found[source]["auroc"] for source in sources], axis=0)
        counts = strata(pd.concat([groups[source] for source in sources]).drop_duplicates("sample_id"))
        tables.append(counts.assign(scope=scope, source="", auroc=auroc))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def strata(group: pd.DataFrame) -> pd.DataFrame:
    """AUROC of one group of samples by stratum, with the samples that have a partner in it."""
    rows = []
    for stratum, kinds in STRATA.items():
        found = [_pairs(group, *kind) for kind in kinds]
        negatives, positives = np.array([counts for _, *counts in found]).T
        pairs = negatives * positives
        used = pairs > 0
        aurocs = np.array([auroc for auroc, *_ in found])
        auroc = np.average(aurocs[used], weights=pairs[used]) if used.any() else np.nan
        rows.append((stratum, float(auroc), int(negatives[used].sum()), int(positives[used].sum())))
    return pd.DataFrame(rows, columns=COLUMNS[2:])


def _pairs(group: pd.DataFrame, negative_marked: bool, positive_marked: bool) -> tuple[float, int, int]:
    """AUROC over the pairs of one kind, and how many negatives and positives make them up."""
    wanted = np.where(group["label"] == 1, positive_marked, negative_marked)
    part = group[group["marked"] == wanted]
    labels = part["label"].to_numpy()
    auroc = metrics.auroc(labels, part["logit_difference"].to_numpy())
    return auroc, int(np.sum(labels == 0)), int(np.sum(labels == 1))
