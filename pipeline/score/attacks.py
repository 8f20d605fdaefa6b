"""The tables of attacks: hoaxed explanations, manipulated inputs, decisions that stand, what guidance does.

All are of test images of known sources. Values come per cell and attack as the stage `robustness` wrote them;
an attack that is planned for a cell and has no record of its present training lowers `n`.
"""

from dataclasses import replace

import pandas as pd

from pipeline.score.attack_rows import (
    AREAS,
    BY,
    EVERY,
    KINDS,
    NORMS,
    by_method,
    collected,
    differences,
    each,
    gained,
    headed,
    labelled,
    numbers,
    of,
)
from pipeline.score.stats import t_interval
from pipeline.score.summaries import GROUP, Grid, compared
from pipeline.score.tables import Panel, Table, about, named, parts, signed_estimate, spread

DECIDED = ("accuracy_before", "accuracy_after", "auroc_before", "auroc_after", "probability_change")
HOAXED = {  # metric -> column; the rest is in the CSV
    "pearson_clean": "Pearson, clean map",
    "ssim_clean": "SSIM, clean map",
    "pearson_target_before": "Pearson, target: before",
    "pearson_target": "Pearson, target: after",
    "ssim_target": "SSIM, target: after",
    "border_before": "border: before",
    "border_after": "border: after",
    "entropy_before": "entropy: before",
    "entropy_after": "entropy: after",
    "cc_before": "CC, human map: before",
    "cc_after": "CC, human map: after",
    "fooling_rate": "fooling rate",
}
COUNTERPARTS = {"difference_salience": "cam", "diff_grad_cam": "grad_cam"}  # both classes -> one class
MANIPULATED = {
    "ssim_clean": "SSIM",
    "pearson_clean": "Pearson",
    "mse_clean": "MSE",
    "pearson_target_before": "Pearson, target: before",
    "pearson_target": "Pearson, target: after",
    "decision_changes": "decisions changed",
    "input_linf": "largest change",
}
PLAIN = "the method with the same loss, the backbone's activation, no regulariser and the usual weight decay"
FLAT = "A flat map has no correlation: it is left out of the mean and counted"
DECIDES = "Decisions are at the threshold of equal errors on validation."
SIMILAR = "pearson_clean"  # what guidance is judged by when explanations are attacked


def tables(values: pd.DataFrame, grid: Grid, methods: pd.DataFrame) -> list[Table]:
    """The tables of the attacks that are planned; none where there are none.

    `values` has GROUP, seed, attack and the columns of values.csv; `methods` is `variants.variants`.
    """
    planned = set(grid.attacks["kind"])
    found = []
    if planned & set(KINDS["hoax"]):
        found.append(hoax(values, grid))
    if planned & set(KINDS["manipulability"]):
        found.append(manipulability(values, grid, methods))
    if planned & set(KINDS["robust_decisions"]):
        found.append(robust_decisions(values, grid, methods))
    if _reference(grid, methods):
        found.append(guidance(values, grid, methods))
    return found


def hoax(values: pd.DataFrame, grid: Grid) -> Table:
    """What explanations show after the weights were changed to make them lie."""
    tidy = collected(values, grid, "hoax")
    flat = of(values, grid, "hoax")["undefined"].sum()
    panels = []
    for dataset, heading, part in parts(tidy, grid):
        for attack, rows in part.groupby("attack", sort=False):
            where = f"{heading}, {attack}"
            decided = rows[rows["explanation"] == ""]
            text = spread(decided.assign(column=decided["metric"]), DECIDED)
            panels.append(Panel(dataset, f"{where}: decisions", named(text, grid), _how(grid, rows)))
            explained = by_method(rows[rows["explanation"] != ""], grid)
            spoken = explained["explanation"].str.replace("_", " ")
            explained = explained.assign(column=explained["metric"].map(HOAXED), explanation=spoken)
            text = spread(explained, HOAXED.values(), by=("method", "explanation"))
            panels.append(Panel(dataset, f"{where}: maps", named(text, grid), _stayed(values, rows, grid)))
    caption = (
        "Explanations of a network whose weights were changed so that they lie: each map of the hoaxed "
        "network against the clean network's map and against the hoax's target, for the class that the clean "
        "network predicts. border: share of a map's energy in the border; entropy in nats; CC: correlation "
        f"with the human map, of annotated images. The CSV has MSE and energy pointing too. {FLAT} "
        f"({flat} values in all). {DECIDES} {_about(grid, KINDS['hoax'])}"
    )
    return Table("hoax", "Explanations under hoax", caption, tidy, panels)


def manipulability(values: pd.DataFrame, grid: Grid, methods: pd.DataFrame) -> Table:
    """How far a small change of the input moves an explanation, against what shall hold it."""
    tidy = collected(values, grid, "manipulability", methods["base"])
    for place, setting in enumerate(("weight_decay", "activation", "beta", "hessian_weight", "base")):
        tidy.insert(len(GROUP) + 1 + place, setting, tidy["method"].map(methods[setting]))
    flat = of(values, grid, "manipulability")["undefined"].sum()
    panels = []
    for dataset, heading, part in parts(tidy, grid):
        for attack, found in part.groupby("attack", sort=False):
            note = _how(grid, found)
            for explanation, rows in found.groupby("explanation", sort=False):
                where = f"{heading}, {attack}: {str(explanation).replace('_', ' ')}"
                panels.append(Panel(dataset, where, named(_manipulated(rows, methods), grid), note))
                note = ""  # said once
    caption = (
        "Similarity of the explanation of a manipulated input to that of the original (1: not moved), both "
        "on the trained network itself, after an attack within a budget that seeks another explanation and "
        f"the same output. − plain: difference, paired by seed, to {PLAIN}. {FLAT} ({flat} values in all). "
        f"{_about(grid, KINDS['manipulability'])}"
    )
    return Table("manipulability", "Manipulability of explanations", caption, tidy, panels)


def _manipulated(rows: pd.DataFrame, methods: pd.DataFrame) -> pd.DataFrame:
    """One row per method: what shall hold its explanation, and how far that was moved."""
    text = spread(rows.assign(column=rows["metric"].map(MANIPULATED)), MANIPULATED.values())
    for column in (column for column in ("SSIM", "Pearson") if column in text):
        change = gained(rows[rows["metric"].map(MANIPULATED) == column], "base").reindex(text.index)
        text.insert(list(text).index(column) + 1, f"{column} − plain", change)
    return pd.concat([_settings(methods.loc[text.index]), text], axis=1)


def robust_decisions(values: pd.DataFrame, grid: Grid, methods: pd.DataFrame) -> Table:
    """How many decisions stand under bounded attacks, and how large the smallest successful one is."""
    tidy = collected(values, grid, "robust_decisions", methods["base"])
    tidy = tidy.merge(methods["base"], left_on="method", right_index=True, how="left")
    panels = []
    for dataset, heading, part in parts(labelled(tidy), grid):
        panels.append(Panel(dataset, heading, named(numbers(part, grid), grid), _how(grid, part)))
        changed = differences(part, "base", grid)
        if len(changed):
            panels.append(Panel(dataset, f"{heading}; difference to plain", named(changed, grid)))
    caption = (
        "Accuracy under projected gradient descent by norm and budget (shares of the grey range; L2 as root "
        "mean square), and the area under the accuracy-robustness curve above the larger class's share, in "
        "the same unit (ARA; BTR-ARA: until the true class's probability falls to that share, the same thing "
        "where it is a half). masking: runs in which more steps or restarts raised accuracy or an unbounded "
        "perturbation left any: gradients are masked, and accuracies too high. unbroken: share of images "
        "that no perturbation broke; these count with the largest that was tried. Difference to plain: "
        f"paired by seed, to {PLAIN}. {DECIDES} {_about(grid, KINDS['robust_decisions'])}"
    )
    return Table("robust_decisions", "Robust decisions", caption, tidy, panels)


def guidance(values: pd.DataFrame, grid: Grid, methods: pd.DataFrame) -> Table:
    """Methods that differ in their loss only, side by side."""
    reference, plain = _reference(grid, methods), methods.index[methods["plain"]]
    mine = replace(grid, attacks=grid.attacks[grid.attacks["method"].isin(plain)], references=(reference,))
    values = values[values["metric"].isin([*NORMS, *AREAS, "ssim_clean", SIMILAR])]
    found = [headed(compared(part, BY, "metric", under), about) for about, under, part in each(values, mine)]
    tidy = pd.concat(found, ignore_index=True)
    panels = []
    for dataset, heading, part in parts(tidy, grid):
        decided = labelled(part[part["explanation"] == ""])
        panels += _pair(dataset, f"{heading}, decisions", decided, reference, grid)
        for attack, rows in part[part["metric"] == SIMILAR].groupby("attack", sort=False):
            maps = rows.assign(column=rows["explanation"])
            panels += _pair(
                dataset, f"{heading}, maps under {attack}: Pearson to the clean map", maps, reference, grid
            )
    caption = (
        "Does guidance help or hurt? Methods that differ in their loss alone: accuracy under projected "
        "gradient descent by norm and budget, areas under accuracy-robustness curves, and how much of the "
        "clean map is left (Pearson) when the explanation is attacked. Differences are paired by seed; the "
        "CSV has p of the exact sign-flip test, adjusted by Holm within an attack and a measure. "
        f"{DECIDES} {_about(mine, EVERY)}"
    )
    return Table("guidance_and_robustness", "Guidance and robustness", caption, tidy, panels)


def _pair(dataset: str, heading: str, rows: pd.DataFrame, reference: str, grid: Grid) -> list[Panel]:
    """A panel of values, and one of their differences to the reference, as far as there are any."""
    if rows.empty:
        return []
    panels = [Panel(dataset, heading, named(numbers(rows, grid), grid))]
    changed = differences(rows, reference, grid)
    if len(changed):
        panels.append(Panel(dataset, f"{heading}; difference to {reference}", named(changed, grid)))
    return panels


def _reference(grid: Grid, methods: pd.DataFrame) -> str:
    """The method without guidance that others of the same training are compared to; blank without others."""
    attacked = methods.loc[list(dict.fromkeys(grid.attacks["method"]))]
    plain = attacked[attacked["plain"]]
    unguided = plain.index[plain["loss"] == "cross_entropy"]
    return str(unguided[0]) if len(unguided) and len(plain) > 1 else ""


def _settings(methods: pd.DataFrame) -> pd.DataFrame:
    """What shall hold an explanation, as text."""
    return pd.DataFrame(
        {
            "weight decay": methods["weight_decay"].map("{:g}".format),
            "activation": methods["activation"],
            "Hessian weight": methods["hessian_weight"].map("{:g}".format),
        }
    )


def _stayed(values: pd.DataFrame, rows: pd.DataFrame, grid: Grid) -> str:
    """By how much maps of both classes are nearer to the clean map than those of one class, in words."""
    mine = values[values["metric"] == SIMILAR]
    for column in ("dataset", "backbone", "attack"):
        mine = mine[mine[column] == rows[column].iloc[0]]
    wide = mine.pivot_table(index=["method", "seed"], columns="explanation", values="value", sort=False)
    said = []
    for both, single in COUNTERPARTS.items():
        if {both, single} <= set(wide):
            nearer = (wide[both] - wide[single]).dropna().groupby(level="method", sort=False)
            gains = [
                f"{method} {signed_estimate(*t_interval(gain.to_numpy(), grid.confidence))}"
                for method, gain in nearer
            ]
            said.append(f"{both} − {single}: ".replace("_", " ") + ", ".join(gains))
    return f"Pearson to the clean map, paired by seed. {'; '.join(said)}." if said else ""


def _how(grid: Grid, rows: pd.DataFrame) -> str:
    """What the attacks of some rows are, with their settings."""
    known = grid.attacks.drop_duplicates("attack").set_index("attack")
    said = [
        f"{name}: {known.loc[name, 'kind']}, {known.loc[name, 'settings']}"
        for name in rows["attack"].unique()
    ]
    return f"{'; '.join(said)}."


def _about(grid: Grid, kinds: tuple[str, ...]) -> str:
    names = grid.attacks.loc[grid.attacks["kind"].isin(kinds), "attack"].unique()
    return about(grid.under(*names), "robustness", "attacked runs")
