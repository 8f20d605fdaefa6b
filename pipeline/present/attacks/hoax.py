"""The table of hoaxes: what explanations show after the weights were changed to make them lie."""

from collections.abc import Iterator

import pandas as pd

from pipeline.present.attacks.rows import SHADES, TARGET, Attacked, by_attack, map_lines
from pipeline.present.claims import two_classes_stay
from pipeline.present.tables import Panel, Table, estimate_lines

TABLE = "hoax"
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
PICTURE = (
    f"maps of the clean network (before) and of the hoaxed one (after), first seed. {SHADES} "
    "Below the image: what the hoax aims at, if it aims at a map."
)


def table(mine: Attacked) -> Table:
    """Decisions and maps of each hoax."""
    tidy = mine.estimates()
    caption = (
        "Explanations of a network whose weights were changed so that its maps lie: each map of the hoaxed "
        "network against the clean network's map and against the hoax's target, for the class that the clean "
        "network predicts. border: share of a map's energy in the border; entropy in nats; CC: correlation "
        f"with the human map, of annotated images; {TARGET}; –: undefined. The CSV has MSE and energy "
        f"pointing too. {mine.flat_maps()} probability change: the largest of all images. The "
        "clean network decides at the threshold of equal errors on validation; the hoaxed one starts from it "
        "and is not fitted again, so its accuracy may fall where its ranking stands: AUROC is the fairer "
        f"comparison. {mine.rests_on()}"
    )
    panels = list(_panels(mine, tidy))
    return Table(TABLE, "Explanations under hoax", caption, tidy, panels, figures=mine.pictures(PICTURE))


def _panels(mine: Attacked, tidy: pd.DataFrame) -> Iterator[Panel]:
    """Of each hoax: what became of decisions, then of maps."""
    for dataset, where, rows in by_attack(tidy, mine.grid):
        whole = rows["explanation"] == ""
        decided = estimate_lines(rows[whole].assign(column=rows["metric"]), mine.grid, DECIDED)
        yield Panel(dataset, f"{where}: decisions", decided, mine.settings(rows))
        explained = rows[~whole].assign(column=rows["metric"].map(HOAXED))
        stayed = two_classes_stay(mine.within(rows, "dataset", "backbone", "attack"), mine.grid.confidence)
        yield Panel(dataset, f"{where}: maps", map_lines(explained, mine.grid, HOAXED.values()), stayed)
