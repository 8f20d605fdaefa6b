"""What is claimed of attacks and defences, and whether it holds here: a line each, with its numbers.

Judged by t intervals of differences that are paired by seed: a claim holds where the interval lies above 0,
does not hold where it lies below, and cannot be told where 0 is inside. Claims are about kinds of settings,
whatever the methods that have them are called. Values are those of one data set and backbone.
"""

from collections.abc import Iterator

import pandas as pd

from pipeline.present.attack_rows import AREA_DIGITS, BASES
from pipeline.score.stats import Interval, t_interval
from pipeline.present.comparisons import Grid
from pipeline.present.tables import signed_estimate

COUNTERPARTS = {"difference_salience": "cam", "diff_grad_cam": "grad_cam"}  # both classes -> one class
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
Gains = dict[tuple[str, str], Interval]  # (what is compared, in what) -> the paired difference


def judged(
    claim: str, gains: Gains, words: tuple[str, str] = ("holds", "does not hold"), digits: int = 3
) -> str:
    """The claim with a verdict on each difference; blank where there is none.

    >>> judged("It helps", {("a − b", "cam"): Interval(0.2, 0.1, 0.3)})
    'It helps: holds (interval above 0) in 1 of 1: a − b (cam +0.200 ± 0.100).'
    """
    known = {about: gain for about, gain in gains.items() if gain.value == gain.value}
    verdicts = (f"{words[0]} (interval above 0)", "cannot be told from 0", f"{words[1]} (interval below 0)",
                "has one seed and no interval")  # fmt: skip
    said: list[str] = []
    for verdict, text in enumerate(verdicts):
        mine = {about: gain for about, gain in known.items() if _verdict(gain) == verdict}
        if mine:
            share = f"{len(mine)} of {len(known)}" if not said else str(len(mine))
            said.append(f"{text} in {share}: {', '.join(_listed(mine, digits))}")
    return f"{claim}: {'; '.join(said)}." if said else ""


def _verdict(gain: Interval) -> int:
    """Its place among the verdicts."""
    if gain.low != gain.low:
        return 3
    return 0 if gain.low > 0 else 2 if gain.high < 0 else 1


def _listed(gains: Gains, digits: int) -> Iterator[str]:
    """`a − b (cam +0.1, gradient +0.2)`; without brackets where there is no `in what`."""
    for compared in dict.fromkeys(compared for compared, _ in gains):
        inner = [
            f"{what} {signed_estimate(*gain, digits)}".strip()
            for (other, what), gain in gains.items()
            if other == compared
        ]
        alone = (compared, "") in gains
        yield f"{compared} {inner[0]}" if alone else f"{compared} ({', '.join(inner)})"


def paired_gain(values: pd.DataFrame, method: str, other: str, grid: Grid) -> Interval:
    """A method's values minus another's, per seed the mean over all that both have."""
    keys = ["seed", "explanation", "metric", "budget"]
    filled = values.fillna({"budget": -1.0}).set_index(keys)  # blanks would not meet in an index
    mine, theirs = (filled.loc[filled["method"] == name, "value"] for name in (method, other))
    gains = (mine - theirs).dropna().groupby("seed").mean().round(12)  # rounding errors are no gains
    return t_interval(gains.to_numpy(), grid.confidence)


def two_classes_stay(values: pd.DataFrame, grid: Grid) -> str:
    """Under one hoax: are maps of both classes nearer to the clean map than those of one class?"""
    mine = values[values["metric"] == SIMILAR]
    wide = mine.pivot_table(index=["method", "seed"], columns="explanation", values="value", sort=False)
    gains: Gains = {}
    for both, single in COUNTERPARTS.items():
        if {both, single} <= set(wide):
            about = f"{both} − {single}".replace("_", " ")
            nearer = (wide[both] - wide[single]).dropna().groupby(level="method", sort=False)
            gains |= {(about, str(m)): t_interval(gain.to_numpy(), grid.confidence) for m, gain in nearer}
    return judged("Maps of both classes stay nearer to the clean map than maps of one class (Pearson)", gains)


def explanations_hold(values: pd.DataFrame, methods: pd.DataFrame, grid: Grid) -> str:
    """Under one manipulation: does more of each setting leave maps more similar than the least of it?"""
    mine = values[values["metric"] == "ssim_clean"]
    present = methods[methods.index.isin(mine["method"])]
    said = []
    for setting, change in HARDENS.items():
        gains = {
            (f"{method} − {weakest}", str(explanation).replace("_", " ")): paired_gain(
                part, method, weakest, grid
            )
            for method, weakest in _stronger(present, setting)
            for explanation, part in mine.groupby("explanation", sort=False)
        }
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
            part = _telling(under, metric)
            gained, kept = (
                {(f"{one} − {other}", ""): paired_gain(part, one, other, grid) for one, other in pairs}
                for pairs in _with_and_without(methods, kind, grid)
            )
            name, digits = kind.replace("_", " "), _digits(metric)
            said.append(judged(f"{attack}: {name} raises {MEASURES[metric]}", gained, digits=digits))
            lost = f"{attack}: {name} gains less from maps that are not the image's own"
            said.append(judged(lost, kept, digits=digits))
    return "\n".join(sentence for sentence in said if sentence)


def _with_and_without(
    methods: pd.DataFrame, kind: str, grid: Grid
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs of methods: with a regulariser and without, and with it and the maps' control of that."""
    users = methods[[kind in names.split() for names in methods["regularisers"]]]
    gained: list[tuple[str, str]] = []
    kept: list[tuple[str, str]] = []
    for method, *bases in users[list(BASES)].itertuples(name=None):
        if method in grid.controls:
            kept += [(other, method) for other in bases if other in {*users.index} - grid.controls]
        else:
            gained += [(method, other) for other in dict.fromkeys(bases) if other not in users.index]
    return gained, kept


def guidance_helps(values: pd.DataFrame, reference: str, grid: Grid) -> str:
    """Methods against the one without guidance, by each measure of each attack."""
    said = []
    for attack, under in values.groupby("attack", sort=False):
        for metric, words in MEASURES.items():
            part = _telling(under, metric)
            others = [name for name in part["method"].unique() if name != reference]
            gains = {(name, ""): paired_gain(part, name, reference, grid) for name in others}
            claim = f"{attack}: {words} against {reference}"
            said.append(judged(claim, gains, ("helped", "hurt"), _digits(metric)))
    return "\n".join(sentence for sentence in said if sentence)


def _telling(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The values that a measure is the mean of."""
    values = values[values["metric"] == metric]
    return values[values["budget"].between(0, SMALL, inclusive="neither") | values["budget"].isna()]


def _digits(metric: str) -> int:
    return AREA_DIGITS if metric == "ara_attack" else 3
