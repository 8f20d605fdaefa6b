"""Polygons, rectangles, circles and masks of labelme: one JSON file per image.

    {kind: labelme, file: labels/*.json}

A folder of files is one annotator's. A rectangle has two corners, a circle its centre and a point on its
edge, a mask its box and a PNG in base64. Points and lines are left out. `imageData` is not read.
"""

import base64
import binascii
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field

from pipeline.data.marks import tool_files
from pipeline.data.marks.geometry import pasted_mask, turned_ellipse
from pipeline.data.marks.tool_files import Marking, Number, Side, Told
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Annotation, Boxes, Polygons

NEEDED, ALLOWED = tool_files.NEEDED, tool_files.ALLOWED
POINTS = {"rectangle": 2, "circle": 2, "mask": 2}  # how many each kind has; a polygon has any
AREAS = ("polygon", *POINTS)


class LabelmeShape(Told):
    """One shape of one image."""

    label: str = ""
    shape_type: str = "polygon"
    points: list[Annotated[list[Number], Field(min_length=2, max_length=2)]]
    mask: str | None = None


class LabelmeFile(Told):
    """The whole file."""

    imagePath: str
    imageWidth: Side
    imageHeight: Side
    shapes: list[LabelmeShape]


def parse(path: Path) -> Iterator[Marking]:
    """What a file says of its image; UserError (E_ANN_FILE) if it is not labelme's."""
    told = tool_files.read_json(path, LabelmeFile)
    size = (told.imageWidth, told.imageHeight)
    areas = [shape for shape in told.shapes if shape.shape_type in AREAS]
    shapes = [(shape.label, partial(_make_shape, shape, size)) for shape in areas]
    image = PurePosixPath(
        told.imagePath.replace("\\", "/")
    ).name  # its folder is seen from that of the JSON file
    yield Marking(image, path.name, path.parent.as_posix(), size, shapes, len(told.shapes) - len(areas))


read = tool_files.reader(parse)


def _make_shape(told: LabelmeShape, size: tuple[int, int]) -> Annotation:
    points = np.array(told.points, dtype=float).reshape(-1, 2)
    expected = POINTS.get(told.shape_type, len(points))
    if len(points) != expected:
        raise _misshapen(f"{told.shape_type} of {len(points)} points: expected {expected}")
    if told.shape_type == "polygon":
        return Polygons((points,))
    if told.shape_type == "circle":
        radius = float(np.linalg.norm(points[1] - points[0]))
        return turned_ellipse(points[0, 0], points[0, 1], radius, radius)
    low, high = points.min(axis=0), points.max(axis=0)
    if told.shape_type == "rectangle":
        return Boxes(np.array([[*low, *high]]))
    return pasted_mask(_read_mask(told.mask or "", size), round(low[0]), round(low[1]), size)


def _read_mask(text: str, size: tuple[int, int]) -> np.ndarray:
    """The PNG of a mask, boolean (h, w), no larger than its image."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as image:
            if image.width > size[0] or image.height > size[1]:
                raise _misshapen(f"mask of {image.width}x{image.height} px: larger than its image")
            return np.asarray(image.convert("L")) > 0
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _misshapen(f"mask that is no PNG in base64: {error}") from None


def _misshapen(message: str) -> UnusableImage:
    return UnusableImage(Problem("E_SHAPE", "annotation", message))
