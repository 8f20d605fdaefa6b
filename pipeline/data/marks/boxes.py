"""Rectangles in a table, one row each; blank corners: a reader who saw none.

    {kind: xywh, table: boxes.csv, key: column, corners: [x, y, w, h]}
    {kind: xyxy, table: boxes.csv, key: column, corners: [x0, y0, x1, y1]}

`grouping` has the settings that tell readers apart and choose rows. Corners are in px of the image as stored.
"""

from typing import Any

import numpy as np

from pipeline.data.listing import Listing
from pipeline.data.marks.grouping import SELECTION, check_corners, group_rows, read_numbers
from pipeline.data.marks.matching import Marked
from pipeline.data.samples import Boxes

NEEDED = ("table", "key", "corners")
ALLOWED = SELECTION


def read(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    """Append one Boxes per annotator; corners that are no numbers make a sample a problem (E_BOX).

    Raises UserError: corners that are not four columns, and what `group_rows` raises.
    """
    check_corners(maps, 4)
    for sample, rows in group_rows(listing, samples, maps, maps["corners"]):
        corners = [numbers for row in rows for numbers in read_numbers(sample, row, maps["corners"])]
        found = np.array(corners, dtype=float).reshape(-1, 4)
        if maps["kind"] == "xywh":
            found[:, 2:] += found[:, :2]
        sample.annotations.append(Boxes(found))
