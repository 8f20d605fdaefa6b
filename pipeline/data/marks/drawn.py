"""Grey map files of the image's size, 0 (not marked) to 255.

{kind: drawn, folder: heatmaps}     `<stem of the image>.png`
{kind: drawn, path: column}         paths in a column of the image table
"""

from typing import Any

from pipeline.common.errors import UserError
from pipeline.data.listing import Listing
from pipeline.data.marks.matching import Marked
from pipeline.data.samples import Drawn

NEEDED = ()
ALLOWED = ("folder", "path")


def read(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    """Append one Drawn to each sample that has a map.

    Absent files of the column (E_ANN_MISSING) are noted in the listing.
    Raises UserError: neither a folder nor a column, or both.
    """
    if ("folder" in maps) == ("path" in maps):
        raise UserError("image_table: drawn maps need either a folder or a path column")
    for sample, cells in samples:
        if "folder" in maps:
            path = listing.root / maps["folder"] / f"{sample.image_path.stem}.png"
            found = path if path.is_file() else None
        else:
            listed = cells[maps["path"]]
            found = listing.file(listed, sample.where, "E_ANN_MISSING") if listed else None
        if found is not None:
            sample.annotations.append(Drawn(found))
