"""Static pages from tables and figures: they open from disk, need no network, and say the same each time."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.common.files import write_text
from pipeline.present.draws import Joined
from pipeline.present.evidence import estimates, gains, shown_first
from pipeline.present.quantities import QUANTITIES
from pipeline.present.results import Grid
from pipeline.present.tables import Panel, Table, units_text
from pipeline.score.stats import FEWEST

CONTACT_SHEET = "Images of each source and class, evenly picked, with what people marked."


def write(path: Path, grid: Grid, tables: list[Table], sentences: list[str], stores: dict[str, Path]) -> None:
    """Write the page; figures are linked where `figures/<stem>_<dataset>.png` exists beside it.

    tables: the first is that of evidence. sentences: what was found. stores: draw -> its prepared folder.
    """
    text = template("report.html.j2").render(
        grid=grid,
        tables=tables,
        sentences=sentences,
        summary=_summary(tables[0], grid),
        sections=[
            _section(path.parent, name, group, stores[group.draws[0]], tables)
            for name, group in grid.draws.items()
        ],
        missing=grid.cells[grid.cells["missing"] != ""].to_dict("records"),
        units=units_text(grid),
        fewest=FEWEST,
        attacked=len(grid.attacks) > 0,
    )
    write_text(path, text)


def write_cost(path: Path, grid: Grid, table: Table) -> None:
    """Write the page about what the cells cost on this machine."""
    write_text(path, template("cost.html.j2").render(grid=grid, table=table))


def template(name: str) -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _summary(main: Table, grid: Grid) -> list[dict[str, Any]]:
    """The page's first tables: each first quantity, then its difference to each reference with a verdict."""
    blocks = []
    for quantity in shown_first(main, grid):
        title = QUANTITIES[quantity].title
        blocks.append({"title": title, "counted": False, **_block(estimates(main, quantity), grid)})
        for reference in grid.references:
            found = gains(main, quantity, reference, grid.confidence)
            if len(found):
                told = bool(found["verdict"].isin(["better", "worse", "unclear"]).any())
                about = {"title": f"{title}: difference to {reference}", "counted": told}
                blocks.append({**about, **_block(found, grid)})
    return blocks


def _block(frame: pd.DataFrame, grid: Grid) -> dict[str, Any]:
    """Rows of `text` and `verdict` by method, one column per plain data set and backbone."""
    frame = frame[~frame["dataset"].isin(grid.variants())]
    columns = list(dict.fromkeys(zip(frame["dataset"], frame["backbone"], strict=True)))
    rows = []
    for method, mine in frame.groupby("method", sort=False):
        place = {(row.dataset, row.backbone): row for row in mine.itertuples()}
        cells = [(place[c].text, place[c].verdict) if c in place else ("–", "missing") for c in columns]
        counts = {name: sum(verdict == name for _, verdict in cells) for name in ("better", "worse")}
        about = {"method": grid.label(str(method)), "beside": bool(grid.kind(str(method)))}
        rows.append({**about, "cells": cells, **counts})
    return {"columns": columns, "rows": rows}


def _section(folder: Path, dataset: str, group: Joined, store: Path, tables: list[Table]) -> dict[str, Any]:
    """What the page says about one data set; `store` is that of its first draw."""
    protocol, audit = (json.loads((store / name).read_text()) for name in ("protocol.json", "audit.json"))
    shown = [(table, _panels_about(table, dataset)) for table in tables]
    captions = {"contact_sheet": CONTACT_SHEET}
    for table in tables:
        captions |= table.figures
    return {
        "name": dataset,
        "draws": group.draws,
        "protocol": protocol,
        "counts": audit["counts"],
        "findings": audit["findings"],
        "quarantined": audit["quarantined"],
        "figures": {
            kind: {"stem": f"{kind}_{dataset}", "caption": caption}
            for kind, caption in captions.items()
            if (folder / "figures" / f"{kind}_{dataset}.png").is_file()
        },
        "tables": [(table, panels) for table, panels in shown if panels],
    }


def _panels_about(table: Table, dataset: str) -> list[Panel]:
    return [panel for panel in table.panels if panel.dataset == dataset]
