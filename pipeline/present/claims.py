"""What is claimed of attacks and defences, and whether it holds here: a line each, with its numbers.

Judged by t intervals of differences that are paired by seed: a claim holds where the interval lies above 0,
does not hold where it lies below, and cannot be told where 0 is inside. Claims are about kinds of settings,
whatever the methods that have them are called. Values are those of one data set and backbone.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from pipeline.common import catalogue
from pipeline.present.comparisons import compare
from pipeline.present.results import Grid
from pipeline.present.tables import difference_texts

EXPLANATIONS = "explain/explanations"
SIMILAR = "pearson_clean"  # what is left of a clean map
HARDENS = {  # column of `variants` -> the change of it that shall hold explanations
    "weight_decay": "More weight decay",
    "beta": "A softplus, or one of smaller beta,",
    "hessian_weight": "A Hessian term, or more of it,",
}
RAISES = {"lipschitz": "ara_attack", "saliency_adversarial": "accuracy_linf"}  # regulariser -> metric
SMALL = 4.5 / 255  # budgets below are small: up to 4 grey levels
MEASURES = {
    "ara_attack": "ARA",
    "accuracy_linf": "accuracy under PGD (L∞, mean over budgets up to 4/255)",
    SIMILAR: "Pearson to the clean map (mean over the explanations above)",
}
DIGITS = {"ara_attack": 4}  # areas are small; all else has 3
KEYS = ("explanation", "metric", "budget")
VERDICTS = (
    "{} (interval above 0)",
    "cannot be told from 0",
    "{} (interval below 0)",
    "has one seed and no interval",
)


def judged(claim: str, gains: pd.DataFrame, words: tuple[str, str] = ("holds", "does not hold")) -> str:
    """The claim with a verdict on each difference; blank where there is none.

    `gains` are rows of `compare` with `what` (is compared) and `where` (in which part, blank if in all).

    >>> gain = {"what": "a − b", "where": "cam", "value": 0.2, "low": 0.1, "high": 0.3}
    >>> judged("It helps", pd.DataFrame([gain]))
    'It helps: holds (interval above 0) in 1 of 1: a − b (cam +0.200 ± 0.100).'
    """
    said: list[str] = []
    found = gains.assign(text=difference_texts(gains), verdict=_verdicts(gains))
    for place, verdict in enumerate(VERDICTS):
        mine = found[found["verdict"] == place]
        if mine.empty:
            continue
        text = verdict.format(words[0] if place == 0 else words[1])
        share = f"{len(mine)} of {len(found)}" if not said else str(len(mine))
        said.append(f"{text} in {share}: {', '.join(_listed(mine))}")
    return f"{claim}: {'; '.join(said)}." if said else ""


def _verdicts(gains: pd.DataFrame) -> np.ndarray:
    """The place of each one's verdict among VERDICTS."""
    return np.select([gains["low"].isna(), gains["low"] > 0, gains["high"] < 0], [3, 0, 2], 1)


def _listed(gains: pd.DataFrame) -> Iterator[str]:
    """`a − b (cam +0.1, gradient +0.2)`; without brackets where there is no `where`."""
    for what, rows in gains.groupby("what", sort=False):
        inner = ", ".join(f"{where} {text}".strip() for where, text in rows[["where", "text"]].to_numpy())
        yield f"{what} ({inner})" if rows["where"].iloc[0] else f"{what} {inner}"


def mean_gains(
    values: pd.DataFrame, pairs: Iterable[tuple[str, str]], confidence: float, by: Sequence[str] = ()
) -> pd.DataFrame:
    """`compare` of the mean over all explanations, metrics and budgets that are not in `by`."""
    return compare(values, by, pairs, confidence, over=[key for key in KEYS if key not in by])


def two_classes_stay(values: pd.DataFrame, confidence: float) -> str:
    """Under one hoax: are maps of both classes nearer to the clean map than those of one class?"""
    mine = values[values["metric"] == SIMILAR]
    pairs = [(name, catalogue.declared(EXPLANATIONS, name, "PAIR")) for name in mine["explanation"].unique()]
    roles = {"method": "explanation", "explanation": "method"}  # what is compared, and within which
    gains = compare(mine.rename(columns=roles), ["explanation"], [p for p in pairs if p[1]], confidence)
    what = (gains["method"] + " − " + gains["other"]).str.replace("_", " ")
    gains = gains.assign(what=what, where=gains["explanation"])
    return judged("Maps of both classes stay nearer to the clean map than maps of one class (Pearson)", gains)


def explanations_hold(values: pd.DataFrame, methods: pd.DataFrame, confidence: float) -> str:
    """Under one manipulation: does more of each setting leave maps more similar than the least of it?"""
    mine = values[values["metric"] == "ssim_clean"]
    present = methods[methods.index.isin(mine["method"])]
    said = []
    for setting, change in HARDENS.items():
        gains = mean_gains(mine, _stronger(present, setting), confidence, by=["explanation"])
        where = gains["explanation"].str.replace("_", " ")
        gains = gains.assign(what=gains["method"] + " − " + gains["other"], where=where)
        said.append(judged(f"{change} raises the similarity to the original map (SSIM)", gains))
    return "\n".join(sentence for sentence in said if sentence)


def _stronger(methods: pd.DataFrame, setting: str) -> Iterator[tuple[str, str]]:
    """(a method, the one that has least of the setting and is the same otherwise)."""
    known = methods[methods[setting].notna()]
    for _, family in known.groupby(f"but_{setting}", sort=False):
        strength = -family[setting] if setting == "beta" else family[setting]
        weakest = str(strength.idxmin())
        yield from ((str(name), weakest) for name in strength.index[strength > strength.min()])


def decisions_hold(values: pd.DataFrame, methods: pd.DataFrame, grid: Grid) -> str:
    """Does each regulariser raise what it is there for, and does it need the images' own maps for that?"""
    said = []
    for attack, under in values.groupby("attack", sort=False):
        for kind, metric in RAISES.items():
            name = kind.replace("_", " ")
            raised = f"{name} raises {MEASURES[metric]}"
            claims = (raised, f"{name} gains less from maps that are not the image's own")
            for claim, pairs in zip(claims, _with_and_without(methods, kind, grid), strict=True):
                gains = mean_gains(_telling(under, metric), pairs, grid.confidence)
                what = gains["method"] + " − " + gains["other"]
                gains = gains.assign(what=what, where="", digits=DIGITS.get(metric, 3))
                said.append(judged(f"{attack}: {claim}", gains))
    return "\n".join(sentence for sentence in said if sentence)


def _with_and_without(
    methods: pd.DataFrame, kind: str, grid: Grid
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs of methods: with a regulariser and without, and with it and the maps' control of that."""
    users = methods[[kind in names.split() for names in methods["regularisers"]]]
    gained: list[tuple[str, str]] = []
    kept: list[tuple[str, str]] = []
    for method, *bases in users[["nearest", "base"]].itertuples(name=None):
        if method in grid.controls:
            kept += [(other, method) for other in bases if other in {*users.index} - grid.controls]
        else:
            gained += [(method, other) for other in dict.fromkeys(bases) if other not in users.index]
    return gained, kept


def guidance_helps(values: pd.DataFrame, reference: str, confidence: float) -> str:
    """Methods against the one without guidance, by each measure of each attack."""
    said = []
    for attack, under in values.groupby("attack", sort=False):
        for metric, words in MEASURES.items():
            part = _telling(under, metric)
            pairs = [(name, reference) for name in part["method"].unique() if name != reference]
            gains = mean_gains(part, pairs, confidence)
            gains = gains.assign(what=gains["method"], where="", digits=DIGITS.get(metric, 3))
            said.append(judged(f"{attack}: {words} against {reference}", gains, ("helped", "hurt")))
    return "\n".join(sentence for sentence in said if sentence)


def _telling(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The values that a measure is the mean of."""
    values = values[values["metric"] == metric]
    return values[values["budget"].between(0, SMALL, inclusive="neither") | values["budget"].isna()]
