"""What a model still tells apart when a part of every image is taken away, or only that part is left.

Terms after ERASER (DeYoung et al., ACL 2020). `without` a region asks how comprehensive it is: AUROC after it
was filled in every image; `only` asks whether it suffices: AUROC after all else was filled. `as_is` is the
AUROC of the same images, untouched.

    human               where a positive's map has at least 0.3 of its peak; negatives borrow a positive's
    cause, shortcut     phantoms: the exact mask, widened by 4 % of the side, on the closed test, where `twin`
                        shows what the fill itself does; who has none borrows one

so that the shape of a region never tells the class. What is borrowed is drawn by sample, within a role: every
model sees the same changed images. Fills:

    blur    the image itself, widely blurred
    swap    the pixels of another negative, for both classes alike
    twin    phantoms: the image drawn again without its cause, or without its shortcut
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.data.store import Store
from pipeline.measure import scopes
from pipeline.measure.roles import ROLES
from pipeline.model import fills
from pipeline.model.batches import as_floats
from pipeline.score import metrics

Score = Callable[[Tensor], np.ndarray]  # images (n, C, S, S) in [0, 1], on the CPU -> logit differences (n,)

SEED = 0  # of who borrows whose region and pixels: the same for every model
CPU = torch.device("cpu")
EXACT = ("test_closed",)  # roles whose exact masks are filled: elsewhere their twins say more
TWINS = ("cause", "shortcut")
KIND = ["region", "fill", "test"]
COLUMNS = ["role", "source", *KIND, "auroc", "change", "n_negative", "n_positive", "n_annotated"]


class Region(NamedTuple):
    """One kind of region of all images of a store."""

    name: str
    masks: np.ndarray  # uint8 (N, S, S): maps, or exact masks
    cut: Callable[[np.ndarray], np.ndarray]  # some of these -> bool (n, S, S)
    owners: np.ndarray  # bool (N,): who has one
    borrowers: np.ndarray  # bool (N,): who is given another one's; who is neither is left out
    roles: tuple[str, ...]  # where it is filled


def regions(store: Store) -> dict[str, Region]:
    """The kinds of region that a store has, by name."""
    positive = store.labels == 1
    own = store.has_map & positive
    found = {"human": Region("human", store.maps, fills.peak_regions, own, ~positive, ROLES)}
    for name, truth in (("cause", "causal"), ("shortcut", "shortcut")):
        masks = store.truth(truth)
        if masks is not None:
            shown = np.asarray(masks.any(axis=(1, 2)))
            found[name] = Region(name, masks, fills.dilated, shown, ~shown, EXACT)
    return found


def lent(store: Store, samples: pd.DataFrame, region: Region) -> pd.DataFrame:
    """The samples of one role that have a region or borrow one.

    samples: all of the role, as `roles.measured` gives them. Added: `lender`, the row of whose region, and
    `other`, the row of whose pixels a swap puts in.
    """
    rows, ids = samples["row"].to_numpy(), list(samples["sample_id"])
    others = rows[fills.substitutes(store.labels[rows], ids, SEED)]
    lenders = fills.lenders(np.where(region.borrowers[rows], 0, 1), region.owners[rows], ids, SEED)
    return samples.assign(lender=rows[lenders], other=others)[lenders >= 0]


def altered(store: Store, tested: pd.DataFrame, region: Region) -> dict[tuple[str, str], Tensor]:
    """Images without their region, and only with it: (fill, test) -> float32 (n, C, S, S) in [0, 1].

    tested: rows of what `lent` gives.
    """
    masks = torch.from_numpy(region.cut(region.masks[tested["lender"]]))
    images, others = (as_floats(store.images[tested[column]], CPU) for column in ("row", "other"))
    fillings = {"blur": fills.blurred(images), "swap": others}
    parts = {"without": masks, "only": ~masks}
    return {
        (fill, test): fills.fill(images, filling, part)
        for fill, filling in fillings.items()
        for test, part in parts.items()
    }


def answers(score: Score, store: Store, scores: pd.DataFrame, batch_size: int) -> pd.DataFrame:
    """A model's answer to every test of every sample.

    scores: validation and test samples as `roles.measured` gives them, with the model's logit_difference for
    the image as it is. Gives their columns with the answer as logit_difference, and: KIND; as_is, the
    untouched image's answer; own, whether what is taken away is the sample's own.
    """
    parts = [scores.iloc[:0].assign(**dict.fromkeys(KIND, ""), as_is=0.0, own=False, lender=0)]
    for role in ROLES:
        samples = scores[scores["role"] == role]
        for region in regions(store).values():
            if role in region.roles:
                tested = lent(store, samples, region)
                own = (tested["lender"] == tested["row"]).to_numpy()
                for kind, answer in _filled(score, store, tested, region, batch_size).items():
                    parts.append(_answered(tested, (region.name, *kind), answer, own))
        parts += _twins(score, store, samples, batch_size)
    found = pd.concat(parts, ignore_index=True)
    untouched = found[found["test"] == "without"].assign(test="as_is")
    return pd.concat([untouched.assign(logit_difference=untouched["as_is"]), found], ignore_index=True)


def _filled(
    score: Score, store: Store, tested: pd.DataFrame, region: Region, batch_size: int
) -> dict[tuple[str, str], np.ndarray]:
    """Answers to what `altered` makes of all tested samples, batch by batch."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for start in range(0, len(tested), batch_size):
        for kind, images in altered(store, tested.iloc[start : start + batch_size], region).items():
            found.setdefault(kind, []).append(score(images))
    return {kind: np.concatenate(parts) for kind, parts in found.items()}


def _twins(score: Score, store: Store, samples: pd.DataFrame, batch_size: int) -> Iterator[pd.DataFrame]:
    """Answers to the images drawn again without their cause, and without their shortcut."""
    for name in TWINS:
        twins = store.twin(name)
        if twins is not None and len(samples):
            own = regions(store)[name].owners[samples["row"]]
            answer = samples["logit_difference"].to_numpy().copy()
            images = as_floats(twins[samples["row"][own]], CPU)
            answer[own] = np.concatenate([score(part) for part in images.split(batch_size)])
            yield _answered(samples, (name, "twin", "without"), answer, own)


def _answered(
    samples: pd.DataFrame, kind: tuple[str, str, str], answer: np.ndarray, own: np.ndarray
) -> pd.DataFrame:
    as_is = samples["logit_difference"]
    named = dict(zip(KIND, kind, strict=True))
    return samples.assign(**named, as_is=as_is, logit_difference=answer, own=own)


def counterfactual_table(given: pd.DataFrame) -> pd.DataFrame:
    """What `answers` says, by role, unseen source and test; columns as COLUMNS.

    change: mean over positives of what the test does to the logit difference; n_annotated: samples from which
    something of their own is taken away.
    """
    rows = [
        (role, source, *kind, *_summary(group))
        for kind, part in given.groupby(KIND, sort=False)
        for (role, source), group in _groups(part).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _groups(part: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Samples by role, and unseen ones by source with the negatives that they are told from."""
    known = {(role, ""): part[part["role"] == role] for role in ("val", "test_closed")}
    unseen = {("test_open", source): group for source, group in scopes.held_out_groups(part).items()}
    return {place: group for place, group in {**known, **unseen}.items() if len(group)}


def _summary(group: pd.DataFrame) -> tuple[float, float, int, int, int]:
    labels, answer = group["label"].to_numpy(), group["logit_difference"].to_numpy()
    positive = labels == 1
    change = (answer - group["as_is"].to_numpy())[positive].mean() if positive.any() else np.nan
    counts = int((~positive).sum()), int(positive.sum()), int(group["own"].sum())
    return metrics.auroc(labels, answer), float(change), *counts
