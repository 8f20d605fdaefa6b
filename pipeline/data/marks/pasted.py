"""Mask files as large as their boxes, listed in a table with the place of each; blank paths are skipped.

    {kind: pasted, table: masks.csv, key: column, path: column, corners: [left, top]}

`grouping` has the settings that tell readers apart and choose rows.
"""

from typing import Any

from pipeline.data.listing import Listing
from pipeline.data.marks.grouping import SELECTION, check_corners, group_rows, read_numbers
from pipeline.data.marks.matching import Marked
from pipeline.data.samples import Pasted

NEEDED = ("table", "key", "path", "corners")
ALLOWED = SELECTION


def read(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    """Append one Pasted per annotator; absent files (E_ANN_MISSING) are noted in the listing.

    Raises UserError: corners that are not two columns, and what `group_rows` raises.
    """
    check_corners(maps, 2)
    for sample, rows in group_rows(listing, samples, maps, (maps["path"], *maps["corners"])):
        parts = []
        for row in rows:
            listed = row.cells[maps["path"]]
            path = listing.file(listed, row.where, "E_ANN_MISSING") if listed else None
            if path is not None:
                corner = read_numbers(sample, row, maps["corners"])
                parts += [(path, int(left), int(top)) for left, top in corner]
        if parts:
            sample.annotations.append(Pasted(tuple(parts)))
