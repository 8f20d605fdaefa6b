"""What is claimed of attacks and defences, and whether it holds here: a line each, with its numbers.

Judged by differences that are paired by unit: a claim holds where the interval lies above 0 and p, adjusted
by Holm over all that the claim compares, is small; it does not hold where that is so below 0; else, and
always of too few units, it cannot be told. Claims are about kinds of settings, whatever the methods that have
them are called. Values are those of one data set and backbone.
"""

from collections.abc import Iterable, Iterator

import pandas as pd

from pipeline.common import catalogue
from pipeline.present.comparisons import compare, verdicts
from pipeline.present.results import Grid
from pipeline.present.tables import difference_texts
from pipeline.present.variants import to_bases
from pipeline.score.stats import FEWEST

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
VERDICTS = {  # of `verdicts` -> as a sentence has it
    "higher": "{better} (above 0)",
    "unclear": "cannot be told from 0",
    "lower": "{worse} (below 0)",
    "few": f"no verdict (fewer than {FEWEST} units)",
}


def judged(
    claim: str, gains: pd.DataFrame, confidence: float, better: str = "holds", worse: str = "does not hold"
) -> str:
    """The claim with a verdict on each difference; blank where there is none.

    `gains` are rows of `compare` with `what` (is compared) and `where` (in which part, blank if in all).

    >>> gain = {"what": "a − b", "where": "cam", "value": 0.2, "low": 0.1, "high": 0.3, "adjusted": 0.03}
    >>> judged("It helps", pd.DataFrame([gain]), 0.95)
    'It helps: holds (above 0) in 1 of 1: a − b (cam +0.200 ± 0.100).'
    """
    found = gains.assign(text=difference_texts(gains), verdict=verdicts(gains, confidence))
    groups = {verdict: found[found["verdict"] == verdict] for verdict in VERDICTS}
    said: list[str] = []
    for verdict, mine in groups.items():
        if len(mine):
            text = VERDICTS[verdict].format(better=better, worse=worse)
            share = f"{len(mine)}" if said else f"{len(mine)} of {len(found)}"
            said.append(f"{text} in {share}: {', '.join(_listed(mine))}")
    return f"{claim}: {'; '.join(said)}." if said else ""


def _listed(gains: pd.DataFrame) -> Iterator[str]:
    """`a − b (cam +0.1, gradient +0.2)`; without brackets where there is no `where`."""
    for what, rows in gains.groupby("what", sort=False):
        inner = ", ".join(f"{where} {text}".strip() for where, text in rows[["where", "text"]].to_numpy())
        yield f"{what} ({inner})" if rows["where"].iloc[0] else f"{what} {inner}"


def two_classes_stay(values: pd.DataFrame, confidence: float) -> str:
    """Under one hoax: are maps of both classes nearer to the clean map than those of one class?"""
    mine = values[values["metric"] == SIMILAR]
    pairs = [(name, catalogue.declared(EXPLANATIONS, name, "PAIR")) for name in mine["explanation"].unique()]
    roles = {"method": "explanation", "explanation": "method"}  # what is compared, and within which
    named = mine.rename(columns=roles)
    gains = compare(named, ["explanation"], [p for p in pairs if p[1]], confidence, family=())
    what = (gains["method"] + " − " + gains["other"]).str.replace("_", " ")
    gains = gains.assign(what=what, where=gains["explanation"])
    claim = "Maps of both classes stay nearer to the clean map than maps of one class (Pearson)"
    return judged(claim, gains, confidence)


def explanations_hold(values: pd.DataFrame, methods: pd.DataFrame, confidence: float) -> str:
    """Under one manipulation: does more of each setting leave maps more similar than the least of it?"""
    mine = values[values["metric"] == "ssim_clean"]
    present = methods[methods.index.isin(mine["method"])]
    said = []
    for setting, change in HARDENS.items():
        pairs = _stronger(present, setting)
        gains = compare(mine, ["explanation"], pairs, confidence, over=["budget"], family=())
        where = gains["explanation"].str.replace("_", " ")
        gains = gains.assign(what=gains["method"] + " − " + gains["other"], where=where)
        said.append(judged(f"{change} raises the similarity to the original map (SSIM)", gains, confidence))
    return "\n".join(filter(None, said))


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
                gains = _mean_gains(under, metric, pairs, grid.confidence)
                gains = gains.assign(what=gains["method"] + " − " + gains["other"])
                said.append(judged(f"{attack}: {claim}", gains, grid.confidence))
    return "\n".join(filter(None, said))


def _with_and_without(
    methods: pd.DataFrame, kind: str, grid: Grid
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs of methods: with a regulariser and without, and with it and the maps' control of that."""
    users = methods[[kind in names.split() for names in methods["regularisers"]]]
    pairs = to_bases(users)
    own = {*users.index} - grid.controls
    gained = [(mine, other) for mine, other in pairs if mine in own and other not in users.index]
    return gained, [(other, mine) for mine, other in pairs if mine in grid.controls and other in own]


def guidance_helps(values: pd.DataFrame, reference: str, confidence: float) -> str:
    """Methods against the one without guidance, by each measure of each attack."""
    said = []
    for attack, under in values.groupby("attack", sort=False):
        pairs = [(name, reference) for name in under["method"].unique() if name != reference]
        for metric, words in MEASURES.items():
            gains = _mean_gains(under, metric, pairs, confidence)
            claim = f"{attack}: {words} against {reference}"
            said.append(judged(claim, gains.assign(what=gains["method"]), confidence, "helped", "hurt"))
    return "\n".join(filter(None, said))


def _mean_gains(
    values: pd.DataFrame, metric: str, pairs: Iterable[tuple[str, str]], confidence: float
) -> pd.DataFrame:
    """`compare` of a measure's mean over all explanations and small budgets, with its number of decimals."""
    mine = values[values["metric"] == metric]
    small = mine["budget"].between(0, SMALL, inclusive="neither") | mine["budget"].isna()
    gains = compare(mine[small], [], pairs, confidence, over=["explanation", "budget"], family=())
    return gains.assign(where="", digits=DIGITS.get(metric, 3))
