"""Errors at the threshold, in the words of each task: ISO's for presentation attacks, else the clinic's.

Both tables say the same of a decision: sensitivity is 1 - APCER over all kinds of positives, specificity is
1 - BPCER.
"""

import numpy as np
import pandas as pd

from pipeline.measure import scopes
from pipeline.present.comparisons import summarise
from pipeline.present.results import PLACE, Grid
from pipeline.present.tables import Table, panels, rests_on
from pipeline.score.metrics import METRICS, apcer_at_bpcer

ATTACKS = "_pad"  # how tasks of presentation attack detection end
SCOPES = {"closed": "closed test set", "macro": "mean over held-out sources"}
ARROWS = {"higher": "↑", "lower": "↓"}
BY = ["scope", "source", "metric"]
SPECIFICITY = 0.95  # at which sensitivity is given too
DETECTION = {  # columns of the table for tasks that are no attacks; all but ECE are better when higher
    "sensitivity": "sensitivity ↑",
    "specificity": "specificity ↑",
    "sensitivity_at_specificity": f"sensitivity at {SPECIFICITY:.0%} specificity ↑",
    "worst_sensitivity": "sensitivity, worst kind ↑",
    "ppv": "PPV ↑",
    "npv": "NPV ↑",
    "accuracy": "accuracy ↑",
    "ap": "AP ↑",
    "ece": "ECE ↓",
}


def tables(metrics: pd.DataFrame, scores: pd.DataFrame, grid: Grid, prevalence: float) -> list[Table]:
    """The table of presentation attacks and that of other tasks, where there are such data sets.

    metrics, scores: rows of `metrics.csv` and `scores.csv` of all cells; prevalence: of label 1, at which
    predictive values are given.
    """
    attacks = [name for name, note in grid.datasets.items() if note.task.endswith(ATTACKS)]
    of_attacks, of_others = (metrics[metrics["dataset"].isin(attacks) == each] for each in (True, False))
    found = [_attack_errors(of_attacks, grid)] if len(of_attacks) else []
    if len(of_others):
        scored = scores[~scores["dataset"].isin(attacks)]
        found.append(_detection_errors(of_others, scored, grid, prevalence))
    return found


def _attack_errors(metrics: pd.DataFrame, grid: Grid) -> Table:
    tidy = summarise(metrics[~metrics["metric"].str.startswith("auroc")], BY, grid)
    titles = {
        name: f"{about.title} {ARROWS[about.better]}"
        for name, about in METRICS.items()
        if about.table == "attack_errors"
    }
    caption = (
        "Errors at the threshold fitted on validation, after ISO/IEC 30107-3; ↑ higher, ↓ lower is better. "
        "APCER: share of attacks (label 1) taken for bona fide, max: of the worst attack type; BPCER: share "
        "of bona fide (label 0) taken for attacks; ACER max: mean of APCER max and BPCER, given for "
        "comparison only; BPCER10, 20, 100: BPCER where APCER is 10, 5, 1 %; ECE: expected calibration "
        f"error. {rests_on(grid, 'evaluate')}"
    )
    return _table("attack_errors", "Attack-detection errors", caption, tidy, titles, grid)


def _detection_errors(metrics: pd.DataFrame, scores: pd.DataFrame, grid: Grid, prevalence: float) -> Table:
    found = pd.concat([_rates(metrics, prevalence), _at_specificity(scores)], ignore_index=True)
    caption = (
        "Decisions at the threshold fitted on validation. Sensitivity: share of label 1 that is found, worst "
        "kind: of the kind that is found least; specificity: share of label 0 that is left alone; PPV and "
        f"NPV: positive and negative predictive value where {prevalence:.0%} of images have label 1; AP: "
        f"average precision; ECE: expected calibration error. {rests_on(grid, 'evaluate')}"
    )
    tidy = summarise(found, BY, grid)
    return _table("detection_errors", "Detection errors", caption, tidy, DETECTION, grid)


def _table(
    name: str, title: str, caption: str, tidy: pd.DataFrame, titles: dict[str, str], grid: Grid
) -> Table:
    shown = tidy.assign(column=tidy["metric"].map(titles)).dropna(subset="column")
    found = [
        panel
        for scope, about in SCOPES.items()
        for panel in panels(shown[shown["scope"] == scope], grid, f", {about}", titles.values())
    ]
    return Table(name, title, caption, tidy, found)


def _rates(metrics: pd.DataFrame, prevalence: float) -> pd.DataFrame:
    """What follows from the recorded rates of each unit: PLACE, BY, value."""
    at = [*PLACE, "scope", "source"]
    wide = metrics.pivot_table(index=at, columns="metric", values="value", sort=False, dropna=False)
    found = pd.DataFrame(
        {
            "sensitivity": 1 - wide["apcer_pooled"],
            "specificity": 1 - wide["bpcer"],
            "worst_sensitivity": 1 - wide["apcer_max"],
            **{name: wide[name] for name in ("accuracy", "ap", "ece")},
        }
    )
    found["ppv"], found["npv"] = predictive_values(found["sensitivity"], found["specificity"], prevalence)
    return found.dropna(how="all").reset_index().melt(at, var_name="metric")


def predictive_values(
    sensitivity: pd.Series, specificity: pd.Series, prevalence: float
) -> tuple[pd.Series, pd.Series]:
    """PPV and NPV by Bayes' rule, NaN where nothing is called so.

    >>> ppv, npv = predictive_values(pd.Series([0.9]), pd.Series([0.8]), 0.1)
    >>> print(round(ppv[0], 4), round(npv[0], 4))
    0.3333 0.9863
    """
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    left, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return true / (true + false).replace(0, np.nan), left / (left + missed).replace(0, np.nan)


def _at_specificity(scores: pd.DataFrame) -> pd.DataFrame:
    """Sensitivity of each unit where 1 - SPECIFICITY of label 0 are called positive: PLACE, BY, value."""
    rows = []
    for place, own in scores.groupby(PLACE, sort=False):
        unseen = {source: _sensitivity(part) for source, part in scopes.held_out_groups(own).items()}
        rows.append([*place, "closed", "", _sensitivity(own[own["role"] == "test_closed"])])
        rows += [[*place, "held_out", source, value] for source, value in unseen.items()]
        if unseen:
            rows.append([*place, "macro", "", np.mean(list(unseen.values()))])
    found = pd.DataFrame(rows, columns=[*PLACE, "scope", "source", "value"])
    return found.assign(metric="sensitivity_at_specificity")


def _sensitivity(images: pd.DataFrame) -> float:
    labels, differences = (images[name].to_numpy() for name in ("label", "logit_difference"))
    kinds = np.zeros(len(images))  # all positives are one kind
    return 1 - apcer_at_bpcer(labels, differences, kinds, 1 - SPECIFICITY)
