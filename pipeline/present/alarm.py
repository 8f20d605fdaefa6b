"""What models rely on: the shortcut alarm's verdicts as sentences, shares, pictures, and how well it tells.

It shows class 1 (abnormal, attack, synthetic), which has a cause to be found. `alarms` are the rows of
`alarm.csv` (`pipeline.measure.reliance`) of all cells, with their place in the grid.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.store import Store
from pipeline.explain import suspicion
from pipeline.explain.suspicion import CAUSE, SHORTCUT, UNCLEAR
from pipeline.present import figures, pictures
from pipeline.present.gallery import Sheet, named
from pipeline.present.results import GROUP, UNIT, Grid
from pipeline.present.tables import Panel, Table, in_order, parts, rests_on
from pipeline.score import metrics

VERDICTS = (SHORTCUT, CAUSE, UNCLEAR)
COLOURS = {SHORTCUT: pictures.SHORTCUT, CAUSE: pictures.CAUSAL, UNCLEAR: (120, 120, 120)}  # of boxes
MOST, SOME = 0.5, 0.1  # shares of what speaks for class 1
STANDS = 0.75  # AUROC with marked places covered from which what people marked cannot be all
CONCEPTS, EXEMPLARS = 3, 3  # of a row of pictures

CAPTION = (
    "Concepts are places that come back from image to image and speak for class 1. Each is judged by what "
    "real data offer: whether people marked it, whether it still tells the classes apart in sources never "
    "learned from, and what the margin loses without it; a score from "
    f"{suspicion.ALARM:g} is called a shortcut, one up to {suspicion.CLEARED:g} a cause. Shares are of all "
    "that concepts add to the margins of test images, mean over cells. Where people marked nothing there is "
    "less evidence, and a verdict needs more of it. The alarm sees what a model's maps show; a model may "
    "decide by more, which only covering the marked places tells: no alarm is no acquittal. The alarm "
    "itself: AUROC of the score over the concepts of all cells whose truth is known (phantoms: which exact "
    "mask they meet more); false alarms: causes that were called shortcuts."
)


def table(alarms: pd.DataFrame, counterfactuals: pd.DataFrame, grid: Grid) -> Table:
    """A sentence per data set, backbone and method, and on phantoms how well the alarm tells.

    `counterfactuals` are the rows of `counterfactuals.csv` of all cells: verdicts on what maps show are held
    against what is left when marked places are covered.
    """
    tidy = in_order(shares(alarms).join(covered(counterfactuals), on=GROUP), grid)
    found = [
        Panel(dataset, heading, pd.DataFrame([_line(row, grid) for row in rows.to_dict("records")]))
        for dataset, heading, rows in parts(tidy, grid)
    ]
    for row in judged(alarms).to_dict("records"):
        name = row["dataset"]
        found.append(Panel(name, f"{grid.datasets[name].title}, the alarm itself", _judged_line(row)))
    shown = {
        "alarm": "Concepts of class 1 with the alarm's verdict, the heaviest first, first seed. A grey tile: "
        "fewer images than places show it.",
        "alarm_roc": "Shortcuts against causes by the alarm's score, over the concepts of all cells.",
    }
    caption = f"{CAPTION} {rests_on(grid, 'identify', interval='')}"
    return Table("alarm", "What models rely on", caption, tidy, found, figures=shown)


def shares(alarms: pd.DataFrame) -> pd.DataFrame:
    """Per data set, backbone and method: the mean share of each verdict in what speaks for class 1.

    Columns GROUP, shortcut, cause, unclear, alarms (cells with a share of SOME or more called a shortcut), n
    (cells), evidence (the kinds that any concept had).
    """
    abnormal = alarms[alarms["predicted"] == 1]
    weights = abnormal.pivot_table(
        index=[*GROUP, *UNIT], columns="verdict", values="weight", aggfunc="sum", fill_value=0, sort=False
    )
    cells = weights.reindex(columns=list(VERDICTS), fill_value=0.0)
    cells = cells.div(cells.sum(axis=1), axis=0).fillna(0).assign(alarms=cells[SHORTCUT] >= SOME, n=1)
    sums = dict.fromkeys(VERDICTS, "mean") | {"alarms": "sum", "n": "sum"}
    kinds = abnormal.groupby(GROUP)["evidence"].agg(lambda texts: " ".join(_kinds(texts)))
    return cells.groupby(GROUP, sort=False).agg(sums).join(kinds).reset_index()


def covered(counterfactuals: pd.DataFrame) -> pd.Series:
    """Per data set, backbone and method: mean AUROC in known sources with what people marked blurred."""
    wanted = {"role": "test_closed", "region": "human", "fill": "blur", "test": "without"}
    chosen = np.logical_and.reduce([counterfactuals[name] == value for name, value in wanted.items()])
    return counterfactuals[chosen].groupby(GROUP)["auroc"].mean().rename("covered")


def judged(alarms: pd.DataFrame) -> pd.DataFrame:
    """Per data set that has both: AUROC of the score for shortcuts against causes, and what was called wrong.

    Columns dataset, auroc, auroc_without_maps (had nobody marked anything), n_shortcut, n_cause, false_alarms
    (share of causes that are called shortcuts), found (share of shortcuts that are called so).
    """
    rows = []
    for dataset, known in alarms[alarms["truth"].isin([SHORTCUT, CAUSE])].groupby("dataset", sort=False):
        really = (known["truth"] == SHORTCUT).to_numpy()
        called = (known["verdict"] == SHORTCUT).to_numpy()
        if really.any() and not really.all():
            rows.append(
                {
                    "dataset": dataset,
                    "auroc": metrics.auroc(really, known["score"].to_numpy()),
                    "auroc_without_maps": metrics.auroc(really, without_maps(known)),
                    "n_shortcut": int(really.sum()),
                    "n_cause": int((~really).sum()),
                    "false_alarms": called[~really].mean(),
                    "found": called[really].mean(),
                }
            )
    columns = ["dataset", "auroc", "auroc_without_maps", "n_shortcut", "n_cause", "false_alarms", "found"]
    return pd.DataFrame(rows, columns=columns)


def without_maps(alarms: pd.DataFrame) -> np.ndarray:
    """The scores that the same concepts would have without human maps."""
    blind = suspicion.judge(alarms.assign(inside_maps=np.nan, n_maps=0))
    return blind["score"].to_numpy()


def roc(alarms: pd.DataFrame, grid: Grid, dataset: str, path: Path, dpi: int) -> None:
    """ROC of the alarm on one data set that `judged` has, with and without human maps."""
    known = alarms[(alarms["dataset"] == dataset) & alarms["truth"].isin([SHORTCUT, CAUSE])]
    really = (known["truth"] == SHORTCUT).to_numpy()
    curves = {"all evidence": known["score"].to_numpy(), "without human maps": without_maps(known)}
    with figures.saved(path, dpi, 1, 1, (4.6, 4.6)) as axes:
        axis = axes[0, 0]
        for (name, scores), colour in zip(curves.items(), figures.COLOURS, strict=False):
            label = f"{name}: {metrics.auroc(really, scores):.3f}"
            axis.plot(figures.RATES, figures.roc_curve(really, scores), color=colour, label=label)
        axis.plot([0, 1], [0, 1], color="#bbb", linewidth=0.8)
        axis.set(xlabel="causes called shortcuts", ylabel="shortcuts found", aspect="equal")
        figures.finish(axes, dataset, grid)


def sheet(store: Store, cells: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], side: int = 96) -> Sheet:
    """Rows: methods. Columns: exemplars of the heaviest concepts of class 1, boxed in the verdict's colour.

    `cells` holds (alarm.csv, exemplars.csv) of one cell per method.
    """
    rows_of = {sample_id: row for row, sample_id in enumerate(store.manifest["sample_id"])}
    rows = []
    for alarms, exemplars in cells.values():
        own = alarms[alarms["predicted"] == 1].sort_values("weight", ascending=False, kind="stable")
        tiles = []
        for concept, verdict in own[["concept", "verdict"]].head(CONCEPTS).itertuples(index=False):
            chosen = exemplars[(exemplars["predicted"] == 1) & (exemplars["concept"] == concept)]
            for region in chosen.head(EXEMPLARS).itertuples():
                picture = pictures.grey_or_colour(store.images[rows_of[region.sample_id]], side)
                tiles.append(_boxed(picture, region, COLOURS[verdict]))
            tiles += [pictures.blank(side)] * (-len(tiles) % EXEMPLARS)
        rows.append(tiles or [pictures.blank(side)])
    widest = max(map(len, rows)) // EXEMPLARS
    heads = [
        ("", f"concept {place + 1}" if part == EXEMPLARS // 2 else "")
        for place in range(widest)
        for part in range(EXEMPLARS)
    ]
    return named(rows, heads, list(cells), side)


def _boxed(picture: np.ndarray, region: Any, colour: tuple[int, int, int]) -> np.ndarray:
    """A picture (side, side, 3) with the box of a region."""
    side = len(picture)
    x, y, width, height = np.rint(np.array([region.x, region.y, region.width, region.height]) * side).astype(
        int
    )
    mask = np.zeros((side, side), bool)
    mask[y : y + max(height, 3), x : x + max(width, 3)] = True
    return pictures.outlined(picture, mask, colour, width=2)


def _line(row: Mapping[Any, Any], grid: Grid) -> dict[str, str]:
    percent = {f"{verdict}": f"{row[verdict]:.0%}" for verdict in VERDICTS}
    counted = {
        "alarm in": f"{row['alarms']} of {row['n']} cells",
        "AUROC, marked places covered": f"{row['covered']:.2f}" if row["covered"] == row["covered"] else "–",
    }
    return {"method": grid.label(row["method"]), **percent, **counted, "in words": sentence(row)}


def sentence(row: Mapping[Any, Any]) -> str:
    """What a reader of its verdicts should know, from a row of the table.

    >>> row = {"shortcut": 0.8, "cause": 0.2, "evidence": "maps sources fill", "covered": 1.0}
    >>> sentence(row)[:60]
    'Mostly a shortcut (80 %): its positive calls rest on places '
    """
    kinds = str(row["evidence"]).split()
    signs = {
        "maps": "that people did not mark",
        "sources": "that tell less, or nothing, in new sources",
    }
    why = " and ".join(text for kind, text in signs.items() if kind in kinds)
    limits = [] if "maps" in kinds else ["Nobody marked these images, so this is less certain."]
    limits += [] if "sources" in kinds else ["Unseen sources could not test it, so this is less certain."]
    shortcut, cause = f"{row[SHORTCUT] * 100:.0f} %", f"{row[CAUSE] * 100:.0f} %"
    if row[SHORTCUT] >= SOME:
        much, rest = ("Mostly", "rest") if row[SHORTCUT] >= MOST else ("In part", "rest in part")
        said = (
            f"{much} a shortcut ({shortcut}): its positive calls {rest} on places {why}. Check each by eye."
        )
    elif row[CAUSE] >= MOST:
        held = "what people look for" if "maps" in kinds else "what holds in new sources"
        said = f"Mostly {held} ({cause}): its maps show no sign of a shortcut."
    else:
        said = "Unclear: neither a shortcut nor a cause explains most of its positive calls."
    if row["covered"] >= STANDS:
        still = f"AUROC is still {row['covered']:.2f} with the places that people marked covered"
        limits.insert(0, f"{still}: it decides by more than those.")
    return " ".join([said, *limits])


def _judged_line(row: Mapping[Any, Any]) -> pd.DataFrame:
    line = {
        "AUROC": f"{row['auroc']:.3f}",
        "without human maps": f"{row['auroc_without_maps']:.3f}",
        "shortcuts": row["n_shortcut"],
        "causes": row["n_cause"],
        "shortcuts found": f"{row['found']:.0%}",
        "false alarms": f"{row['false_alarms']:.0%}",
    }
    return pd.DataFrame([line])


def _kinds(texts: pd.Series) -> list[str]:
    """Every kind of evidence that is named, once."""
    return list(dict.fromkeys(kind for text in texts for kind in str(text).split()))
