"""Fixations of an eye tracker in a table, one row each, positions in px of the image.

    {kind: fixations, table: gaze.csv, key: image, x: fix_x, y: fix_y, duration: ms, px_per_degree: ppd}

`duration` is in any unit, since only its share counts. How wide a fixation spreads: `sigma` names a column in
px; `px_per_degree` one with the px of a degree of visual angle, which is then sigma, as in REFLACX.
`annotator` names the column that tells readers apart; `grouping` has `where` and `keep`.
"""

from typing import Any

import numpy as np

from pipeline.common.errors import UserError
from pipeline.data.listing import Listing, TableRow
from pipeline.data.marks.grouping import SELECTION, group_rows
from pipeline.data.marks.matching import Marked
from pipeline.data.problems import Problem
from pipeline.data.samples import Fixations, Sample

NEEDED = ("table", "key", "x", "y", "duration")
WIDTHS = ("sigma", "px_per_degree")
ALLOWED = (*SELECTION, *WIDTHS)


def read(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    """Append one Fixations per reader; cells that are no numbers make a sample a problem (E_FIX).

    Raises UserError: neither `sigma` nor `px_per_degree`, or both, and what `group_rows` raises.
    """
    told = [name for name in WIDTHS if name in maps]
    if len(told) != 1:
        raise UserError("image_table: fixations need either maps.sigma or maps.px_per_degree, a column in px")
    columns = [maps[name] for name in ("x", "y", "duration", *told)]
    for sample, rows in group_rows(listing, samples, maps, columns):
        numbers = _read_numbers(sample, rows, columns)
        if numbers is not None:
            x, y, duration, sigma = numbers.T
            sample.annotations.append(Fixations(x, y, sigma, sigma, duration))


def _read_numbers(sample: Sample, rows: list[TableRow], columns: list[str]) -> np.ndarray | None:
    """The columns (n, k) of a reader's rows; None, and the sample a problem, if some are no numbers >= 0."""
    try:
        numbers = np.array([[float(row.cells[column]) for column in columns] for row in rows])
    except ValueError:
        numbers = np.full((1, len(columns)), np.nan)
    if not np.isfinite(numbers).all() or (numbers[:, 2:] < 0).any():
        message = f"expected numbers in {', '.join(columns)}, the last two not below 0"
        sample.problem = Problem("E_FIX", f"{rows[0].where} to {rows[-1].where}", message)
        return None
    return numbers
