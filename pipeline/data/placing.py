"""A collection in the project: a folder with its images, people's maps, and one table in a fixed form.

Files are hard links where the disk allows it, so that they take no room, and copies elsewhere. What they were
taken from is not touched.
"""

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.common.errors import UserError
from pipeline.common.files import write_text
from pipeline.data.collection import Collection, find_maps, located
from pipeline.data.listing import SPLITS, slug
from pipeline.data.mask_file import marks_nothing
from pipeline.data.problems import UnusableImage

TABLE = "images.csv"
COLUMNS = ("image", "label", "source", "subject", "split", "map")


class Entry(NamedTuple):
    """What is known of one image; blank or None: nothing."""

    image: str  # its path below the folder of the images
    label: str  # its word, or words joined by a bar
    source: str
    subject: str
    split: str
    map: Path | None


def read_entries(
    collection: Collection, columns: Mapping[str, str], maps: Path | None, source: str
) -> list[Entry]:
    """What the columns (fact -> column) tell of each image; `source` where none tells it.

    Maps that mark nothing are left out. Raises UserError with images and maps that are not there, several
    rows of one image, blank labels, sources without letters or digits, words that are no splits.
    """
    images = located(collection, columns["image"])
    found = find_maps(collection, images, maps, columns.get("map"))
    refuse_cells(collection, columns)
    blank = [""] * len(images)
    told = [collection.values(columns[fact]) if fact in columns else blank for fact in COLUMNS[1:5]]
    return [
        Entry(
            image,
            label,
            place or source,
            subject,
            split,
            marks if marks and not _is_blank(marks) else None,
        )
        for image, label, place, subject, split, marks in zip(images, *told, found, strict=True)
    ]


def refuse_cells(collection: Collection, columns: Mapping[str, str]) -> None:
    """Raises UserError with every fact whose cells cannot be used: how many, and the first."""
    good: dict[str, Callable[[str], object]] = {
        "label": lambda cell: cell.strip("| "),
        "source": slug,
        "split": lambda cell: not cell or cell.casefold() in SPLITS,
    }
    expected = {
        "label": "a label in every row",
        "source": "letters a to z or digits in every row",
        "split": f"blank or one of {', '.join(SPLITS)}",
    }
    problems = []
    for fact, is_good in good.items():
        bad = [row for row in collection.rows if fact in columns and not is_good(row.cells[columns[fact]])]
        if bad:
            came = f"{len(bad)} of {len(collection.rows)} rows cannot be used"
            first = f"first {bad[0].cells[columns[fact]]!r} ({bad[0].where})"
            where = f"{collection.table}: {fact} column {columns[fact]!r}"
            problems.append(f"{where}: {came}, {first}; expected {expected[fact]}")
    if problems:
        raise UserError(problems)


def place(folder: Path, images: Path, entries: Sequence[Entry]) -> int:
    """Make `folder` from files below `images`, or leave nothing; gives how many had to be copied."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        copied, rows = 0, []
        for entry in entries:
            image = Path("images", entry.image)
            copied += _link(images / entry.image, building / image)
            drawn = ""
            if entry.map is not None:
                drawn = Path("maps", entry.image).with_suffix(entry.map.suffix).as_posix()
                copied += _link(entry.map, building / drawn)
            rows.append([image.as_posix(), *entry[1:5], drawn])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        write_text(building / TABLE, text.getvalue())
        building.chmod(0o755)
        building.replace(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return copied


def _link(source: Path, target: Path) -> int:
    """1 if the file had to be copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or links that are not allowed
        shutil.copyfile(source, target)
        return 1
    return 0


def _is_blank(path: Path) -> bool:
    """Whether a map marks nothing; of a file that is no picture `prepare` tells what is wrong with it."""
    try:
        return marks_nothing(path)
    except UnusableImage:
        return False
