"""The report's tables: tidy numbers for reuse, and panels of text laid out for reading."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pipeline.present.comparisons import GROUP, Grid, compared, summarise

ERRORS = ("ap", "eer", "apcer_max", "bpcer", "acer_max", "bpcer10", "bpcer20", "bpcer100", "accuracy", "ece")
MAPS = {"true_cam": "true CAM", "false_cam": "false CAM", "difference_salience": "difference"}
ALIGNMENT = {"cc": "CC", "auc_judd": "AUC-Judd", "energy_pointing": "energy", "iou": "IoU"}  # of eight
TESTS = ("test_closed", "test_open")  # what the panels show; the tidy tables have validation too


class Panel(NamedTuple):
    """A part of a table as it is read: text, one row per method."""

    dataset: str  # blank: about all of them
    heading: str
    rows: pd.DataFrame
    note: str = ""


class Table(NamedTuple):
    """One table: tidy numbers, the panels to read, and what must be known to read them."""

    name: str
    title: str
    caption: str
    tidy: pd.DataFrame
    panels: list[Panel]


def estimate(mean: float, low: float, high: float, n: int, planned: int, digits: int = 3) -> str:
    """Mean ± half the interval, and how many cells it rests on when some are missing.

    >>> estimate(0.8, 0.75, 0.85, 3, 3), estimate(0.8, 0.75, 0.85, 2, 3)
    ('0.800 ± 0.050', '0.800 ± 0.050 (2 of 3)')
    >>> estimate(float("nan"), float("nan"), float("nan"), 0, 3), estimate(0.8, 0.8, float("nan"), 1, 1)
    ('missing (0 of 3)', '0.800')
    """
    if n == 0:
        return f"missing (0 of {planned})"
    half = (high - low) / 2
    text = f"{mean:.{digits}f}".replace("-", "−") + (f" ± {half:.{digits}f}" if half == half else "")
    return text if n == planned else f"{text} ({n} of {planned})"


def signed_estimate(difference: float, low: float, high: float, digits: int = 3) -> str:
    """A difference with its sign ± half its interval.

    >>> signed_estimate(0.05, 0.02, 0.08), signed_estimate(float("nan"), 0, 0)
    ('+0.050 ± 0.030', '–')
    >>> signed_estimate(-0.05, float("nan"), float("nan"))
    '−0.050'
    """
    if difference != difference:
        return "–"
    half = (high - low) / 2
    text = f"{difference:+.{digits}f}".replace("-", "−")
    return text + (f" ± {half:.{digits}f}" if half == half else "")


def generalisation(metrics: pd.DataFrame, grid: Grid) -> Table:
    """AUROC on the closed set, each held-out source and their macro mean, with paired differences."""
    auroc = metrics[metrics["metric"] == "auroc"]
    tidy = compared(auroc, ["scope", "source"], "scope", grid).merge(_samples(metrics), how="left")
    panels = []
    for dataset, heading, part in parts(tidy, grid):
        part = part.assign(column=part["source"].where(part["source"] != "", part["scope"]))
        counts = part.drop_duplicates("column")[["column", "n_negative", "n_positive"]].dropna()
        sizes = [f"{name}: {negative:.0f} + {positive:.0f}" for name, negative, positive in counts.to_numpy()]
        text = spread(part, dict.fromkeys(part["column"]))
        macro = part[part["column"] == "macro"].set_index("method").reindex(text.index)
        for reference in grid.references:
            name = f"vs_{reference}"
            gains = macro[[name, f"{name}_low", f"{name}_high"]]
            if gains[name].notna().any():
                text[f"macro − {reference}"] = [signed_estimate(*row) for row in gains.to_numpy()]
                text[f"p; Holm ({reference})"] = [_p_values(row, name) for _, row in macro.iterrows()]
        note = f"Test images of label 0 + label 1: {'; '.join(sizes)}."
        panels.append(Panel(dataset, heading, named(text, grid), note))
    caption = (
        "AUROC: on the closed test set, on each source never seen in training, and the mean over those "
        "sources (macro). Differences are paired by seed; p is the exact sign-flip test, then adjusted by "
        "Holm over data sets, backbones and methods. The interval covers the noise of training; the CSV also "
        f"has DeLong's, which covers that of the test images. {about(grid, 'evaluate')}"
    )
    return Table("generalisation", "Generalisation", caption, tidy, panels)


def _samples(metrics: pd.DataFrame) -> pd.DataFrame:
    """How many test images an AUROC rests on, and DeLong's limits as a mean over seeds."""
    by = [*GROUP, "scope", "source"]
    auroc = metrics[metrics["metric"] == "auroc"].drop_duplicates(["dataset", "scope", "source"])
    counts = auroc[["dataset", "scope", "source", "n_negative", "n_positive"]]
    limits = metrics[metrics["metric"].isin(["auroc_low", "auroc_high"])]
    wide = limits.pivot_table(index=by, columns="metric", values="value", aggfunc="mean", observed=True)
    names = {"auroc_low": "delong_low", "auroc_high": "delong_high"}
    wide = wide.reindex(columns=list(names)).rename(columns=names).reset_index()
    return metrics[by].drop_duplicates().merge(counts, how="left").merge(wide, how="left")


def attack_errors(metrics: pd.DataFrame, grid: Grid) -> Table:
    """Error rates at the threshold fitted on validation, and calibration."""
    tidy = summarise(metrics[~metrics["metric"].str.startswith("auroc")], ["scope", "source", "metric"], grid)
    panels = []
    for scope in ("closed", "macro"):
        chosen = tidy[(tidy["scope"] == scope) & tidy["metric"].isin(ERRORS)]
        for dataset, heading, part in parts(chosen, grid):
            text = spread(part.assign(column=part["metric"]), ERRORS)
            panels.append(Panel(dataset, f"{heading}, {_scope_name(scope)}", named(text, grid)))
    caption = (
        "Errors at the threshold fitted on validation (attack: label 1; bona fide: label 0). apcer_max: the "
        "worst attack type; acer_max: mean of apcer_max and bpcer, given for comparison only; bpcer10, 20, "
        f"100: bpcer where apcer is 10, 5, 1 %; ece: expected calibration error. {about(grid, 'evaluate')}"
    )
    return Table("attack_errors", "Attack-detection errors", caption, tidy, panels)


def alignment(values: pd.DataFrame, grid: Grid) -> Table:
    """How well the maps agree with the human map and with a phantom's causal pixels."""
    tidy = summarise(values, ["role", "reference", "map", "metric"], grid)
    panels = []
    shown = tidy[tidy["metric"].isin(ALIGNMENT) & tidy["role"].isin(TESTS)]
    columns = [f"{metric}, {name}" for metric in ALIGNMENT.values() for name in MAPS.values()]
    for (role, reference), rows in shown.groupby(["role", "reference"], sort=False):
        for dataset, heading, part in parts(rows, grid):
            names = part["metric"].map(ALIGNMENT) + ", " + part["map"].map(MAPS)
            text = spread(part.assign(column=names), columns)
            target = "human maps" if reference == "human" else "causal pixels"
            panels.append(Panel(dataset, f"{heading}, {role} against {target}", named(text, grid)))
    undefined = int(values["undefined"].sum())
    caption = (
        "Agreement of the true-class CAM, the false-class CAM and the difference salience with what people "
        "marked, and on phantoms with the truly causal pixels. The CSV has SIM, KL, NSS and the pointing "
        "game too. A flat map has no correlation: it is left out of the mean and counted "
        f"({undefined} values in all). {about(grid, 'evaluate')}"
    )
    return Table("alignment", "Alignment of the maps", caption, tidy, panels)


def faithfulness(values: pd.DataFrame, grid: Grid) -> Table:
    """Area under deletion and insertion curves, against a random order of pixels."""
    values = values.rename(columns={"area": "value"})
    tidy = summarise(values, ["role", "curve", "order"], grid)
    panels = []
    for role, rows in tidy[tidy["role"].isin(TESTS)].groupby("role", sort=False):
        for dataset, heading, part in parts(rows, grid):
            part = part.assign(column=part["curve"] + " " + part["order"])
            text = spread(part, dict.fromkeys(part["column"]))
            panels.append(Panel(dataset, f"{heading}, {role}", named(text, grid)))
    caption = (
        "Area under the curve of the predicted class's score while pixels are deleted (lower is better) or "
        "inserted (higher is better) in order of salience; true cam is the CAM of the predicted class alone, "
        f"random the control. {about(grid, 'evaluate')}"
    )
    return Table("faithfulness", "Faithfulness of the maps", caption, tidy, panels)


def features(values: pd.DataFrame, grid: Grid) -> Table:
    """What the post-hoc tool finds, against a phantom's causal and shortcut pixels."""
    tidy = summarise(values, ["role", "metric", "reference"], grid)
    error = values.loc[values["metric"] == "completeness_error", "value"].abs().max()
    panels = []
    shown = tidy[tidy["role"].isin(TESTS) & (tidy["metric"] != "completeness_error")]
    for role, rows in shown.groupby("role", sort=False):
        for dataset, heading, part in parts(rows, grid):
            part = part.assign(column=(part["metric"] + " " + part["reference"]).str.strip())
            text = spread(part, dict.fromkeys(part["column"]))
            panels.append(Panel(dataset, f"{heading}, {role}", named(text, grid)))
    caption = (
        "Important regions of the difference salience. shared_salience: how much both class maps have in "
        "common (high: a single-class CAM cannot be trusted); precision, recall, iou and energy against the "
        "pixels that truly cause the label and against the shortcut (phantoms only). Regions and channels "
        f"sum to the margin up to {error:.1g}. {about(grid, 'identify')}"
    )
    return Table("features", "Features found", caption, tidy, panels)


def cost(values: pd.DataFrame, grid: Grid) -> Table:
    """Wall time and memory as the records have them; they change when a cell is run again."""
    tidy = summarise(values, ["quantity"], grid)
    panels = []
    for dataset, heading, part in parts(tidy, grid):
        part = part.assign(column=part["quantity"])
        text = spread(part, dict.fromkeys(part["column"]), digits=1)
        panels.append(Panel(dataset, heading, named(text, grid)))
    caption = (
        "Seconds and megabytes of each cell as its records have them, on the machine that ran it (several "
        f"cells at a time share it, so compare within a table only). {about(grid, 'train')}"
    )
    return Table("cost", "Cost", caption, tidy, panels)


def about(grid: Grid, stage: str, unit: str = "runs") -> str:
    """How many runs a table rests on, what a p value cannot show, and which data are phantoms."""
    planned, found = len(grid.cells), int((grid.cells[f"{stage}_key"] != "").sum())
    seeds = grid.cells["seed"].nunique()
    lines = [
        f"Mean ± half the {grid.confidence:.0%} t interval over seeds.",
        f"{found} of {planned} {unit} (seeds per method: {seeds}).",
    ]
    if seeds > 1:
        lines.append(f"With {seeds} seeds the two-sided p cannot go below {2 / 2**seeds:.3g}.")
    phantoms = [name for name, note in grid.datasets.items() if note.phantom]
    if phantoms:
        lines.append(f"Phantoms, drawn and not real images: {', '.join(phantoms)}.")
    lines += [f"{name}: {note.notice}." for name, note in grid.datasets.items() if _must_say(note)]
    return " ".join(line.replace("..", ".") for line in lines)


def _must_say(note: tuple[str, str, bool]) -> bool:
    return bool(note[1]) and not note[2]


def parts(tidy: pd.DataFrame, grid: Grid) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(data set, heading, rows) for each data set and backbone."""
    for (dataset, backbone), rows in tidy.groupby(GROUP[:2], sort=False):
        yield str(dataset), f"{grid.datasets[str(dataset)].title}, {backbone}", rows


def spread(
    part: pd.DataFrame, columns: Iterable[str], digits: int = 3, by: Sequence[str] = ("method",)
) -> pd.DataFrame:
    """One row per value of `by`, one column of text per value of `column`; empty columns are left out."""
    index = part.drop_duplicates(list(by)).set_index(list(by)).index
    text = pd.DataFrame(index=index)
    for column in columns:
        rows = part[part["column"] == column].set_index(list(by)).reindex(index)
        if rows["planned"].notna().any():
            text[column.replace("_", " ")] = [_or_blank(row, digits) for row in rows.itertuples()]
    return text


def _or_blank(row: Any, digits: int) -> str:
    """A number as text; a dash where none is planned, or all are recorded and none is defined."""
    if pd.isna(row.planned) or (row.n == 0 and row.recorded == row.planned):
        return "–"
    return estimate(row.mean, row.low, row.high, int(row.n), int(row.planned), digits)


def named(text: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """The index as columns; methods that are controls say so."""
    frame = text.reset_index()
    labels = [f"{name} (control)" if name in grid.controls else name for name in frame["method"]]
    return frame.assign(method=labels)


def _p_values(row: pd.Series, name: str) -> str:
    if pd.isna(row[f"{name}_p"]):
        return "–"
    return f"{row[f'{name}_p']:.2g}; {row[f'{name}_holm']:.2g}"


def _scope_name(scope: str) -> str:
    return "closed test set" if scope == "closed" else "mean over held-out sources"
