"""What the adapters of chest X-rays share: which finding makes label 1, boxes in tables, files by name."""

import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.common.errors import UserError, nearest
from pipeline.data.listing import Listing, TableRow, identifier, slug
from pipeline.data.problems import Problem, UnusableImage, refuse
from pipeline.data.samples import Annotation, Boxes, Sample


def choose_findings(chosen: list[str], known: Iterable[str]) -> frozenset[str]:
    """The findings that make label 1: those chosen, in any case, or all that are known if none is.

    Raises UserError for words that are no finding of the data set.

    >>> sorted(choose_findings(["mass"], ["Mass", "Nodule"]))
    ['Mass']
    """
    words = {name.casefold(): name for name in known}
    unknown = [word for word in chosen if word.casefold() not in words]
    if unknown:
        told = (f"findings: {word!r} is not known; {nearest(word, words.values())}" for word in unknown)
        raise UserError(list(told))
    return frozenset(words[word.casefold()] for word in chosen) or frozenset(words.values())


def decide(present: Collection[str], chosen: Collection[str]) -> tuple[int, str]:
    """Label and class of an image with these findings; of several the first by name gives the class.

    >>> decide(["Mass", "Edema"], ["Mass"]), decide(["Edema"], ["Mass"]), decide([], ["Mass"])
    ((1, 'mass'), (0, 'edema'), (0, 'normal'))
    """
    decisive = sorted(set(present) & set(chosen))
    named = decisive or sorted(present)
    return int(bool(decisive)), slug(named[0]) if named else "normal"


def film(
    native_id: str, image: Path, where: str, source: str, verdict: tuple[int, str], **facts: Any
) -> Sample:
    """A chest X-ray with its label and class; `facts` are further fields of Sample."""
    return Sample(
        native_id=identifier(native_id),
        image_path=image,
        label=verdict[0],
        class_name=verdict[1],
        source=source,
        source_kind="site",
        modality="cxr",
        where=where,
        **facts,
    )


def only_file(root: Path, pattern: str) -> Path:
    """The one file below `root` that fits a glob pattern; UserError (E_LAYOUT) if none or several."""
    found = sorted(path for path in root.glob(pattern) if path.is_file())
    if len(found) != 1:
        came = f"found {', '.join(path.name for path in found)}" if found else "there is none"
        refuse([Problem("E_LAYOUT", str(root), f"expected one file {pattern}, {came}")])
    return found[0]


def index_files(listing: Listing, suffix: str) -> dict[str, str]:
    """Paths below the root by name without extension; two files of one name are noted (E_JOIN)."""
    found: dict[str, str] = {}
    for path in sorted(listing.root.rglob("*")):
        if path.suffix.lower() != suffix or not path.is_file():
            continue
        relative = path.relative_to(listing.root).as_posix()
        if path.stem in found:
            message = f"{relative} has the name of {found[path.stem]}; lists cannot tell them apart, keep one"
            listing.add("E_JOIN", relative, message)
        found.setdefault(path.stem, relative)
    return found


def to_number(text: str) -> float | None:
    """A finite number, else None.

    >>> to_number("1e2"), to_number("nan"), to_number("")
    (100.0, None, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_boxes(rows: Sequence[TableRow], columns: Sequence[str], kind: Literal["xyxy", "xywh"]) -> Boxes:
    """One annotator's boxes from the rows of a table; rows with four blanks mark nothing.

    Raises UnusableImage (E_BOX) if a cell is no number.
    """
    corners = []
    for where, cells in rows:
        values = [cells[column] for column in columns]
        numbers = [to_number(value) for value in values]
        if None not in numbers:
            corners.append(numbers)
        elif any(values):
            raise UnusableImage(Problem("E_BOX", where, f"expected numbers in {', '.join(columns)}"))
    boxes = np.array(corners, dtype=float).reshape(-1, 4)
    if kind == "xywh":
        boxes[:, 2:] += boxes[:, :2]
    return Boxes(boxes)


def set_marks(sample: Sample, marks: list[Annotation]) -> None:
    """Give an image what was marked on it; marks on an image of label 0 set it aside (E_LABEL_CONFLICT)."""
    sample.annotations = marks
    if sample.label == 0 and sample.is_marked:
        message = "a finding is marked on this image, but its label is 0; correct the wrong one or drop it"
        sample.problem = sample.problem or Problem("E_LABEL_CONFLICT", sample.where, message)
