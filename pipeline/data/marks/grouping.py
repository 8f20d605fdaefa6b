"""Marks that stand in a table, one row each, by image and by annotator.

`key` names the column of the image, by path or name. `annotator: column` tells several readers of one image
apart. `where: column` and `keep: [words]` take only some rows of the table.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.common.errors import UserError
from pipeline.data.listing import Listing, TableRow, read_table
from pipeline.data.marks.matching import Marked, find_images
from pipeline.data.problems import Problem
from pipeline.data.samples import Sample

SELECTION = ("annotator", "where", "keep")


def group_rows(
    listing: Listing, samples: Marked, maps: dict[str, Any], columns: Sequence[str]
) -> Iterator[tuple[Sample, list[TableRow]]]:
    """Each annotator's rows of each image, images and annotators in the order of their first rows.

    `columns` are those needed beside the key and the selection.
    Raises UserError: `where` without `keep`, and the codes of `listing.read_table`.
    """
    if ("where" in maps) != ("keep" in maps):
        raise UserError("image_table: maps.where and maps.keep go together")
    told = [maps[key] for key in ("key", "annotator", "where") if key in maps]
    rows = [
        row
        for row in read_table(listing.root / maps["table"], columns=(*told, *columns))
        if "where" not in maps or row.cells[maps["where"]] in maps["keep"]
    ]
    keys: dict[str, str] = {}
    for where, cells in rows:
        keys.setdefault(cells[maps["key"]], where)
    images = find_images(listing, [sample for sample, _ in samples], keys, "maps.key")
    marked: dict[int, dict[str, list[TableRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.cells[maps["key"]] in images:
            annotator = row.cells[maps["annotator"]] if "annotator" in maps else ""
            marked[images[row.cells[maps["key"]]]][annotator].append(row)
    for place, people in marked.items():
        yield from ((samples[place][0], theirs) for theirs in people.values())


def read_numbers(sample: Sample, row: TableRow, columns: Sequence[str]) -> list[list[float]]:
    """One row of numbers; none if all its cells are blank, or if they are no numbers (a problem then)."""
    values = [row.cells[column] for column in columns]
    if not any(values):
        return []
    try:
        return [[float(value) for value in values]]
    except ValueError:
        sample.problem = Problem("E_BOX", row.where, f"expected numbers in {', '.join(columns)}")
        return []


def check_corners(maps: dict[str, Any], needed: int) -> None:
    """UserError unless the setting `corners` names so many columns."""
    if len(maps["corners"]) != needed:
        raise UserError(f"image_table: maps.corners needs {needed} columns for kind {maps['kind']}")
