"""Figures of attacks: what holds an explanation, and how many decisions stand at which budget."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.present.comparisons import OverUnits
from pipeline.present.figures import COLOURS, MARKERS, MethodStyles, finish, saved
from pipeline.present.results import UNIT, Grid
from pipeline.score.stats import Interval

SETTINGS = {  # column of `variants` -> title of its axes
    "weight_decay": "weight decay",
    "beta": "activation",
    "hessian_weight": "Hessian weight",
}
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))  # one per family of methods
AXES = {  # metric with a budget -> what the budget is
    "accuracy_linf": "largest change of a pixel (L∞)",
    "accuracy_l2": "RMS of the change (L2)",
    "accuracy_attack": "RMS of the change, until the decision falls",
    "accuracy_btr": "RMS of the change, until p falls to chance",
}
FEW = 12  # budgets that are marked on a curve
FALLEN = 0.02  # accuracy below which a curve is not followed
LOWEST = -0.05  # SSIM below which axes do not reach, however wide an interval is


def manipulability(
    values: pd.DataFrame, methods: pd.DataFrame, grid: Grid, dataset: str, path: Path, dpi: int
) -> None:
    """SSIM of manipulated to original maps against each setting: mean and t interval over seeds.

    One row per attack, backbone and objective; lines join methods that differ in that setting only. Draws
    nothing where there is nothing to compare.
    """
    values = values[values["metric"] == "ssim_clean"]
    rows = list(_sweeps(values, methods, grid))
    explanations = list(dict.fromkeys(values["explanation"]))
    if not rows:
        return
    with saved(path, dpi, len(rows), 3, (11, 0.6 + 2.9 * len(rows))) as axes:
        for line, (title, part, members) in zip(axes, rows, strict=True):
            for axis, (setting, name) in zip(line, SETTINGS.items(), strict=True):
                _sweep(axis, part, members, setting, explanations, grid.confidence)
                axis.set(title=title if setting == "weight_decay" else "", xlabel=name)
            least = min((axis.get_ylim()[0] for axis in line if axis.containers), default=0)
            for axis in line:
                axis.set_ylim(max(least, LOWEST), 1.02)
            line[0].set_ylabel("SSIM to the original map")
        finish(axes, dataset, grid)


def _sweeps(
    values: pd.DataFrame, methods: pd.DataFrame, grid: Grid
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """(title, values, methods) of each attack, backbone and objective with something to compare."""
    for (attack, backbone), part in values.groupby(["attack", "backbone"], sort=False):
        present = methods.loc[[name for name in methods.index if (part["method"] == name).any()]]
        for _, members in present.groupby("objective", sort=False):
            if any(members[f"but_{setting}"].duplicated().any() for setting in SETTINGS):
                yield f"{attack}, {backbone}, {members.index[0]}", part, members


def _sweep(
    axis: Axes,
    values: pd.DataFrame,
    members: pd.DataFrame,
    setting: str,
    explanations: list[str],
    confidence: float,
) -> None:
    """One setting, a line per explanation and family; to the right: what should hold explanations more."""
    families = [part for _, part in members.groupby(f"but_{setting}", sort=False) if len(part) > 1]
    ticks = sorted({value for part in families for value in part[setting]}, reverse=setting == "beta")
    for family, dashes in zip(families, itertools.cycle(DASHES), strict=False):
        if len(families) > 1:
            label = f"{SETTINGS[setting]}, from {family.index[0]}"
            axis.plot([], [], color="#555", linestyle=dashes, label=label)
        places = family[setting].map(ticks.index)
        for turn, explanation in enumerate(explanations):
            mine = values[values["explanation"] == explanation]
            units = mine.assign(place=mine["method"].map(places)).groupby("place")
            limits = {place: OverUnits(confidence).of(group) for place, group in units}
            found = pd.DataFrame(limits, index=Interval._fields).T
            if found.empty:
                continue
            shift = 0.06 * (turn - (len(explanations) - 1) / 2)
            reach = (found["high"] - found["value"]).clip(lower=0).fillna(0)  # no bar for one seed
            axis.errorbar(
                found.index + shift, found["value"], yerr=reach, color=COLOURS[turn % len(COLOURS)],
                linestyle=dashes, marker=MARKERS[turn % len(MARKERS)], markersize=4, linewidth=1.3,
                elinewidth=0.8, label=explanation.replace("_", " "),
            )  # fmt: skip
    axis.set_xticks(range(len(ticks)), [_tick(setting, value) for value in ticks])
    axis.set_xlim(-0.4, max(len(ticks), 2) - 0.6)
    if not families:
        axis.text(0.5, 0.5, "no two methods\ndiffer in this only", ha="center", va="center", color="#777",
                  transform=axis.transAxes)  # fmt: skip


def _tick(setting: str, value: float) -> str:
    if setting != "beta":
        return f"{value:g}"
    return "built-in" if math.isinf(value) else f"softplus {value:g}"


def decisions(values: pd.DataFrame, grid: Grid, dataset: str, path: Path, dpi: int) -> None:
    """Accuracy against the budget of each attack: mean over seeds, band from least to largest."""
    curves = _once(values[values["metric"].isin(AXES)])
    if curves.empty:
        return
    columns = list(dict.fromkeys(zip(curves["attack"], curves["metric"], strict=True)))
    styles, backbones = MethodStyles(grid), list(dict.fromkeys(curves["backbone"]))
    size = (max(3.2 * len(columns), 7), 0.9 + 3.1 * len(backbones))
    with saved(path, dpi, len(backbones), len(columns), size) as axes:
        for row, backbone in zip(axes, backbones, strict=True):
            for axis, (attack, metric) in zip(row, columns, strict=True):
                mine = curves[(curves["backbone"] == backbone) & (curves["attack"] == attack)]
                _accuracies(axis, mine[mine["metric"] == metric], styles)
                axis.set(title=f"{attack}, {backbone}", ylim=(-0.02, 1.02), xlabel=AXES[metric])
            row[0].set_ylabel("decisions that stand")
        finish(axes, dataset, grid)


def _once(curves: pd.DataFrame) -> pd.DataFrame:
    """Without the curves to chance where these are the curves to another decision, as for even classes."""
    goals = ["accuracy_attack", "accuracy_btr"]
    walks = curves[curves["metric"].isin(goals)]
    wide = walks.pivot_table(
        index=["backbone", "method", *UNIT, "attack", "budget"], columns="metric", values="value"
    )
    same = len(wide.columns) == 2 and (wide[goals[0]] == wide[goals[1]]).all()
    return curves[curves["metric"] != "accuracy_btr"] if same else curves


def _accuracies(axis: Axes, curves: pd.DataFrame, styles: MethodStyles) -> None:
    """A curve per method, as far as any of them leads."""
    standing = curves.loc[curves["value"] > FALLEN, "budget"].max()
    axis.set_xlim(0, min(curves["budget"].max(), 1.2 * standing) if standing > 0 else None)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    for method in styles.methods:
        budgets = curves[curves["method"] == method].groupby("budget")["value"]
        if len(mean := budgets.mean()):
            line = styles.line(method)
            marker = styles.marker(method) if len(mean) < FEW else ""
            axis.plot(mean.index, mean, label=styles.name(method), marker=marker, markersize=3.5, **line)
            axis.fill_between(mean.index, budgets.min(), budgets.max(), alpha=0.10, color=line["color"], lw=0)
