"""Human maps of an image table: the setting `maps`, one of four kinds.

    {kind: drawn, folder: heatmaps}         grey files of the image's size, `<stem of the image>.png`
    {kind: drawn, path: column}             the same, paths in a column of the image table
    {kind: xywh, table: boxes.csv, key: column, corners: [x, y, w, h]}
    {kind: xyxy, table: boxes.csv, key: column, corners: [x0, y0, x1, y1]}
                                            boxes, one row each; blank corners: a reader who saw none
    {kind: pasted, table: masks.csv, key: column, path: column, corners: [left, top]}
                                            mask files as large as their boxes; blank paths are skipped

`key` holds the file name of the image. `annotator: column` tells several readers of one image apart: their
maps are averaged. `where: column` and `keep: [words]` take only some rows of the table.
"""

from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pipeline.common.errors import UserError, nearest
from pipeline.data.listing import Listing, TableRow, read_table
from pipeline.data.problems import Problem
from pipeline.data.samples import Boxes, Drawn, Pasted, Sample

SELECTION = ("annotator", "where", "keep")
KEYS = {  # kind -> (needed, allowed beyond them)
    "drawn": ((), ("folder", "path")),
    "xyxy": (("table", "key", "corners"), SELECTION),
    "xywh": (("table", "key", "corners"), SELECTION),
    "pasted": (("table", "key", "path", "corners"), SELECTION),
}
CORNERS = {"xyxy": 4, "xywh": 4, "pasted": 2}


def annotate(listing: Listing, samples: list[tuple[Sample, dict[str, str]]], maps: dict[str, Any]) -> None:
    """Give each sample (with its row of the image table) the annotations that `maps` tells of.

    Broken boxes make a sample a problem (E_BOX); absent files (E_ANN_MISSING) and a table that names none of
    the images (E_JOIN) are noted in the listing.
    Raises UserError: settings that do not fit the kind, E_LAYOUT and the codes of `listing.read_table`.
    """
    _check_settings(maps)
    kind = maps["kind"]
    if kind == "drawn":
        for sample, cells in samples:
            _add_drawn(listing, sample, cells, maps)
        return
    marked = _group_by_image(listing, maps)
    if marked and not any(sample.image_path.name in marked for sample, _ in samples):
        message = f"column {maps['key']!r} names none of the images; expected file names such as"
        example = samples[0][0].image_path.name if samples else "image.png"
        listing.add("E_JOIN", maps["table"], f"{message} {example!r}, mend maps.key or the table")
    for sample, _ in samples:
        for rows in marked.get(sample.image_path.name, {}).values():
            if kind == "pasted":
                _add_pasted(listing, sample, rows, maps)
            else:
                _add_boxes(sample, rows, maps)


def _check_settings(maps: dict[str, Any]) -> None:
    kind = maps.get("kind")
    if kind not in KEYS:
        raise UserError(f"image_table: maps.kind {kind!r} is not known; {nearest(str(kind), KEYS)}")
    needed, further = KEYS[kind]
    problems = [f"image_table: maps of kind {kind} need {key!r}" for key in needed if key not in maps]
    for key in sorted(set(maps) - {"kind", *needed, *further}):
        hint = nearest(key, (*needed, *further))
        problems.append(f"image_table: maps of kind {kind} have no {key!r}; {hint}")
    if kind == "drawn" and ("folder" in maps) == ("path" in maps):
        problems.append("image_table: drawn maps need either a folder or a path column")
    if ("where" in maps) != ("keep" in maps):
        problems.append("image_table: maps.where and maps.keep go together")
    for key, value in maps.items():
        if isinstance(value, list) != (key in ("corners", "keep")):
            problems.append(
                f"image_table: maps.{key} must be {'text' if isinstance(value, list) else 'a list'}"
            )
    if isinstance(maps.get("corners"), list) and len(maps["corners"]) != CORNERS.get(kind):
        problems.append(f"image_table: maps.corners needs {CORNERS.get(kind)} columns for kind {kind}")
    if problems:
        raise UserError(problems)


def _group_by_image(listing: Listing, maps: dict[str, Any]) -> dict[str, dict[str, list[TableRow]]]:
    """The rows of the marks' table: by file name of the image, then by annotator."""
    told = [maps[key] for key in ("key", "path", "annotator", "where") if key in maps]
    marked: dict[str, dict[str, list[TableRow]]] = defaultdict(lambda: defaultdict(list))
    for row in read_table(listing.root / maps["table"], columns=(*told, *maps["corners"])):
        if "where" not in maps or row.cells[maps["where"]] in maps["keep"]:
            annotator = row.cells[maps["annotator"]] if "annotator" in maps else ""
            marked[PurePosixPath(row.cells[maps["key"]]).name][annotator].append(row)
    return marked


def _add_drawn(listing: Listing, sample: Sample, cells: dict[str, str], maps: dict[str, Any]) -> None:
    if "folder" in maps:
        path = listing.root / maps["folder"] / f"{sample.image_path.stem}.png"
        found = path if path.is_file() else None
    else:
        listed = cells[maps["path"]]
        found = listing.file(listed, sample.where, "E_ANN_MISSING") if listed else None
    if found is not None:
        sample.annotations.append(Drawn(found))


def _add_pasted(listing: Listing, sample: Sample, rows: list[TableRow], maps: dict[str, Any]) -> None:
    parts = []
    for where, cells in rows:
        listed = cells[maps["path"]]
        path = listing.file(listed, where, "E_ANN_MISSING") if listed else None
        if path is not None:
            corner = _read_numbers(sample, where, cells, maps["corners"])
            parts += [(path, int(left), int(top)) for left, top in corner]
    if parts:
        sample.annotations.append(Pasted(tuple(parts)))


def _add_boxes(sample: Sample, rows: list[TableRow], maps: dict[str, Any]) -> None:
    corners = []
    for where, cells in rows:
        corners += _read_numbers(sample, where, cells, maps["corners"])
    boxes = np.array(corners, dtype=float).reshape(-1, 4)
    if maps["kind"] == "xywh":
        boxes[:, 2:] += boxes[:, :2]
    sample.annotations.append(Boxes(boxes))


def _read_numbers(sample: Sample, where: str, cells: dict[str, str], columns: list[str]) -> list[list[float]]:
    """One row of numbers; none if all its cells are blank, or if they are no numbers (a problem then)."""
    values = [cells[column] for column in columns]
    if not any(values):
        return []
    try:
        return [[float(value) for value in values]]
    except ValueError:
        sample.problem = Problem("E_BOX", where, f"expected numbers in {', '.join(columns)}")
        return []
