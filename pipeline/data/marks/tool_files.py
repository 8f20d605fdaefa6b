"""Files that annotation tools export: found, read within limits, and given to the images that they are of.

    file: export.json           a path, or a pattern such as readers/*.json
    keep: [effusion, nodule]    labels that count; absent: all

Who marked: what the file says (Label Studio), else each file is one person's, or each folder of files where a
file holds one image. All that a person marked on an image is united. An image that a file lists without any
mark was looked at, and nothing was found.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.common.errors import UserError
from pipeline.data.listing import Listing
from pipeline.data.marks.geometry import unite
from pipeline.data.marks.matching import Marked, find_images
from pipeline.data.problems import Problem, UnusableImage, refuse
from pipeline.data.samples import Annotation

NEEDED = ("file",)
ALLOWED = ("keep",)
MOST_BYTES = 512 * 2**20  # of one file
MOST_PIXELS = 256_000_000  # of an image that a file tells of, as of a map file
MOST_SHOWN = 5  # faults of one file in a message
DEPTH = "nested too deeply"

Number = Annotated[float, Field(allow_inf_nan=False)]
Side = Annotated[int, Field(gt=0, le=65535)]
Document = TypeVar("Document", bound="Told")


class Told(BaseModel):
    """What of a tool's file is read; all else that it holds is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Marking(NamedTuple):
    """What one person marked on one image."""

    image: str  # its path or name, as `matching` understands it
    where: str  # file and place in it
    annotator: str
    size: tuple[int, int] | None  # width and height that positions refer to; None: those of the image
    shapes: Sequence[tuple[str, Callable[[], Annotation]]]  # label, and what makes the shape
    skipped: int = 0  # marks without area: points and lines


def find(listing: Listing, pattern: str) -> list[Path]:
    """The files below the root that a path or pattern names, sorted.

    Raises UserError: E_PATH_ESCAPE, E_LAYOUT (none), E_ANN_FILE (one is too large).
    """
    if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        message = f"{pattern!r}: expected a relative path with forward slashes inside the data folder"
        refuse([Problem("E_PATH_ESCAPE", "maps.file", message)])
    found = sorted(path for path in listing.root.glob(pattern) if path.is_file())
    root = listing.root.resolve()
    for path in found:
        if not path.resolve().is_relative_to(root):
            message = f"{path.name!r} links to a file outside {listing.root}; copy it here"
            refuse([Problem("E_PATH_ESCAPE", "maps.file", message)])
        if path.stat().st_size > MOST_BYTES:
            raise refused(
                path, f"{path.stat().st_size} bytes, at most {MOST_BYTES} are read; export in parts"
            )
    if not found:
        refuse([Problem("E_LAYOUT", str(listing.root / pattern), "expected this file, there is none")])
    return found


def read_json(path: Path, form: type[Document], inside: str = "") -> Document:
    """A JSON file in the form that a tool gives it; `inside` names a field of the form that is all of it.

    Raises UserError (E_ANN_FILE) that names the first places at which it is not.
    """
    try:
        document = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_refuse_constant)
        return form.model_validate({inside: document} if inside else document)
    except ValidationError as error:
        raise refused(path, "; ".join(faults(error))) from None
    except RecursionError:
        raise refused(path, DEPTH) from None
    except ValueError as error:  # no UTF-8, no JSON
        raise refused(path, f"not JSON ({error})") from None


def refused(path: Path, message: str) -> UserError:
    """The error for a file that is not what its tool would have written."""
    return UserError(str(Problem("E_ANN_FILE", path.name, message)))


def reader(parse: Callable[[Path], Iterable[Marking]]) -> Callable[[Listing, Marked, dict[str, Any]], None]:
    """The `read` of a kind (see `marks`) whose files `parse` understands one by one."""

    def read(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
        files = find(listing, maps["file"])
        give(listing, samples, [found for path in files for found in parse(path)], maps)

    return read


def give(listing: Listing, samples: Marked, markings: Iterable[Marking], maps: dict[str, Any]) -> None:
    """Append one annotation per annotator to each sample that is marked.

    Marks that cannot be drawn, and files that disagree about an image's size (E_ANN_DIMS), are the sample's
    problem; `keep` without one label of the files is noted in the listing (E_JOIN), points and lines that
    are left out too (W_ANN_SKIPPED).
    """
    all_markings = list(markings)
    keys: dict[str, str] = {}
    for marking in all_markings:
        keys.setdefault(marking.image, marking.where)
    places = find_images(listing, [sample for sample, _ in samples], keys, "maps.file")
    people: dict[int, dict[str, list[Marking]]] = defaultdict(lambda: defaultdict(list))
    for marking in all_markings:
        if marking.image in places:
            people[places[marking.image]][marking.annotator].append(marking)
    for place, theirs in people.items():
        sample = samples[place][0]
        try:
            sample.annotations += [unite(list(_draw(each, maps.get("keep")))) for each in theirs.values()]
            sample.annotation_size = _agreed_size([marking for each in theirs.values() for marking in each])
        except UnusableImage as error:
            sample.problem = error.problem
    _note_labels(listing, all_markings, maps)


def _draw(markings: Sequence[Marking], keep: list[str] | None) -> Iterator[Annotation]:
    for marking in markings:
        for label, shape in marking.shapes:
            if keep is None or label in keep:
                try:
                    yield shape()
                except UnusableImage as error:
                    found = error.problem
                    raise UnusableImage(Problem(found.code, marking.where, found.message)) from None


def _agreed_size(markings: Sequence[Marking]) -> tuple[int, int] | None:
    sizes = {marking.size: marking.where for marking in markings if marking.size}
    if len(sizes) > 1:
        told = "; ".join(f"{width}x{height} px in {where}" for (width, height), where in sizes.items())
        raise UnusableImage(Problem("E_ANN_DIMS", markings[0].where, f"one image, several sizes: {told}"))
    return next(iter(sizes), None)


def _note_labels(listing: Listing, markings: Sequence[Marking], maps: dict[str, Any]) -> None:
    labels = sorted({label for marking in markings for label, _ in marking.shapes})
    keep = maps.get("keep")
    if keep is not None and labels and not set(keep) & set(labels):
        message = f"maps.keep has none of the labels of the files: {', '.join(labels[:20])}"
        listing.add("E_JOIN", maps["file"], message)
    if skipped := sum(marking.skipped for marking in markings):
        message = f"{skipped} points, lines and other marks without an area are left out"
        listing.add("W_ANN_SKIPPED", maps["file"], message)


def faults(error: ValidationError) -> list[str]:
    """The first places at which a document is not in its form, and what was expected there."""
    faults = error.errors(include_url=False, include_input=False)
    told = [f"{'.'.join(map(str, each['loc'])) or 'top'}: {each['msg']}" for each in faults[:MOST_SHOWN]]
    return told + ([f"and {len(faults) - MOST_SHOWN} more"] if len(faults) > MOST_SHOWN else [])


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
