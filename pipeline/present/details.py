"""Tables of what each trained cell was measured by besides decisions: maps, faithfulness, regions."""

import pandas as pd

from pipeline.present.comparisons import summarise
from pipeline.present.results import Grid
from pipeline.present.tables import Panel, Table, panels, rests_on
from pipeline.score.metrics import METRICS

MAPS = {"true_cam": "true CAM", "false_cam": "false CAM", "difference_salience": "difference"}
TESTS = ("test_closed", "test_open")  # what the panels show; the tidy tables have validation too


def alignment(values: pd.DataFrame, grid: Grid) -> Table:
    """How well the maps agree with the human map and with a phantom's causal pixels."""
    tidy = summarise(values, ["role", "reference", "map", "metric"], grid)
    titles = {name: about.title for name, about in METRICS.items() if about.table == "alignment"}
    columns = [f"{title}, {name}" for title in titles.values() for name in MAPS.values()]
    shown = tidy[tidy["metric"].isin(titles) & tidy["role"].isin(TESTS)]
    shown = shown.assign(column=shown["metric"].map(titles) + ", " + shown["map"].map(MAPS))
    found: list[Panel] = []
    for (role, reference), rows in shown.groupby(["role", "reference"], sort=False):
        target = "human maps" if reference == "human" else "causal pixels"
        found += panels(rows, grid, f", {role} against {target}", columns)
    undefined = int(values["undefined"].sum())
    caption = (
        "Agreement of the true-class CAM, the false-class CAM and the difference salience with what people "
        "marked, and on phantoms with the truly causal pixels; higher is closer. The CSV has SIM, KL, NSS "
        "and the pointing game too. A flat map has no correlation: it is left out of the mean and counted "
        f"({undefined} values in all). {rests_on(grid, 'evaluate')}"
    )
    figures = {
        "gallery": "What was marked and what networks look at, first seed. Each CAM runs over its own range, "
        "dark to bright; the difference salience (true CAM minus false CAM) is signed: blue below 0, red "
        "above."
    }
    return Table("alignment", "Alignment of the maps", caption, tidy, found, figures=figures)


def faithfulness(values: pd.DataFrame, grid: Grid) -> Table:
    """Area under deletion and insertion curves, against a random order of pixels."""
    tidy = summarise(values.rename(columns={"area": "value"}), ["role", "curve", "order"], grid)
    shown = tidy[tidy["role"].isin(TESTS)]
    shown = shown.assign(column=shown["curve"] + " " + shown["order"])
    found = [
        panel for role, rows in shown.groupby("role", sort=False) for panel in panels(rows, grid, f", {role}")
    ]
    caption = (
        "Area under the curve of the predicted class's score while pixels are deleted (lower is better) or "
        "inserted (higher is better) in order of salience; true cam is the CAM of the predicted class alone, "
        f"random the control. {rests_on(grid, 'evaluate')}"
    )
    return Table("faithfulness", "Faithfulness of the maps", caption, tidy, found)


def regions(values: pd.DataFrame, grid: Grid) -> Table:
    """What the post-hoc tool finds, against a phantom's causal and shortcut pixels."""
    tidy = summarise(values, ["role", "metric", "reference"], grid)
    shown = tidy[tidy["role"].isin(TESTS) & (tidy["metric"] != "completeness_error")]
    shown = shown.assign(column=(shown["metric"] + " " + shown["reference"]).str.strip())
    found = [
        panel for role, rows in shown.groupby("role", sort=False) for panel in panels(rows, grid, f", {role}")
    ]
    error = values.loc[values["metric"] == "completeness_error", "value"].abs().max()
    caption = (
        "Important regions of the difference salience. shared salience: how much both class maps have in "
        "common (high: a single-class CAM cannot be trusted); precision, recall, iou and energy against the "
        "pixels that truly cause the label and against the shortcut (phantoms only). Regions and channels "
        f"sum to the logit difference up to {error:.1g}. {rests_on(grid, 'identify')}"
    )
    figures = {
        "exemplars": "Concepts: regions that come back from image to image and speak for class 1, by "
        "importance, first seed. Boxes are the regions; a grey tile: fewer images than places show it."
    }
    return Table("regions", "Regions found", caption, tidy, found, figures=figures)
