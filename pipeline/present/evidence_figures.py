"""Figures of evidence: dose and response, and images without what people marked or with that alone."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from pipeline.data.store import Store, label_names
from pipeline.model import fills
from pipeline.model.batches import as_floats
from pipeline.present.figures import MethodStyles, finish, interval_reach, saved
from pipeline.present.pictures import HUMAN, grey_or_colour, outlined, resize
from pipeline.present.quantities import QUANTITIES
from pipeline.present.results import Grid

RESPONSES = ("conflict_auroc", "without_cause")
TESTS = {"as_is": ("as it is", "o"), "without": ("without", "v"), "only": ("only", "^")}
ABOUT = ["sample_id", "region_of", "label"]
IMAGES = 4  # in a picture, half of either label
SIDE = 150  # px of a tile


def dose(
    tidy: pd.DataFrame, doses: Mapping[str, float], grid: Grid, dataset: str, path: Path, dpi: int
) -> None:
    """What becomes of each method as the shortcut fits the label more often: mean and interval.

    tidy: rows of the evidence table; doses: data set, as tables name it -> agreement, 0..1.
    """
    rows = tidy[tidy["dataset"].isin(doses) & (tidy["n"] > 0) & tidy["beside"].isin(["", "control"])]
    rows = rows[rows.groupby("method")["dataset"].transform("nunique") > 1]  # one dose tells no response
    styles, backbones = MethodStyles(grid), list(dict.fromkeys(rows["backbone"]))
    with saved(path, dpi, len(backbones), len(RESPONSES), (9.2, 3.6 * len(backbones))) as axes:
        for line, backbone in zip(axes, backbones, strict=True):
            for axis, quantity in zip(line, RESPONSES, strict=True):
                own = rows[(rows["backbone"] == backbone) & (rows["quantity"] == quantity)]
                _responses(axis, own.assign(dose=own["dataset"].map(doses)), styles)
                axis.axhline(0.5, color="#999", linewidth=0.8)
                axis.set(title=f"{QUANTITIES[quantity].title}, {backbone}", ylim=(-0.03, 1.03))
                axis.set_xlabel("share of training images whose shortcut fits the label")
            line[0].set_ylabel("AUROC")
        finish(axes, dataset, grid)


def _responses(axis: Axes, rows: pd.DataFrame, styles: MethodStyles) -> None:
    shown = [method for method in styles.methods if method in set(rows["method"])]
    for place, method in enumerate(shown):
        own = rows[rows["method"] == method].sort_values("dose")
        shift = 0.004 * (place - (len(shown) - 1) / 2)  # so that bars do not hide each other
        axis.errorbar(
            own["dose"] + shift, own["mean"], yerr=interval_reach(own), marker=styles.marker(method),
            markersize=4, elinewidth=0.8, label=styles.name(method), **styles.line(method),
        )  # fmt: skip


def filled(shown: pd.DataFrame, store: Store, grid: Grid, dataset: str, path: Path, dpi: int) -> None:
    """A few images of the closed test as they are, without the marked region and with it alone; the answers.

    shown: shown_scores.csv of one cell per method, with `method`.
    """
    shown = shown[shown["role"] == "test_closed"]
    images = shown.drop_duplicates("sample_id")
    few = pd.concat([images[images["label"] == label].head(IMAGES // 2) for label in (1, 0)])
    if few.empty:
        return
    widths, labels = [1.0, 1.0, 1.0, 2.2], label_names(store)
    with saved(path, dpi, len(few), len(widths), (11, 2.0 * len(few) + 0.7), widths) as axes:
        for line, (sample, lender, label) in zip(axes, few[ABOUT].to_numpy(), strict=True):
            tiles = altered(store, sample, lender)
            for axis, tile, (name, _) in zip(line, tiles, TESTS.values(), strict=False):
                axis.imshow(tile, interpolation="none")
                axis.axis("off")
                axis.set_title(f"{name}: {labels[int(label)]}" if name == "as it is" else name)
            _answers(line[-1], shown[shown["sample_id"] == sample], grid)
        finish(axes, dataset, grid)


def altered(store: Store, sample_id: str, region_of: str) -> list[np.ndarray]:
    """An image with its region as an outline, without the region, and with it alone: RGB (SIDE, SIDE, 3)."""
    place = {name: row for row, name in enumerate(store.manifest["sample_id"])}
    image = store.images[[place[sample_id]]]
    region = fills.peak_regions(store.maps[[place[region_of]]])
    floats = as_floats(image, torch.device("cpu"))
    blurred, mask = fills.blurred(floats), torch.from_numpy(region)
    changed = [fills.fill(floats, blurred, part)[0].numpy() for part in (mask, ~mask)]
    pictures = [grey_or_colour(np.rint(255 * each).astype(np.uint8), SIDE) for each in changed]
    outline = outlined(grey_or_colour(image[0], SIDE), resize(region[0], SIDE) > 0.5, HUMAN, width=2)
    return [outline, *pictures]


def _answers(axis: Axes, rows: pd.DataFrame, grid: Grid) -> None:
    """A line per method: its logit difference for each of the three images."""
    methods = list(dict.fromkeys(rows["method"]))
    for test, (name, marker) in TESTS.items():
        own = rows[rows["test"] == test].set_index("method")["logit_difference"].reindex(methods)
        fill = "full" if test == "as_is" else "none"
        axis.plot(own, range(len(methods)), marker, color="#222", fillstyle=fill, label=name, markersize=5.5)
    axis.axvline(0, color="#999", linewidth=0.8)
    axis.set(yticks=range(len(methods)), yticklabels=[grid.label(method) for method in methods])
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.set_title("logit difference")
