"""The tables of attacks: hoaxed explanations, manipulated inputs, decisions that stand, guidance, others.

All are of test images of known sources. Values come per cell and attack as the stage `robustness` wrote them;
an attack that is planned for a cell and has no record of its present training lowers `n`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pandas as pd

from pipeline.present.attack_rows import (
    AREAS,
    BASES,
    BY,
    KINDS,
    NORMS,
    OTHER,
    attacks_in,
    beside,
    budget,
    by_method,
    collected,
    differences,
    each,
    headed,
    labelled,
    numbers,
    of,
    table_of,
    to_bases,
)
from pipeline.present.claims import (
    SIMILAR,
    decisions_hold,
    explanations_hold,
    guidance_helps,
    two_classes_stay,
)
from pipeline.present.comparisons import GROUP, Grid, compared
from pipeline.present.tables import Panel, Table, about, named, parts, spread

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
MANIPULATED = {
    "ssim_clean": "SSIM",
    "pearson_clean": "Pearson",
    "mse_clean": "MSE",
    "pearson_target_before": "Pearson, target: before",
    "pearson_target": "Pearson, target: after",
    "decision_changes": "decisions changed",
    "input_linf": "largest change",
}
COMPARED = (
    "Differences are paired by seed, to the method that is the same but for one defence or for the images' "
    "own maps, and to the plain one: the same loss, the backbone's activation, no regulariser, the usual "
    "weight decay."
)
TARGET = "target: similarity to the map that the attack asked for, before and after it"
DECIDES = "Decisions are at the threshold of equal errors on validation."


def tables(values: pd.DataFrame, grid: Grid, methods: pd.DataFrame) -> list[Table]:
    """The tables of the attacks that are planned; none where there are none.

    `values` has GROUP, seed, attack and the columns of values.csv; `methods` is `variants.variants`.
    """
    planned = set(grid.attacks["kind"].map(table_of))
    found = []
    if "hoax" in planned:
        found.append(hoax(values, grid))
    if "manipulability" in planned:
        found.append(manipulability(values, grid, methods))
    if "robust_decisions" in planned:
        found.append(robust_decisions(values, grid, methods))
    if _reference(grid, methods):
        found.append(guidance(values, grid, methods))
    if OTHER in planned:
        found.append(others(values, grid))
    return found


def hoax(values: pd.DataFrame, grid: Grid) -> Table:
    """What explanations show after the weights were changed to make them lie."""
    tidy = collected(values, grid, "hoax")
    caption = (
        "Explanations of a network whose weights were changed so that they lie: each map of the hoaxed "
        "network against the clean network's map and against the hoax's target, for the class that the clean "
        "network predicts. border: share of a map's energy in the border; entropy in nats; CC: correlation "
        f"with the human map, of annotated images; {TARGET}; –: undefined. The CSV has MSE and energy "
        f"pointing too. {_flat(values, grid, 'hoax')} probability change: the largest of all images. The "
        "clean network decides at the threshold of equal errors on validation; the hoaxed one starts from it "
        "and is not fitted again, so its accuracy may fall where its ranking stands: AUROC is the fairer "
        f"comparison. {_about(grid, 'hoax')}"
    )
    panels = list(_hoaxed(values, tidy, grid))
    return Table("hoax", "Explanations under hoax", caption, tidy, panels)


def _hoaxed(values: pd.DataFrame, tidy: pd.DataFrame, grid: Grid) -> Iterator[Panel]:
    """Of each hoax: what became of decisions, then of maps."""
    for dataset, heading, part in parts(tidy, grid):
        for attack, rows in part.groupby("attack", sort=False):
            where, whole = f"{heading}, {attack}", rows["explanation"] == ""
            decided = rows[whole].assign(column=rows["metric"])
            text = named(spread(decided, DECIDED), grid)
            yield Panel(dataset, f"{where}: decisions", text, _how(grid, rows))
            explained = rows[~whole].assign(column=rows["metric"].map(HOAXED))
            stayed = two_classes_stay(beside(values, rows, "dataset", "backbone", "attack"), grid)
            yield Panel(dataset, f"{where}: maps", _maps(explained, HOAXED.values(), grid), stayed)


def manipulability(values: pd.DataFrame, grid: Grid, methods: pd.DataFrame) -> Table:
    """How far a small change of the input moves an explanation, against what shall hold it."""
    tidy = collected(values, grid, "manipulability", methods)
    for place, setting in enumerate(("weight_decay", "activation", "beta", "hessian_weight", *BASES)):
        tidy.insert(len(GROUP) + 1 + place, setting, tidy["method"].map(methods[setting]))
    caption = (
        "Similarity of the explanation of a manipulated input to that of the original (not moved: SSIM and "
        "Pearson 1, MSE 0), both on the trained network itself, after an attack within a budget that seeks "
        "another explanation and the same output; explained is the class predicted at the threshold of equal "
        f"errors on validation. {TARGET}; decisions changed: share of images; largest change: of a value of "
        "the image, in shares of the grey range, mean over images. The CSV also has the probability change, "
        f"here the mean over images of each one's largest. {COMPARED} "
        f"{_flat(values, grid, 'manipulability')} {_about(grid, 'manipulability')}"
    )
    panels = list(_moved(values, tidy, grid, methods))
    return Table("manipulability", "Manipulability of explanations", caption, tidy, panels)


def _moved(values: pd.DataFrame, tidy: pd.DataFrame, grid: Grid, methods: pd.DataFrame) -> Iterator[Panel]:
    """Of each manipulation: a panel per explanation, then the differences between methods in all."""
    for dataset, heading, part in parts(tidy, grid):
        for attack, found in part.groupby("attack", sort=False):
            where, note = f"{heading}, {attack}", _how(grid, found)
            for explanation, rows in found.groupby("explanation", sort=False):
                text = spread(rows.assign(column=rows["metric"].map(MANIPULATED)), MANIPULATED.values())
                text = pd.concat([_settings(methods.loc[text.index]), text], axis=1)
                spoken = str(explanation).replace("_", " ")
                yield Panel(dataset, f"{where}: {spoken}", named(text, grid), note)
                note = ""  # said once
            changed = to_bases(_similarities(found), grid)
            if len(changed):
                mine = beside(values, found, "dataset", "backbone", "attack")
                held = explanations_hold(mine, methods, grid)
                yield Panel(dataset, f"{where}; differences", named(changed, grid), held)


def _similarities(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about SSIM and Pearson to the original map, with a column for each explanation."""
    found = pd.concat([rows[rows["metric"] == metric] for metric in ("ssim_clean", "pearson_clean")])
    return found.assign(column=found["metric"].map(MANIPULATED) + ", " + found["explanation"])


def _settings(methods: pd.DataFrame) -> pd.DataFrame:
    """What shall hold an explanation, as text."""
    return pd.DataFrame(
        {
            "weight decay": methods["weight_decay"].map("{:g}".format),
            "activation": methods["activation"],
            "Hessian weight": methods["hessian_weight"].map("{:g}".format),
        }
    )


def robust_decisions(values: pd.DataFrame, grid: Grid, methods: pd.DataFrame) -> Table:
    """How many decisions stand under bounded attacks, and how large the smallest successful one is."""
    tidy = collected(values, grid, "robust_decisions", methods)
    tidy = tidy.merge(methods[list(BASES)], left_on="method", right_index=True, how="left")
    panels = []
    for dataset, heading, part in parts(labelled(tidy), grid):
        panels.append(Panel(dataset, heading, named(numbers(part, grid), grid), _how(grid, part)))
        changed = to_bases(part, grid)
        if len(changed):
            held = decisions_hold(beside(values, part, "dataset", "backbone"), methods, grid)
            panels.append(Panel(dataset, f"{heading}; differences", named(changed, grid), held))
    caption = (
        "Accuracy under projected gradient descent by norm and budget (shares of the grey range; L2 as root "
        "mean square), and the area under the accuracy-robustness curve above the larger class's share, in "
        "the same unit (ARA; BTR-ARA: until the true class's probability falls to that share, the same thing "
        "where it is a half). masking: runs in which more steps or restarts raised accuracy or an unbounded "
        "perturbation left any: gradients are masked, and accuracies too high. unbroken: share of images "
        f"that no perturbation broke; these count with the largest that was tried. {COMPARED} {DECIDES} "
        f"{_about(grid, 'robust_decisions')}"
    )
    return Table("robust_decisions", "Robust decisions", caption, tidy, panels)


def guidance(values: pd.DataFrame, grid: Grid, methods: pd.DataFrame) -> Table:
    """Methods that differ in their loss only, side by side."""
    reference, planned = _reference(grid, methods), _side_by_side(grid, methods)
    mine = replace(grid, attacks=planned, references=(reference,))
    values = values[values["metric"].isin([*NORMS, *AREAS, "ssim_clean", SIMILAR])]
    values = values[values["method"].isin(planned["method"])]
    known = [attack for table in KINDS for attack in attacks_in(table, mine)]
    found = [
        headed(compared(part, BY, "metric", under), about) for about, under, part in each(values, mine, known)
    ]
    tidy = pd.concat(found, ignore_index=True)
    caption = (
        "Does guidance help or hurt? Methods that differ in their loss alone: accuracy under projected "
        "gradient descent by norm and budget, areas under accuracy-robustness curves, and how much of the "
        "clean map is left (Pearson) when the explanation is attacked. Differences are paired by seed; the "
        "CSV has p of the exact sign-flip test, adjusted by Holm within an attack and a measure. "
        f"{DECIDES} {_about(mine, *KINDS)}"
    )
    panels = list(_guided(values, tidy, reference, grid))
    return Table("guidance_and_robustness", "Guidance and robustness", caption, tidy, panels)


def _guided(values: pd.DataFrame, tidy: pd.DataFrame, reference: str, grid: Grid) -> Iterator[Panel]:
    """Values and differences to the reference: of decisions, then of maps under each attack."""
    for dataset, heading, part in parts(tidy, grid):
        blocks = {f"{heading}, decisions": labelled(part[part["explanation"] == ""])}
        for attack, rows in part[part["metric"] == SIMILAR].groupby("attack", sort=False):
            name = f"{heading}, maps under {attack}: Pearson to the clean map"
            blocks[name] = rows.assign(column=rows["explanation"])
        for name, rows in blocks.items():
            if rows.empty:
                continue
            yield Panel(dataset, name, named(numbers(rows, grid), grid))
            changed = differences(rows, reference, grid)
            if len(changed):
                seen = beside(values, rows, "dataset", "backbone")
                shown = rows[["attack", "metric"]].drop_duplicates()
                helped = guidance_helps(seen.merge(shown), reference, grid)
                yield Panel(dataset, f"{name}; difference to {reference}", named(changed, grid), helped)


def _side_by_side(grid: Grid, methods: pd.DataFrame) -> pd.DataFrame:
    """The attacks that are planned for several plain methods of a data set, and for these only."""
    plain = grid.attacks[grid.attacks["method"].isin(methods.index[methods["plain"]])]
    several = plain.groupby(["dataset", "attack"])["method"].transform("nunique") > 1
    return plain[several & plain["kind"].map(table_of).isin(KINDS)]


def _reference(grid: Grid, methods: pd.DataFrame) -> str:
    """The method without guidance that others of the same training are compared to; blank without others."""
    together = methods.loc[list(dict.fromkeys(_side_by_side(grid, methods)["method"]))]
    unguided = together.index[together["loss"] == "cross_entropy"]
    return str(unguided[0]) if len(unguided) else ""


def others(values: pd.DataFrame, grid: Grid) -> Table:
    """What attacks report that no other table is about: each quantity in a column."""
    tidy = collected(values, grid, OTHER)
    panels = []
    for dataset, heading, part in parts(tidy, grid):
        budgets = part["budget"].map(lambda size: "" if pd.isna(size) else f", {budget(size)}")
        part = part.assign(column=part["metric"] + budgets)
        for (attack, whole), rows in part.groupby(["attack", part["explanation"] == ""], sort=False):
            columns = dict.fromkeys(rows["column"])
            text = named(spread(rows, columns), grid) if whole else _maps(rows, columns, grid)
            where = f"{heading}, {attack}{'' if whole else ': maps'}"
            panels.append(Panel(dataset, where, text, _how(grid, rows)))
    caption = (
        "What further attacks report, under the names that they give: means over images, behind a comma the "
        f"budget. Values that are undefined for an image are left out. {DECIDES} {_about(grid, OTHER)}"
    )
    return Table(OTHER, "Other attacks", caption, tidy, panels)


def _maps(rows: pd.DataFrame, columns: Iterable[str], grid: Grid) -> pd.DataFrame:
    """One row per method and explanation."""
    rows = by_method(rows, grid)
    spoken = rows.assign(explanation=rows["explanation"].str.replace("_", " "))
    return named(spread(spoken, columns, by=("method", "explanation")), grid)


def _how(grid: Grid, rows: pd.DataFrame) -> str:
    """What the attacks of some rows are, with their settings."""
    known = grid.attacks.drop_duplicates("attack").set_index("attack")
    said = [
        f"{name}: {known.loc[name, 'kind']}, {known.loc[name, 'settings']}"
        for name in rows["attack"].unique()
    ]
    return f"{'; '.join(said)}."


def _flat(values: pd.DataFrame, grid: Grid, table: str) -> str:
    """What becomes of correlations that do not exist."""
    left_out = of(values, grid, table)["undefined"].sum()
    return (
        "A flat map has no correlation: its image is left out of that mean "
        f"({left_out} times in all measures and runs)."
    )


def _about(grid: Grid, *shown: str) -> str:
    names = [name for table in shown for name in attacks_in(table, grid)]
    return about(grid.under(*names), "robustness", "attacked runs")
