"""Boxes, polygons and run lengths in COCO's JSON (https://cocodataset.org/#format-data).

    {kind: coco, file: instances.json}

An annotation's `segmentation` counts, or its `bbox` where there is none: [x, y, width, height] in px. Run
lengths go column by column; compressed ones are the text that pycocotools writes.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.data.coco_runs import decode_counts
from pipeline.data.marks import tool_files
from pipeline.data.marks.tool_files import Marking, Number, Side, Told
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Annotation, Boxes, Polygons, Runs

NEEDED, ALLOWED = tool_files.NEEDED, tool_files.ALLOWED

Ring = Annotated[list[Number], Field(min_length=6)]


class CocoRuns(Told):
    """A mask: height and width, and its run lengths, listed or compressed."""

    size: Annotated[list[Side], Field(min_length=2, max_length=2)]
    counts: str | list[Annotated[int, Field(ge=0)]]


class CocoImage(Told):
    """One image of the file."""

    id: int | str
    file_name: str
    width: Side
    height: Side


class CocoAnnotation(Told):
    """One object on one image."""

    image_id: int | str
    category_id: int | str | None = None
    segmentation: CocoRuns | list[Ring] | None = None
    bbox: Annotated[list[Number], Field(min_length=4, max_length=4)] | None = None


class CocoCategory(Told):
    """What an object is called."""

    id: int | str
    name: str


class CocoFile(Told):
    """The whole file."""

    images: list[CocoImage]
    annotations: tuple[CocoAnnotation, ...] = ()
    categories: tuple[CocoCategory, ...] = ()


def parse(path: Path) -> Iterator[Marking]:
    """What a file says of each of its images; UserError (E_ANN_FILE) if it is not COCO's."""
    told = tool_files.read_json(path, CocoFile)
    names = {category.id: category.name for category in told.categories}
    objects: dict[int | str, list[CocoAnnotation]] = defaultdict(list)
    for each in told.annotations:
        objects[each.image_id].append(each)
    if unknown := objects.keys() - {image.id for image in told.images}:
        raise tool_files.refused(
            path, f"annotations of images that it does not list: {sorted(unknown, key=str)[:5]}"
        )
    for image in told.images:
        marked = [each for each in objects[image.id] if each.segmentation or each.bbox]
        shapes = [
            (names.get(each.category_id or "", str(each.category_id)), partial(_make_shape, each, image))
            for each in marked
        ]
        where = f"{path.name} image {image.id}"
        skipped = len(objects[image.id]) - len(marked)
        yield Marking(image.file_name, where, path.as_posix(), (image.width, image.height), shapes, skipped)


read = tool_files.reader(parse)


def _make_shape(told: CocoAnnotation, image: CocoImage) -> Annotation:
    segmentation = told.segmentation
    if isinstance(segmentation, CocoRuns):
        height, width = segmentation.size
        if (width, height) != (image.width, image.height):
            message = f"mask of {width}x{height} px on an image of {image.width}x{image.height}"
            raise UnusableImage(Problem("E_ANN_DIMS", "annotation", f"{message}; expected one size"))
        counts = segmentation.counts
        lengths = np.array(counts, np.int64) if isinstance(counts, list) else _unpack(counts)
        return Runs((lengths,), height, width, "F")
    if segmentation:
        if any(len(ring) % 2 for ring in segmentation):
            raise UnusableImage(Problem("E_SHAPE", "annotation", "an outline with an odd count of numbers"))
        return Polygons(tuple(np.array(ring).reshape(-1, 2) for ring in segmentation))
    left, top, across, down = told.bbox or (0, 0, 0, 0)
    return Boxes(np.array([[left, top, left + across, top + down]]))


def _unpack(counts: str) -> np.ndarray:
    try:
        return decode_counts(counts)
    except ValueError as error:
        raise UnusableImage(Problem("E_RLE", "annotation", str(error))) from None
