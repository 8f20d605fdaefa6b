"""One static page from tables and figures: opens from disk, needs no network, says the same each time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.common.files import write_text
from pipeline.present.attack_gallery import BRIGHT
from pipeline.present.attack_rows import OTHER, table_of
from pipeline.present.comparisons import Grid
from pipeline.present.tables import Panel, Table, estimate, signed_estimate

FIGURES = {  # stem -> caption
    "roc": "ROC curves: mean over seeds; the band runs from the least to the largest seed.",
    "sources": "AUROC per source: mean and interval over seeds. Held-out sources are unseen in training.",
    "contact_sheet": "Images of each source and class, evenly picked, with what people marked.",
    "gallery": "What was marked and what networks look at, first seed. Each CAM runs over its own range, "
    "dark to bright; the difference salience (true CAM minus false CAM) is signed: blue below 0, red above.",
    "exemplars": "Regions that come back from image to image and speak for class 1, by importance, first "
    "seed. Boxes are the regions; a grey tile: fewer images than places show it.",
    "training": "Training by epoch: mean over seeds; the band runs from the least to the largest seed.",
    "manipulability": "Similarity of manipulated to original explanations against each setting by itself: "
    "lines join methods that differ in that setting only. Mean and t interval over seeds.",
    "robust_decisions": "Share of test images whose decision is right and stands, against the size of the "
    "change: mean over seeds; the band runs from the least to the largest seed.",
}
BESIDE = {  # table -> figures below it
    "generalisation": ["sources", "roc"],
    "alignment": ["gallery"],
    "features": ["exemplars"],
    "cost": ["training"],
    "manipulability": ["manipulability"],
    "robust_decisions": ["robust_decisions"],
}
SHADES = (
    "Each map runs over its own range, dark to bright, the CAM too, which is signed; maps as large as the "
    f"image end at their {BRIGHT}th percentile. Difference salience is shown about 0: blue below, red above."
)
ATTACKS = {  # table -> caption of the pictures of its attacks
    "hoax": f"{{}}: maps of the clean network (before) and of the hoaxed one (after), first seed. {SHADES} "
    "Below the image: what the hoax aims at, if it aims at a map.",
    "manipulability": "{}: originals and manipulated inputs with their explanations, first seed. "
    f"{SHADES} The change runs over its own range: blue darker, red brighter.",
    "robust_decisions": "{}: adversarial explanations, first seed: the image pushed towards either class "
    "within a budget, and the change over its own range. Below: the margin, above 0 for class 1.",
    OTHER: f"{{}}: before the attack and after it, first seed. {SHADES}",
}


def write(
    path: Path, grid: Grid, tables: list[Table], verdicts: pd.DataFrame, stores: dict[str, Path]
) -> None:
    """Write the page; figures are linked where `figures/<stem>_<dataset>.png` exists beside it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("report.html.j2").render(
        grid=grid,
        tables=tables,
        summary=_summary(tables[0].tidy, verdicts, grid),
        sections=[_section(path.parent, name, store, tables, grid) for name, store in stores.items()],
        missing=grid.cells[grid.cells["missing"] != ""].to_dict("records"),
        seeds=sorted(set(grid.cells["seed"])),
        attacked=len(grid.attacks) > 0,
    )
    write_text(path, text)


def _summary(generalisation: pd.DataFrame, verdicts: pd.DataFrame, grid: Grid) -> list[dict[str, Any]]:
    """The page's first tables: macro AUROC, then the difference to each reference with its verdict."""
    macro = generalisation[generalisation["scope"] == "macro"]
    if macro.empty:
        return []
    numbers = macro[["mean", "low", "high", "n", "planned"]].itertuples(index=False)
    shown = macro.assign(text=[estimate(*row) for row in numbers], verdict="plain")
    blocks = [{"title": "AUROC, macro over held-out sources", "counted": False, **_block(shown, grid)}]
    for reference in dict.fromkeys(verdicts["reference"]):
        rows = verdicts[verdicts["reference"] == reference]
        gains = rows[["difference", "low", "high"]].itertuples(index=False)
        rows = rows.assign(text=[signed_estimate(*row) for row in gains])
        blocks.append({"title": f"Difference to {reference}", "counted": True, **_block(rows, grid)})
    return blocks


def _block(frame: pd.DataFrame, grid: Grid) -> dict[str, Any]:
    """Rows of `text` and `verdict` by method, one column per data set and backbone."""
    columns = list(dict.fromkeys(zip(frame["dataset"], frame["backbone"], strict=True)))
    rows = []
    for method, mine in frame.groupby("method", sort=False):
        place = {(row.dataset, row.backbone): row for row in mine.itertuples()}
        cells = [(place[c].text, place[c].verdict) if c in place else ("–", "missing") for c in columns]
        counts = {name: sum(verdict == name for _, verdict in cells) for name in ("better", "worse")}
        rows.append({"method": method, "control": method in grid.controls, "cells": cells, **counts})
    return {"columns": columns, "rows": rows}


def _section(folder: Path, dataset: str, store: Path, tables: list[Table], grid: Grid) -> dict[str, Any]:
    """What the page says about one data set."""
    protocol, audit = (json.loads((store / name).read_text()) for name in ("protocol.json", "audit.json"))
    captions, beside = FIGURES | {}, {table: list(kinds) for table, kinds in BESIDE.items()}
    for table, kind, caption in _attack_pictures(grid):
        captions[kind] = caption
        beside[table] = [*beside.get(table, []), kind]
    figures = [
        {"stem": f"{stem}_{dataset}", "kind": stem, "caption": caption}
        for stem, caption in captions.items()
        if (folder / "figures" / f"{stem}_{dataset}.png").is_file()
    ]
    return {
        "name": dataset,
        "protocol": protocol,
        "counts": audit["counts"],
        "findings": audit["findings"],
        "quarantined": audit["quarantined"],
        "figures": {figure["kind"]: figure for figure in figures},
        "tables": [
            (table, _of(table, dataset), beside.get(table.name, []))
            for table in tables
            if _of(table, dataset)
        ],
    }


def _attack_pictures(grid: Grid) -> Iterator[tuple[str, str, str]]:
    """(table, kind of figure, caption) of each attack's picture."""
    for attack, kind in grid.attacks[["attack", "kind"]].drop_duplicates().itertuples(index=False):
        yield table_of(kind), f"attack_{attack}", ATTACKS[table_of(kind)].format(attack)


def _of(table: Table, dataset: str) -> list[Panel]:
    return [panel for panel in table.panels if panel.dataset == dataset]
