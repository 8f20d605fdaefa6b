"""One static page from tables and figures: opens from disk, needs no network, says the same each time."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.common.files import write_text
from pipeline.score.summaries import Grid
from pipeline.score.tables import Panel, Table, signed_estimate

FIGURES = {  # stem -> caption
    "roc": "ROC curves: mean over seeds; the band runs from the least to the largest seed.",
    "sources": "AUROC per source: mean and interval over seeds. Held-out sources are unseen in training.",
    "contact_sheet": "Images of each source and class, evenly picked, with what people marked.",
    "gallery": "What was marked and what networks look at, first seed. Each CAM runs over its own range, "
    "dark to bright; the difference salience (true CAM minus false CAM) is signed: blue below 0, red above.",
    "exemplars": "Regions that come back from image to image and speak for class 1, by importance.",
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
        summary=_summary(verdicts, grid),
        sentences=sentences(verdicts, grid),
        sections=[_section(path.parent, name, store, tables) for name, store in stores.items()],
        missing=grid.cells[grid.cells["missing"] != ""].to_dict("records"),
        seeds=sorted(set(grid.cells["seed"])),
    )
    write_text(path, text)


def sentences(verdicts: pd.DataFrame, grid: Grid) -> list[str]:
    """Per reference: which methods beat it on how many data sets, and what the controls do."""
    lines = []
    for reference in dict.fromkeys(verdicts["reference"]):
        rows = verdicts[verdicts["reference"] == reference]
        places = rows.groupby(["dataset", "backbone"]).ngroups
        parts = []
        for method, mine in rows.groupby("method", sort=False):
            counts = mine["verdict"].value_counts()
            better, worse = int(counts.get("better", 0)), int(counts.get("worse", 0))
            name = f"{method} (control)" if method in grid.controls else str(method)
            parts.append(f"{name}: better on {better}, worse on {worse} of {places}")
        lines.append(f"Against {reference}: {'; '.join(parts)}.")
    return lines


def _summary(verdicts: pd.DataFrame, grid: Grid) -> list[dict[str, Any]]:
    """One block per reference: column names, and per method its differences with their verdicts."""
    blocks = []
    for reference, rows in verdicts.groupby("reference", sort=False):
        columns = list(dict.fromkeys(zip(rows["dataset"], rows["backbone"], strict=True)))
        lines = []
        for method, mine in rows.groupby("method", sort=False):
            by_place = {(row.dataset, row.backbone): row for row in mine.itertuples()}
            found = [by_place.get(column) for column in columns]
            lines.append(
                {"method": method, "control": method in grid.controls, "cells": [_gain(r) for r in found]}
            )
        blocks.append({"reference": reference, "columns": columns, "rows": lines})
    return blocks


def _gain(row: Any) -> dict[str, str]:
    if row is None:
        return {"text": "–", "verdict": "missing"}
    return {"text": signed_estimate(row.difference, row.low, row.high), "verdict": row.verdict}


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
        "warnings": audit["warnings"],
        "figures": {figure["kind"]: figure for figure in figures},
        "tables": [(table, _of(table, dataset)) for table in tables if _of(table, dataset)],
    }


def _of(table: Table, dataset: str) -> list[Panel]:
    return [panel for panel in table.panels if panel.dataset == dataset]
