"""The table of manipulated images: how far a small change of the input moves an explanation."""

from collections.abc import Iterator

import pandas as pd

from pipeline.present.attacks.rows import COMPARED, SHADES, TARGET, Attacked, by_attack, difference_lines
from pipeline.present.claims import explanations_hold
from pipeline.present.tables import Panel, Table, estimate_texts, named, spread
from pipeline.present.variants import to_bases

TABLE = "manipulability"
MANIPULATED = {
    "ssim_clean": "SSIM",
    "pearson_clean": "Pearson",
    "mse_clean": "MSE",
    "pearson_target_before": "Pearson, target: before",
    "pearson_target": "Pearson, target: after",
    "decision_changes": "decisions changed",
    "input_linf": "largest change",
}
SIMILARITIES = ("ssim_clean", "pearson_clean")  # those that methods are compared in
FIGURES = {
    TABLE: "Similarity of manipulated to original explanations against each setting by itself: "
    "lines join methods that differ in that setting only. Mean and t interval over seeds."
}
PICTURE = (
    f"originals and manipulated inputs with their explanations, first seed. {SHADES} "
    "The change runs over its own range: blue darker, red brighter."
)


def table(mine: Attacked) -> Table:
    """Each explanation under each manipulation, and how methods differ."""
    tidy, differences = mine.estimates(), mine.differences(to_bases(mine.methods))
    caption = (
        "Similarity of the explanation of a manipulated input to that of the original (not moved: SSIM and "
        "Pearson 1, MSE 0), both on the trained network itself, after an attack within a budget that seeks "
        "another explanation and the same output; explained is the class predicted at the threshold of equal "
        f"errors on validation. {TARGET}; decisions changed: share of images; largest change: of a value of "
        "the image, in shares of the grey range, mean over images. The CSV also has the probability change, "
        f"here the mean over images of each one's largest. {COMPARED} {mine.flat_maps()} {mine.rests_on()}"
    )
    panels = list(_panels(mine, tidy, differences))
    figures = FIGURES | mine.pictures(PICTURE)
    return Table(TABLE, "Manipulability of explanations", caption, tidy, panels, differences, figures)


def _panels(mine: Attacked, tidy: pd.DataFrame, differences: pd.DataFrame) -> Iterator[Panel]:
    """Of each manipulation: a panel per explanation, then the differences between methods in all."""
    for dataset, where, found in by_attack(tidy, mine.grid):
        note = mine.settings(found)
        for explanation, rows in found.groupby("explanation", sort=False):
            rows = rows.assign(column=rows["metric"].map(MANIPULATED), text=estimate_texts(rows))
            text = spread(rows, MANIPULATED.values())
            text = pd.concat([_settings(mine.methods.loc[text.index]), text], axis=1)
            spoken = str(explanation).replace("_", " ")
            yield Panel(dataset, f"{where}: {spoken}", named(text, mine.grid), note)
            note = ""  # said once
        changed = difference_lines(differences, _similarities(found), mine.grid, name_other=True)
        if len(changed):
            values = mine.within(found, "dataset", "backbone", "attack")
            held = explanations_hold(values, mine.methods, mine.grid.confidence)
            yield Panel(dataset, f"{where}; differences", changed, held)


def _similarities(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about similarity to the original map, with a column for each measure and explanation."""
    found = pd.concat([rows[rows["metric"] == metric] for metric in SIMILARITIES])
    return found.assign(column=found["metric"].map(MANIPULATED) + ", " + found["explanation"], digits=3)


def _settings(methods: pd.DataFrame) -> pd.DataFrame:
    """What shall hold an explanation, as text."""
    return pd.DataFrame(
        {
            "weight decay": methods["weight_decay"].map("{:g}".format),
            "activation": methods["activation"],
            "Hessian weight": methods["hessian_weight"].map("{:g}".format),
        }
    )
