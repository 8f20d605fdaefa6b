"""The report's figures: one fixed style, colour-blind safe, PNG and SVG with the same bytes each time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.common.files import atomic
from pipeline.present.gallery import Sheet
from pipeline.present.results import UNIT, Grid
from pipeline.score.metrics import error_curves

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "text.parse_math": False,  # a $ in a title is a $
    "svg.hashsalt": "camdivide",
    "svg.fonttype": "none",
}
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
MARKERS = "osD^vPX"
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)))  # when the colours start again
GREY = {"control": "#8c8c8c", "ceiling": "#5c5c5c", "floor": "#b8b8b8"}  # of what stands beside methods
BESIDE = {
    "control": "x",
    "ceiling": "2",
    "floor": "1",
}  # its markers: a cross, and tripods that point to the limit
RATES = np.linspace(0, 1, 101)  # false positive rates at which ROC curves are averaged


class MethodStyles:
    """Colour, marker and line of each method, the same in all figures."""

    def __init__(self, grid: Grid) -> None:
        self.methods = list(dict.fromkeys(grid.cells["method"]))
        self.grid = grid
        real = [name for name in self.methods if not grid.kind(name)]
        self.places = {name: place for place, name in enumerate(real)}

    def line(self, method: str) -> dict[str, Any]:
        """Keyword arguments of `Axes.plot`."""
        if kind := self.grid.kind(method):
            return {"color": GREY[kind], "linestyle": (0, (4, 2)), "linewidth": 1.4}
        turn, place = divmod(self.places[method], len(COLOURS))
        return {"color": COLOURS[place], "linestyle": DASHES[turn % len(DASHES)], "linewidth": 1.6}

    def marker(self, method: str) -> str:
        """The method's point; controls are crosses, ceilings and floors tripods."""
        if kind := self.grid.kind(method):
            return BESIDE[kind]
        return MARKERS[self.places[method] % len(MARKERS)]

    def name(self, method: str) -> str:
        """As legends have it."""
        return self.grid.label(method)


@contextmanager
def saved(
    path: Path,
    dpi: int,
    rows: int,
    columns: int,
    size: tuple[float, float],
    widths: Sequence[float] | None = None,
) -> Iterator[np.ndarray]:
    """Axes (rows, columns) of a figure that is written when the block ends; see `write`.

    widths: of the columns, in relation to each other; None: all alike.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure.subplots(rows, columns, squeeze=False, width_ratios=widths)
        write(figure, path, dpi)


def write(figure: Figure, path: Path, dpi: int) -> None:
    """Write `<path>.png` and `<path>.svg`, without dates or versions; both have the layout of the first."""
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None, "Creator": None})):
        with atomic(path.with_name(path.name + suffix)) as temporary:
            figure.savefig(temporary, dpi=dpi, metadata=metadata)
        figure.set_layout_engine("none")  # laying out takes longer than drawing


def roc(scores: pd.DataFrame, grid: Grid, dataset: str, path: Path, dpi: int) -> None:
    """ROC curves, closed and open set side by side: mean over seeds, band from least to largest.

    `scores` has backbone, method, draw, seed, role, label, logit_difference of one data set.
    """
    styles, backbones = MethodStyles(grid), list(dict.fromkeys(scores["backbone"]))
    with saved(path, dpi, len(backbones), 2, (9.2, 4.1 * len(backbones))) as axes:
        for row, backbone in zip(axes, backbones, strict=True):
            part = scores[scores["backbone"] == backbone]
            for axis, role, name in zip(row, ("test_closed", "test_open"), ("closed", "open"), strict=True):
                for method in styles.methods:
                    curves = list(_curves(part[part["method"] == method], role))
                    if curves:
                        axis.plot(
                            RATES, np.mean(curves, axis=0), label=styles.name(method), **styles.line(method)
                        )
                        low, high = np.min(curves, axis=0), np.max(curves, axis=0)
                        axis.fill_between(
                            RATES, low, high, alpha=0.10, color=styles.line(method)["color"], lw=0
                        )
                axis.plot([0, 1], [0, 1], color="#bbb", linewidth=0.8)
                axis.set(title=f"{name} set, {backbone}", xlabel="false positive rate", aspect="equal")
            row[0].set_ylabel("true positive rate")
        finish(axes, dataset, grid)


def _curves(scores: pd.DataFrame, role: str) -> Iterator[np.ndarray]:
    """True positive rates at RATES, one array per unit that has both labels."""
    for _, seed in scores.groupby(UNIT):
        tested = seed[seed["role"] == role]
        if not (tested["label"] == 0).any():  # as in the metrics: known negatives where none are held out
            known = seed[(seed["role"] == "test_closed") & (seed["label"] == 0)]
            tested = pd.concat([tested[tested["label"] == 1], known])
        if tested["label"].nunique() == 2:
            yield roc_curve(tested["label"].to_numpy(), tested["logit_difference"].to_numpy())


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """True positive rate at each false positive rate of RATES.

    >>> roc_curve(np.array([0, 1, 1]), np.array([0.0, 1.0, 2.0]))[[0, 50, 100]].tolist()
    [1.0, 1.0, 1.0]
    """
    missed, false, _ = error_curves(labels, scores)
    false, found = false[::-1], 1 - missed[::-1]
    last = np.append(np.diff(false) > 0, True)  # of equal false positive rates, the most found
    return np.interp(RATES, false[last], found[last])


def sources(generalisation: pd.DataFrame, grid: Grid, dataset: str, path: Path, dpi: int) -> None:
    """AUROC of each held-out source, their macro mean and the closed set: mean and interval over seeds."""
    rows = generalisation[(generalisation["dataset"] == dataset) & (generalisation["n"] > 0)]
    names = rows["source"].where(rows["source"] != "", rows["scope"].replace("macro", "macro held-out"))
    rows = rows.assign(name=names)
    styles, backbones = MethodStyles(grid), list(dict.fromkeys(rows["backbone"]))
    ticks = list(dict.fromkeys(rows["name"]))
    height = 0.9 + 0.62 * len(ticks)
    with saved(path, dpi, len(backbones), 1, (9.2, height * len(backbones))) as axes:
        for axis, backbone in zip(axes[:, 0], backbones, strict=True):
            _dots(axis, rows[rows["backbone"] == backbone], ticks, styles)
            axis.set(title=f"AUROC, {backbone}", yticks=range(len(ticks)), yticklabels=ticks)
            axis.set_ylim(len(ticks) - 0.5, -0.5)
            axis.axvline(0.5, color="#999", linewidth=0.8)
            axis.set_xlim(right=1.0)
        finish(axes, dataset, grid)


def _dots(axis: Axes, rows: pd.DataFrame, ticks: list[str], styles: MethodStyles) -> None:
    present = [method for method in styles.methods if (rows["method"] == method).any()]
    for place, method in enumerate(present):
        part = rows[rows["method"] == method]
        y = part["name"].map(ticks.index) + 0.7 * ((place + 0.5) / len(present) - 0.5)
        reach = interval_reach(part)
        colour = styles.line(method)["color"]
        axis.errorbar(
            part["mean"], y, xerr=reach, fmt=styles.marker(method), color=colour, markersize=4.5,
            elinewidth=1.2, label=styles.name(method), clip_on=False,
        )  # fmt: skip


def interval_reach(rows: pd.DataFrame) -> np.ndarray:
    """How far each interval reaches below and above its mean, (2, rows); nothing where there is none."""
    below, above = rows["mean"] - rows["low"], rows["high"] - rows["mean"]
    return np.nan_to_num(np.stack([below, above]).astype(float)).clip(0)


def training(histories: pd.DataFrame, grid: Grid, dataset: str, path: Path, dpi: int) -> None:
    """Losses on training images and AUROC on validation by epoch: mean over seeds, band least to largest."""
    styles, backbones = MethodStyles(grid), list(dict.fromkeys(histories["backbone"]))
    shown = (("classification", "cross-entropy, train"), ("guidance", "guidance, train"),
             ("val_auroc", "AUROC, validation"))  # fmt: skip
    with saved(path, dpi, len(backbones), 3, (11, 3.3 * len(backbones))) as axes:
        for row, backbone in zip(axes, backbones, strict=True):
            part = histories[histories["backbone"] == backbone]
            for axis, (column, title) in zip(row, shown, strict=True):
                for method in styles.methods:
                    epochs = part[part["method"] == method].groupby("epoch")[column]
                    if len(mean := epochs.mean().dropna()):
                        line = styles.line(method)
                        axis.plot(mean.index, mean, label=styles.name(method), **line)
                        low, high = epochs.min()[mean.index], epochs.max()[mean.index]
                        axis.fill_between(mean.index, low, high, alpha=0.10, color=line["color"], lw=0)
                axis.set(title=f"{title}, {backbone}", xlabel="epoch")
                axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        finish(axes, dataset, grid)


def finish(axes: np.ndarray, dataset: str, grid: Grid) -> None:
    """The legend below, once, and what the data are above."""
    figure = axes[0, 0].figure
    handles: dict[str, Any] = {}
    for axis in axes.ravel():
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    figure.suptitle(heading(grid, dataset), fontsize=9.5, x=0.01, ha="left", color="#333")


def heading(grid: Grid, dataset: str) -> str:
    """The title of each picture: the data set, and that it is a phantom where it is."""
    note = grid.datasets[dataset]
    return f"{note.title}   [PHANTOM: drawn, not real images]" if note.phantom else note.title


def sheet(
    content: Sheet,
    title: str,
    path: Path,
    dpi: int,
    legend: Sequence[tuple[str, tuple[int, int, int]]] = (),
) -> None:
    """A mosaic at its own size, with title, names of rows and columns, and a legend of outlines."""
    tall, wide = content.picture.shape[:2]
    longest = max((len(line) for _, text in content.rows for line in text.splitlines()), default=0)
    left, above = max(70, 20 + 6 * longest), 58 if content.columns else 32
    right, below = 8, 26 if legend else 8
    width, height = wide + left + right, tall + above + below
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
        axis = figure.add_axes((left / width, below / height, wide / width, tall / height))
        axis.imshow(content.picture, interpolation="none")
        axis.axis("off")
        axis.text(6 - left, 6 - above, title, va="top", weight="bold", fontsize=9)
        for across, text, weight in content.columns:
            axis.text(
                across,
                -6 if weight == "normal" else -20,
                text,
                ha="center",
                va="bottom",
                weight=weight,
                fontsize=7,
            )
        for down, text in content.rows:
            axis.text(-8, down, text, ha="right", va="center", fontsize=7)
        for place, (text, colour) in enumerate(legend):
            shade = np.array(colour) / 255
            axis.text(
                place * 130, tall + 14, f"□ {text}", va="center", weight="bold", fontsize=8, color=shade
            )
        write(figure, path, dpi)
