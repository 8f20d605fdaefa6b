"""Which samples are compared: those of known sources, of each unseen source, and means over unseen sources.

closed      the closed test, known sources
held_out    one unseen source with positives
macro       the equal-weight mean over the unseen sources
familiar    the mean over those whose causes some known source has too, `novel` over the others; both exist
            where the protocol names novel sources
"""

from collections.abc import Iterable, Sequence

import pandas as pd


def held_out_groups(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """For each unseen source with positives: these, and the negatives that they are told from.

    Its own negatives if it has some, else those of all unseen sources, else the known sources' test
    negatives.
    """
    unseen = scores[scores["role"] == "test_open"]
    known_negatives = scores[(scores["role"] == "test_closed") & (scores["label"] == 0)]
    negatives = unseen[unseen["label"] == 0]
    others = negatives if len(negatives) else known_negatives
    groups = {}
    for source, own in unseen.groupby("source"):
        if (own["label"] == 1).any():
            groups[str(source)] = own if (own["label"] == 0).any() else pd.concat([own, others])
    return groups


def means(sources: Iterable[str], novel: Sequence[str]) -> dict[str, list[str]]:
    """The scopes that are means, each with its unseen sources; none is empty.

    >>> means(["x", "y"], []), means(["x", "y"], ["y"])
    ({'macro': ['x', 'y']}, {'macro': ['x', 'y'], 'familiar': ['x'], 'novel': ['y']})
    """
    every = list(sources)
    parts = {"macro": every}
    if novel:
        parts["familiar"] = [source for source in every if source not in novel]
        parts["novel"] = [source for source in every if source in novel]
    return {scope: part for scope, part in parts.items() if part}
