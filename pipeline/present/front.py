"""The first screen of each data set: what was found in a sentence, and one line per method.

A line has what the method looks at, its numbers with their intervals, and what it relies on. Nothing is
computed here: numbers are those of the tables, and each says on which rows and cells it rests.
"""

from typing import Any

import pandas as pd

from pipeline.present.answer import CONFLICT, WITHOUT_CAUSE
from pipeline.present.evidence import gains, shown_first
from pipeline.present.glossary import anchor
from pipeline.present.quantities import QUANTITIES
from pipeline.present.results import Grid
from pipeline.present.tables import Table, bracketed_texts

ALWAYS = ("held_out_auroc", "closed_auroc")  # shown after the quantities that the answer rests on
BOUNDS = {"conflict_auroc": CONFLICT, "without_cause": WITHOUT_CAUSE}  # where a method passes
RANGES = {"evidence_gap": (-1.0, 1.0)}  # of quantities that are no AUROC
VERDICTS = ("shortcut", "cause", "unclear")


def blocks(dataset: str, main: Table, alarm: Table, grid: Grid) -> list[dict[str, Any]]:
    """A table per backbone: `columns` and `lines`; see `_line`."""
    own = main.tidy[main.tidy["dataset"] == dataset]
    own = own.assign(text=bracketed_texts(own))
    found = []
    for backbone, rows in own.groupby("backbone", sort=False):
        there = set(rows.loc[rows["n"] > 0, "quantity"])
        names = [name for name in dict.fromkeys([*shown_first(main, grid), *ALWAYS]) if name in there]
        compared = _compared(dataset, str(backbone), names, main, grid)
        relied = alarm.tidy[(alarm.tidy["dataset"] == dataset) & (alarm.tidy["backbone"] == backbone)]
        shares = relied.set_index("method")[list(VERDICTS)]
        lines = [
            _line(str(method), part, names, compared, shares, grid)
            for method, part in rows.groupby("method", sort=False)
        ]
        columns = [_column(name) for name in names]
        found.append({"backbone": backbone, "columns": columns, "lines": lines, "relied": len(shares) > 0})
    return found


def _compared(
    dataset: str, backbone: str, names: list[str], main: Table, grid: Grid
) -> dict[tuple[str, str], tuple[str, str]]:
    """(method, quantity) -> verdict and text of the difference to the baseline."""
    found = {}
    for name in names:
        rows = gains(main, name, grid.references[0], grid.confidence)
        rows = rows[(rows["dataset"] == dataset) & (rows["backbone"] == backbone)]
        for row in rows.itertuples():
            found[str(row.method), name] = str(row.verdict), str(row.text)
    return found


def _column(name: str) -> dict[str, Any]:
    about, (low, high) = QUANTITIES[name], RANGES.get(name, (0.0, 1.0))
    bound = BOUNDS.get(name)
    return {
        "name": name,
        "title": about.title,
        "anchor": anchor("quantity", about.title),
        "meaning": about.meaning,
        "arrow": "↑" if about.better == "higher" else "↓",
        "ticks": [(low, 0.0), ((low + high) / 2, 50.0), (high, 100.0)],
        "bound": None if bound is None else 100 * (bound - low) / (high - low),
    }


def _line(
    method: str,
    rows: pd.DataFrame,
    names: list[str],
    compared: dict[tuple[str, str], tuple[str, str]],
    shares: pd.DataFrame,
    grid: Grid,
) -> dict[str, Any]:
    """A method's `cells`, one per column or None, and `relies`, the shares of each verdict or None."""
    by_name = {row["quantity"]: (index, row) for index, row in rows.iterrows()}
    cells = [
        _cell(name, *by_name[name], compared.get((method, name)), grid) if name in by_name else None
        for name in names
    ]
    told = shares.loc[[method]].to_dict("records")[0] if method in shares.index else None
    return {"method": method, "label": grid.label(method), "kind": grid.kind(method), "cells": cells,
            "relies": told and [(name, told[name]) for name in VERDICTS]}  # fmt: skip


def _cell(
    name: str, index: Any, row: pd.Series, compared: tuple[str, str] | None, grid: Grid
) -> dict[str, Any] | None:
    """One number: its text, its places on the axis in percent of it, its verdict, and where it comes from."""
    if not row["n"]:
        return None
    low, high = RANGES.get(name, (0.0, 1.0))
    places = {
        each: None if row[each] != row[each] else round(100 * (row[each] - low) / (high - low), 2)
        for each in ("low", "mean", "high")
    }
    verdict, difference = compared or ("", "")
    said = f"difference to {grid.references[0]}: {difference}" if difference not in ("", "–") else ""
    return {
        "text": row["text"],
        "value": float(row["mean"]),
        **places,
        "verdict": verdict if verdict in ("better", "worse") else "",
        "difference": said,
        "receipt": receipt("evidence", int(index), row),
    }


def receipt(table: str, index: int, row: pd.Series) -> dict[str, str]:
    """Where a number comes from: the row of a table, counted from 1 below its head, and its cells."""
    return {
        "row": f"{table} {index + 1}",
        "cells": f"{row['n']} of {row['planned']} units: {row['cells']}" if row["cells"] else "",
    }
