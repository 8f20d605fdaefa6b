"""One static page from tables and figures: opens from disk, needs no network, says the same each time."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.common.files import write_text
from pipeline.score.summaries import Grid
from pipeline.score.tables import Panel, Table, estimate, signed_estimate

FIGURES = {  # stem -> caption
    "roc": "ROC curves: mean over seeds; the band runs from the least to the largest seed.",
    "sources": "AUROC per source: mean and interval over seeds. Held-out sources are unseen in training.",
    "contact_sheet": "Images of each source and class, evenly picked, with what people marked.",
    "gallery": "What was marked and what networks look at, first seed. Each CAM runs over its own range, "
    "dark to bright; the difference salience (true CAM minus false CAM) is signed: blue below 0, red above.",
    "exemplars": "Regions that come back from image to image and speak for class 1, by importance, first "
    "seed. Boxes are the regions; a grey tile: fewer images than places show it.",
    "training": "Training by epoch: mean over seeds; the band runs from the least to the largest seed.",
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
        sections=[_section(path.parent, name, store, tables) for name, store in stores.items()],
        missing=grid.cells[grid.cells["missing"] != ""].to_dict("records"),
        seeds=sorted(set(grid.cells["seed"])),
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


def _section(folder: Path, dataset: str, store: Path, tables: list[Table]) -> dict[str, Any]:
    """What the page says about one data set."""
    protocol, audit = (json.loads((store / name).read_text()) for name in ("protocol.json", "audit.json"))
    figures = [
        {"stem": f"{stem}_{dataset}", "kind": stem, "caption": caption}
        for stem, caption in FIGURES.items()
        if (folder / "figures" / f"{stem}_{dataset}.png").is_file()
    ]
    return {
        "name": dataset,
        "protocol": protocol,
        "counts": audit["counts"],
        "findings": audit["findings"],
        "quarantined": audit["quarantined"],
        "figures": {figure["kind"]: figure for figure in figures},
        "tables": [(table, _of(table, dataset)) for table in tables if _of(table, dataset)],
    }


def _of(table: Table, dataset: str) -> list[Panel]:
    return [panel for panel in table.panels if panel.dataset == dataset]
