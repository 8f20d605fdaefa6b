"""The shortcut alarm of one cell: the evidence on each of its concepts, and the verdict.

See `pipeline.explain.suspicion` for how evidence is judged. Lengths and shares are 0..1; `truth` and the two
shares beside it are for judging the alarm on phantoms and reach no verdict. Columns of `alarm.csv`:

    predicted, concept   which concept
    score, verdict       how much it looks like a shortcut; shortcut, cause or unclear
    evidence             the kinds there were: maps, sources, fill
    weight               its part of all that concepts add to the margins of test samples of the class
    inside_maps, n_maps  share of its salience inside human maps, over so many annotated validation regions
    margin_fall          share of the margin that is lost when it is filled, over test samples that show it
    known_auroc, known_auroc_min     how well its presence alone tells the class in known sources: mean, least
    unseen_auroc, unseen_auroc_min   the same in sources never learned from: best, least
    in_causal, in_shortcut, truth    of its salience, in a phantom's exact masks; which of the two is more
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.data.store import TRUTHS, Store
from pipeline.explain import suspicion
from pipeline.measure import scopes
from pipeline.measure.roles import TEST
from pipeline.measure.survey import Survey
from pipeline.model import CamClassifier, fills, inference
from pipeline.score import metrics

CONCEPT = ["predicted", "concept"]
TOLD = ["known_auroc", "known_auroc_min", "unseen_auroc", "unseen_auroc_min"]
TRUTH = ["in_causal", "in_shortcut", "truth"]
COLUMNS = [*CONCEPT, "score", "verdict", "evidence", "weight", "inside_maps", "n_maps", "margin_fall", *TOLD]
LIFT = 2  # how many times its share of the image a concept has in an exact mask if it shows what is there


def alarm_table(
    model: CamClassifier,
    store: Store,
    survey: Survey,
    regions: pd.DataFrame,
    drops: pd.DataFrame,
    batch_size: int,
) -> pd.DataFrame:
    """One row per concept; see the module's head. One more forward per sample.

    `regions` are the survey's with their concepts, `drops` what the margin loses without each, as
    `pipeline.measure.identification` finds them.
    """
    samples = survey.samples
    about = samples[["predicted", "role", "row"]].loc[regions["image"]].reset_index(drop=True)
    shown = pd.concat([regions, about], axis=1)
    shown = shown[shown["concept"] > 0]
    learned = shown[shown["role"] == "val"]
    table = learned[CONCEPT].drop_duplicates().sort_values(CONCEPT, ignore_index=True)
    annotated = learned[store.has_map[learned["row"]]]
    known = [
        weights(shown[shown["role"].isin(TEST)]),
        salience_in(annotated, "in_human").rename("inside_maps"),
        annotated.groupby(CONCEPT).size().rename("n_maps"),
        falls(samples, drops),
    ]
    for column in known:
        table = table.join(column, on=CONCEPT)
    table = table.fillna({"weight": 0, "n_maps": 0}).astype({"n_maps": int})
    found = presences(model, store, survey, learned, table, batch_size)
    table[TOLD] = tellings(samples, table["predicted"], found)
    table = table.join(suspicion.judge(table))[COLUMNS]
    masks = {kind: mask for kind in TRUTHS if (mask := store.truth(kind)) is not None}
    if not masks:
        return table.assign(in_causal=np.nan, in_shortcut=np.nan, truth="")
    areas = {kind: fills.peak_regions(mask).mean(axis=(1, 2)) for kind, mask in masks.items()}
    return table.join(truths(shown, areas), on=CONCEPT)


def weights(tested: pd.DataFrame) -> pd.Series:
    """Each concept's share of the importance of all concepts of its class."""
    importance = tested.groupby(CONCEPT)["importance"].sum()
    return (importance / importance.groupby("predicted").transform("sum")).rename("weight")


def salience_in(shown: pd.DataFrame, column: str) -> pd.Series:
    """The share of each concept's salience in a kind of mask; `column` holds that of each region."""
    parts = shown[CONCEPT].assign(inside=shown[column] * shown["importance"], whole=shown["importance"])
    sums = parts.groupby(CONCEPT).sum()
    return (sums["inside"] / sums["whole"]).rename(column)


def falls(samples: pd.DataFrame, drops: pd.DataFrame) -> pd.Series:
    """The share of their margins that samples lose with a concept which they show."""
    lost = drops.assign(margin=samples["margin"].loc[drops["image"]].to_numpy())
    lost["predicted"] = samples["predicted"].loc[drops["image"]].to_numpy()
    sums = lost.groupby(CONCEPT)[["drop", "margin"]].sum()
    return (sums["drop"] / sums["margin"]).rename("margin_fall")


def truths(shown: pd.DataFrame, areas: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """What phantoms' concepts really are: TRUTH by concept.

    `areas` have each store row's share of exact mask, by kind. Blank for class 0, which no cause speaks for,
    and where a concept meets neither mask LIFT times as much as anything of its size would.
    """
    met = {kind: salience_in(shown, f"in_{kind}") for kind in TRUTHS}
    chance = {kind: salience_in(shown.assign(area=areas[kind][shown["row"]]), "area") for kind in TRUTHS}
    clear = np.logical_or.reduce([met[kind] > LIFT * chance[kind] for kind in TRUTHS])
    more = np.where(met["shortcut"] > met["causal"], suspicion.SHORTCUT, suspicion.CAUSE)
    known = clear & (met["causal"].index.get_level_values("predicted") == 1)
    return pd.concat(met.values(), axis=1).assign(truth=np.where(known, more, ""))


def presences(
    model: CamClassifier,
    store: Store,
    survey: Survey,
    learned: pd.DataFrame,
    concepts: pd.DataFrame,
    batch_size: int,
) -> np.ndarray:
    """How clearly each sample shows each of `concepts`, (N, concepts); `learned` are their regions."""
    weight = model.head.weight.detach().float().cpu().numpy()
    shares = survey.patterns[learned.index, : weight.shape[1]]
    directions = pd.DataFrame(shares).groupby([learned[name].to_numpy() for name in CONCEPT]).mean()
    classes, rows = concepts["predicted"].to_numpy(), survey.samples["row"].to_numpy()
    found, start = np.empty((len(rows), len(classes))), 0
    for outputs in inference.look(model, store.images, rows, batch_size):
        toward = outputs.features.float().cpu().numpy() * (weight[1] - weight[0])[:, None, None]
        stop = start + len(toward)
        for predicted in np.unique(classes):
            own = directions.loc[[predicted]].to_numpy()
            found[start:stop, classes == predicted] = suspicion.presence((2 * predicted - 1) * toward, own)
        start = stop
    return found


def tellings(samples: pd.DataFrame, classes: pd.Series, found: np.ndarray) -> np.ndarray:
    """AUROC of each concept's presence for its class, (concepts, 4) as TOLD; NaN without such sources.

    `classes` are those that the concepts speak for, `found` (N, concepts) how clearly samples show them.
    """
    known = samples[samples["role"] != "test_open"].assign(role="test_open")  # each source as if unseen
    groups = [list(scopes.held_out_groups(part).values()) for part in (known, samples)]
    rows = np.full((len(classes), len(TOLD)), np.nan)
    for concept, predicted in enumerate(classes):
        in_known, in_unseen = (
            [metrics.auroc((g["label"] == predicted).to_numpy(), found[g.index, concept]) for g in part]
            for part in groups
        )
        if in_known:
            rows[concept, :2] = np.mean(in_known), np.min(in_known)
        if in_unseen:
            rows[concept, 2:] = np.max(in_unseen), np.min(in_unseen)
    return rows
