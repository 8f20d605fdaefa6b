"""The shortcut alarm: is what a model relies on a cause of the label, or does it only go along with it?

It judges recurring concepts (`pipeline.explain.regions`) by what real data offer, and knows no truth:

    maps      does the concept lie outside what people marked? A cause is what they mark.
    sources   does its presence stop telling the classes apart in sources that were never learned from? A
              cause holds elsewhere, at least in the unseen source that knows it best.
    fill      does the margin fall when it is filled? What costs nothing when it is gone decides nothing.

The first two are suspicions in [0, 1]. The score is their mean; where only one of them can be had, it is
drawn to 1/2 by SINGLE, and always by how little the margin falls. All of this is this project's own.
"""

from itertools import compress

import numpy as np
import pandas as pd

SHORTCUT, CAUSE, UNCLEAR = "shortcut", "cause", "unclear"
ALARM, CLEARED = 0.65, 0.35  # a score from which a concept is called a shortcut, and up to which a cause
SINGLE = 2 / 3  # what one kind of evidence is worth beside two
PRIOR = 1.0  # regions that speak neither for nor against, so that one alone proves little
TELLS = 0.6  # AUROC in known sources below which a concept's presence tells nothing that could be lost
RELIED = 0.05  # share of the margin that falls with a concept from which it is fully relied on
HEAVY = 0.2  # share of an image's cells in which a concept is looked for: those that contribute most


def presence(contributions: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How clearly each image shows each concept, wherever it is: (N, k) in -1..1.

    `contributions` (N, K, h, w) of channels to one class' margin, at every place; `directions` (k, K) are
    what the concepts' regions contribute on average. The best cosine over the image's HEAVY share of cells.
    """
    cells = contributions.reshape(*contributions.shape[:2], -1)
    size = np.linalg.norm(cells, axis=1)
    floor = np.quantile(size, 1 - HEAVY, axis=1, method="higher", keepdims=True)
    lengths = np.linalg.norm(directions, axis=1)
    along = np.einsum("nkp,ck->ncp", cells, directions / np.maximum(lengths, 1e-12)[:, None], optimize=True)
    cosine = along / np.maximum(size, 1e-12)[:, None]
    return np.where((size >= floor)[:, None], cosine, -1.0).max(axis=2)


def judge(evidence: pd.DataFrame) -> pd.DataFrame:
    """Score, verdict and kinds of evidence of each concept, on the index of `evidence`.

    `evidence` has the columns inside_maps (share of its salience inside human maps, NaN without maps), n_maps
    (regions that this rests on), known_auroc and unseen_auroc (of its presence; NaN where there is no such
    source) and margin_fall (share of the margin, NaN where nothing was filled).
    """
    outside, lost = _outside(evidence), _lost(evidence)
    both = pd.concat([outside, lost], axis=1)
    worth = both.notna().sum(axis=1).map({0: 0.0, 1: SINGLE, 2: 1.0})
    relied = (evidence["margin_fall"] / RELIED).clip(0, 1).fillna(0)
    score = 0.5 + ((both.mean(axis=1) - 0.5) * worth).fillna(0) * relied
    verdict = np.select([score >= ALARM, score <= CLEARED], [SHORTCUT, CAUSE], UNCLEAR)
    there = zip(outside.notna(), lost.notna(), evidence["margin_fall"].notna(), strict=True)
    named = [" ".join(compress(("maps", "sources", "fill"), kinds)) for kinds in there]
    return pd.DataFrame({"score": score, "verdict": verdict, "evidence": named}, index=evidence.index)


def _outside(evidence: pd.DataFrame) -> pd.Series:
    """Suspicion by maps: the share of salience outside them, with PRIOR regions at one half."""
    n = evidence["n_maps"]
    return 1 - (n * evidence["inside_maps"] + PRIOR / 2) / (n + PRIOR)


def _lost(evidence: pd.DataFrame) -> pd.Series:
    """Suspicion by sources: the share of what presence tells in known sources that is lost in unseen ones."""
    told = evidence["known_auroc"] - 0.5
    kept = (evidence["unseen_auroc"] - 0.5) / told
    return (1 - kept).clip(0, 1).where(evidence["known_auroc"] >= TELLS)
