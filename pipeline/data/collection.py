"""Images as someone keeps them: a folder, with a table that tells of them or folders whose names do.

Both become one thing, rows with columns. Tables may be separated by commas, semicolons or tabs, and may name
an image by its path, by a path on another machine, by its file name or by that without its extension.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline.common.errors import UserError
from pipeline.data import searching
from pipeline.data.listing import TableRow, read_table

SEPARATORS = (",", ";", "\t")
EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how files of Excel begin, since 2007 and before
PATH = "path"  # the column of paths where folders take the place of a table


class Collection(NamedTuple):
    """Images of a folder, by their paths in it, and the rows that tell of them."""

    folder: Path
    images: list[str]
    table: str  # where the rows come from, for messages
    columns: list[str]
    rows: list[TableRow]

    def values(self, column: str) -> list[str]:
        """One column, in the order of the rows."""
        return [row.cells[column] for row in self.rows]


def collect(folder: Path, table: Path | None, maps: Path | None) -> Collection:
    """The images of a folder but those in `maps`, and the rows of the table, or of the folders' names.

    Raises UserError: no folder, no image, a table that cannot be read, images at several depths.
    """
    images = _find_images(folder, maps)
    if table is None:
        return _read_folders(folder, images)
    rows = _read(table)
    if not rows:
        raise UserError(f"{table}: no row below the header; expected one per image")
    return Collection(folder, images, str(table), list(rows[0].cells), rows)


def _find_images(folder: Path, maps: Path | None) -> list[str]:
    apart = maps.resolve() if maps else None
    found = [
        path
        for path in searching.find([folder])
        if apart not in path.resolve().parents and not path.name.startswith(".")
    ]
    if not found:
        raise UserError(f"{folder}: no image beside those in {maps}; name the folder of the images")
    return [path.relative_to(folder).as_posix() for path in found]


def _read(table: Path) -> list[TableRow]:
    """The rows of a table, whatever of SEPARATORS its header has most of."""
    start = table.read_bytes()[:4] if table.is_file() else b""
    if start.startswith(EXCEL):
        raise UserError(f"{table}: this is an Excel file; save it as CSV (UTF-8) and name that")
    if not table.is_file():
        raise UserError(f"{table}: no such file; name the table with --table")
    header = table.read_bytes().decode("utf-8-sig", errors="replace").lstrip().split("\n", 1)[0]
    if twice := _repeated(header, separator := max(SEPARATORS, key=header.count)):
        raise UserError(f"{table}: columns named twice: {', '.join(map(repr, twice))}; rename one of each")
    return read_table(table, delimiter=separator)


def _repeated(header: str, separator: str) -> list[str]:
    names = [name.strip().strip('"').strip() for name in header.split(separator)]
    return sorted({name for name in names if name and names.count(name) > 1})


def _read_folders(folder: Path, images: list[str]) -> Collection:
    """One row per image, whose columns `folder1`, `folder2`, ... are the folders above it."""
    depths: dict[int, str] = {len(PurePosixPath(image).parts) - 1: image for image in images}
    if len(depths) > 1:
        examples = " and ".join(repr(depths[depth]) for depth in sorted(depths)[:2])
        came = f"images lie at different depths, such as {examples}"
        raise UserError(f"{folder}: {came}; expected <label>/ or <source>/<label>/ for all, or a --table")
    if 0 in depths:
        raise UserError(
            f"{folder}: images without folders; tell their labels by --table, or by a folder each"
        )
    rows = []
    for image in images:
        parts = PurePosixPath(image).parts[:-1]
        rows.append(TableRow(image, {PATH: image, **{f"folder{n}": part for n, part in enumerate(parts, 1)}}))
    return Collection(folder, images, str(folder), list(rows[0].cells), rows)


def locate(images: Sequence[str], cells: Sequence[str]) -> list[str | None]:
    """The image that each cell names, None where it names none, or several.

    All cells are read in the same way, the one that finds most: as a path less its first folders, or as the
    name of a file wherever it lies; either with its extension or without.

    >>> locate(["a/1.png", "b/2.png"], ["C:\\\\films\\\\a\\\\1.PNG", "C:\\\\films\\\\b\\\\3.png"])
    ['a/1.png', None]
    >>> locate(["a/1.png", "b/2.png"], ["2", "1"])
    ['b/2.png', 'a/1.png']
    """
    parts = [PurePosixPath(cell.replace("\\", "/").casefold().lstrip("/")).parts for cell in cells]
    best: list[str | None] = [None] * len(cells)
    for whole in (True, False):
        paths, names = _index(images, whole)
        ways = [[paths.get("/".join(each[drop:])) for each in parts] for drop in range(_depth(parts))]
        ways.append([names.get(each[0]) if len(each) == 1 else None for each in parts])
        best = max([best, *ways], key=lambda found: sum(image is not None for image in found))
    return best


def _index(images: Sequence[str], whole: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Images by path and by file name, in small letters, whole or without extension, where that is one."""
    found = [PurePosixPath(image.casefold()) for image in images]
    keys = [path if whole else path.with_suffix("") for path in found]
    return _unique([key.as_posix() for key in keys], images), _unique([key.name for key in keys], images)


def _unique(keys: Sequence[str], images: Sequence[str]) -> dict[str, str]:
    often = Counter(keys)
    return {key: image for key, image in zip(keys, images, strict=True) if often[key] == 1}


def _depth(parts: Sequence[Sequence[str]]) -> int:
    """How many first folders can be dropped, at most, so that some cell keeps its name."""
    return max(map(len, parts), default=0)


def located(collection: Collection, column: str) -> list[str]:
    """The image of each row; raises UserError with all rows that name none, and all that name one again."""
    found = locate(collection.images, collection.values(column))
    where = f"{collection.table}: column {column!r}"
    missing = [row for row, image in zip(collection.rows, found, strict=True) if image is None]
    problems = []
    if missing:
        first = f"first {missing[0].cells[column]!r} ({missing[0].where})"
        came = f"{len(missing)} of {len(found)} rows name no image of {collection.folder}, {first}"
        problems.append(f"{where}: {came}; expected paths in that folder, or file names")
    rows_of: dict[str, list[TableRow]] = defaultdict(list)
    for row, image in zip(collection.rows, found, strict=True):
        if image is not None:
            rows_of[image].append(row)
    if again := {image: rows for image, rows in rows_of.items() if len(rows) > 1}:
        image, rows = next(iter(again.items()))
        came = f"{len(again)} images have several rows, first {image!r} ({rows[0].where}, {rows[1].where})"
        problems.append(f"{where}: {came}; expected one row per image")
    if problems:
        raise UserError(problems)
    return [image for image in found if image is not None]


def find_maps(
    collection: Collection, images: Sequence[str], maps: Path | None, column: str | None
) -> list[Path | None]:
    """The file with people's marks on each image: named like it in `maps`, or named by a column; None: none.

    Raises UserError where a column names files that are not there, or where `maps` has none for any image.
    """
    if maps is not None:
        marks = [path.relative_to(maps).as_posix() for path in searching.find([maps])]
        found = locate(marks, [PurePosixPath(image).with_suffix("").name for image in images])
        if not any(found):
            raise UserError(f"{maps}: no file is named like an image, such as {images[0]!r}; rename them")
        return [maps / mark if mark else None for mark in found]
    if column is None:
        return [None] * len(images)
    beside = (Path(collection.table).parent, collection.folder)
    listed = [_beside(beside, cell) if cell else None for cell in collection.values(column)]
    absent = [
        row for row, path in zip(collection.rows, listed, strict=True) if path is None and row.cells[column]
    ]
    if absent:
        first = f"first {absent[0].cells[column]!r} ({absent[0].where})"
        came = f"{len(absent)} of {len(listed)} maps are not there, {first}"
        expected = f"expected paths from {beside[0]} or {beside[1]}, blank where nobody marked anything"
        raise UserError(f"{collection.table}: column {column!r}: {came}; {expected}")
    return listed


def _beside(folders: Sequence[Path], cell: str) -> Path | None:
    return next((path for folder in folders if (path := folder / cell).is_file()), None)
