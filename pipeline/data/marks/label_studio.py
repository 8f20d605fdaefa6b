"""Brushes, rectangles, ellipses and polygons in Label Studio's JSON export ("JSON", not "JSON-MIN").

    {kind: label_studio, file: project.json}

An annotator is `completed_by`; of several annotations by one person the last counts. Skipped tasks
(`was_cancelled`) and tasks without annotation say nothing. Positions are in percent of the image; a rectangle
is turned around its left top corner, an ellipse around its centre, clockwise. Points are left out.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from pydantic import Field

from pipeline.data.marks import brush, tool_files
from pipeline.data.marks.geometry import turned_box, turned_ellipse
from pipeline.data.marks.tool_files import Marking, Number, Side, Told
from pipeline.data.samples import Annotation, Polygons

NEEDED, ALLOWED = tool_files.NEEDED, tool_files.ALLOWED
LABELS = ("brushlabels", "rectanglelabels", "ellipselabels", "polygonlabels", "labels")
IMAGE = "image"  # key of a task's data
PATH = "path"  # likewise, of the image's own path, where tasks were written by `camdivide annotate export`
Percent = Number
ShapeType = Literal[  # without labels, and with labels of its own
    "brush",
    "brushlabels",
    "ellipse",
    "ellipselabels",
    "polygon",
    "polygonlabels",
    "rectangle",
    "rectanglelabels",
]


class StudioValue(Told):
    """A shape: which of the fields are there depends on its type."""

    x: Percent = 0
    y: Percent = 0
    width: Percent = 0
    height: Percent = 0
    radiusX: Percent = 0
    radiusY: Percent = 0
    rotation: Number = 0
    points: tuple[Annotated[list[Percent], Field(min_length=2, max_length=2)], ...] = ()
    rle: tuple[Annotated[int, Field(ge=0, le=255)], ...] = ()
    brushlabels: tuple[str, ...] = ()
    rectanglelabels: tuple[str, ...] = ()
    ellipselabels: tuple[str, ...] = ()
    polygonlabels: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The first label, blank without one."""
        return next((label for kind in LABELS for label in getattr(self, kind)), "")


class StudioResult(Told):
    """One thing that an annotator said: a shape, or anything else, such as a choice."""

    type: str
    original_width: Side | None = None
    original_height: Side | None = None


class StudioShape(Told):
    """A result that is a shape."""

    type: ShapeType
    original_width: Side
    original_height: Side
    value: StudioValue


class StudioAnnotation(Told):
    """All that one person said of a task."""

    completed_by: int | str | dict[str, Any] | None = None
    was_cancelled: bool = False
    result: tuple[StudioShape | StudioResult, ...] = ()


class StudioTask(Told):
    """One image."""

    id: int | str | None = None
    data: dict[str, Any]
    annotations: tuple[StudioAnnotation, ...] = ()


class StudioFile(Told):
    """The whole file."""

    tasks: list[StudioTask]


def parse(path: Path) -> Iterator[Marking]:
    """What each person said of each image; UserError (E_ANN_FILE) if the file is not Label Studio's."""
    for number, task in enumerate(tool_files.read_json(path, StudioFile, inside="tasks").tasks, start=1):
        where = f"{path.name} task {task.id if task.id is not None else number}"
        image = locate(path, task.data, where)
        last = {_annotator(each): each for each in task.annotations if not each.was_cancelled}
        for annotator, each in last.items():
            yield _read_annotation(image, where, annotator, each, path)


read = tool_files.reader(parse)


def locate(path: Path, data: dict[str, Any], where: str) -> str:
    """The image's path as a task's data tell it: without the server, and without the hash of an upload.

    >>> locate(Path("e.json"), {"image": "/data/local-files/?d=films/a%20b.png"}, "")
    'films/a b.png'
    >>> locate(Path("e.json"), {"image": "/data/upload/3/1a2b3c4d-film.png"}, "")
    'film.png'
    """
    if isinstance(data.get(PATH), str):
        return str(data[PATH])
    texts = [value for value in data.values() if isinstance(value, str)]
    told = data.get(IMAGE, texts[0] if len(texts) == 1 else None)
    if not isinstance(told, str) or not told:
        raise tool_files.refused(path, f"{where}: expected the image's path as data.{IMAGE}")
    address = urlsplit(told)
    inside = parse_qs(address.query).get("d", [unquote(address.path)])[0]
    name = PurePosixPath(inside).name
    if "/upload/" in inside and name[8:9] == "-" and all(c in "0123456789abcdef" for c in name[:8]):
        return name[9:]
    return inside


def _annotator(told: StudioAnnotation) -> str:
    who = told.completed_by
    return str(who.get("id", who.get("email")) if isinstance(who, dict) else who)


def _read_annotation(image: str, where: str, annotator: str, told: StudioAnnotation, path: Path) -> Marking:
    shapes = [each for each in told.result if isinstance(each, StudioShape)]
    others = [each for each in told.result if not isinstance(each, StudioShape)]
    if broken := [each.type for each in others if each.type in get_args(ShapeType)]:
        message = f"{where}: {broken[0]} without its size, or with values that are no finite numbers"
        raise tool_files.refused(path, message)
    sizes = {(each.original_width, each.original_height) for each in shapes}
    if len(sizes) > 1:
        raise tool_files.refused(path, f"{where}: shapes of one image with several original sizes")
    skipped = sum(each.original_width is not None for each in others)  # what has a size has a place
    drawn = [(each.value.label, partial(_make_shape, each)) for each in shapes]
    return Marking(image, where, annotator, next(iter(sizes), None), drawn, skipped)


def _make_shape(told: StudioShape) -> Annotation:
    value, width, height = told.value, told.original_width, told.original_height
    x, y = value.x * width / 100, value.y * height / 100
    kind = told.type.removesuffix("labels")
    if kind == "brush":
        return brush.unpack(value.rle, width, height)
    if kind == "rectangle":
        w, h = value.width * width / 100, value.height * height / 100
        return turned_box(x, y, w, h, value.rotation, np.array([x, y]))
    if kind == "ellipse":
        return turned_ellipse(x, y, value.radiusX * width / 100, value.radiusY * height / 100, value.rotation)
    return Polygons((np.array(value.points).reshape(-1, 2) * np.array([width, height]) / 100,))
