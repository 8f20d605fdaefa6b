"""Rectangles, circles, ellipses and polygons of the VGG Image Annotator, version 2: project, JSON or CSV.

    {kind: via, file: via_project.json}

A file is one annotator's. An ellipse is turned clockwise by `theta` in radians. Points and polylines are left
out. A region's label for `keep` is the value of its first attribute.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from pipeline.data.listing import read_table
from pipeline.data.marks import tool_files
from pipeline.data.marks.geometry import turned_ellipse
from pipeline.data.marks.tool_files import Marking, Number, Told
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Annotation, Boxes, Polygons

NEEDED, ALLOWED = tool_files.NEEDED, tool_files.ALLOWED
COLUMNS = ("filename", "region_shape_attributes", "region_attributes")


class ViaRect(Told):
    """Left, top, width and height in px."""

    name: Literal["rect"]
    x: Number
    y: Number
    width: Number
    height: Number


class ViaRound(Told):
    """A circle, or an ellipse."""

    name: Literal["circle", "ellipse"]
    cx: Number
    cy: Number
    r: Number = 0
    rx: Number = 0
    ry: Number = 0
    theta: Number = 0


class ViaPolygon(Told):
    """Its corners."""

    name: Literal["polygon"]
    all_points_x: list[Number]
    all_points_y: list[Number]


class ViaLine(Told):
    """What has no area."""

    name: Literal["point", "polyline"]


ViaShape = ViaRect | ViaRound | ViaPolygon | ViaLine


class ViaRegion(Told):
    """One shape of one image."""

    shape_attributes: ViaShape = Field(discriminator="name")
    region_attributes: dict[str, Any] = Field(default_factory=dict)


class ViaImage(Told):
    """One image."""

    filename: str
    regions: tuple[ViaRegion, ...] | dict[str, ViaRegion] = ()


class ViaProject(Told):
    """The whole project; an export of annotations is what stands below this key."""

    via_img_metadata: dict[str, ViaImage] = Field(alias="_via_img_metadata")


class ViaExport(Told):
    """The images of an export of annotations, however they are keyed."""

    images: dict[str, ViaImage]


def parse(path: Path) -> Iterator[Marking]:
    """What a file says of each of its images; UserError (E_ANN_FILE) if it is not of VIA 2."""
    images = _read_rows(path) if path.suffix.lower() == ".csv" else _read_images(path)
    for image in images:
        regions = list(image.regions.values()) if isinstance(image.regions, dict) else image.regions
        shapes = [
            (_label(each), partial(_make_shape, each.shape_attributes))
            for each in regions
            if not isinstance(each.shape_attributes, ViaLine)
        ]
        skipped = len(regions) - len(shapes)
        yield Marking(image.filename, path.name, path.as_posix(), None, shapes, skipped)


read = tool_files.reader(parse)


def _read_images(path: Path) -> list[ViaImage]:
    is_project = b"_via_img_metadata" in path.read_bytes()
    if is_project:
        return list(tool_files.read_json(path, ViaProject).via_img_metadata.values())
    return list(tool_files.read_json(path, ViaExport, inside="images").images.values())


def _read_rows(path: Path) -> list[ViaImage]:
    """The images of a CSV export: a row per region, or one without region for an image without any."""
    regions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for where, cells in read_table(path, columns=COLUMNS):
        try:
            shape, about = (json.loads(cells[column] or "{}") for column in COLUMNS[1:])
        except (ValueError, RecursionError):
            raise tool_files.refused(path, f"{where}: expected JSON in {COLUMNS[1]}, {COLUMNS[2]}") from None
        found = regions[cells["filename"]]
        found += [{"shape_attributes": shape, "region_attributes": about}] if shape else []
    told = [{"filename": name, "regions": found} for name, found in regions.items()]
    try:
        return TypeAdapter(list[ViaImage]).validate_python(told)
    except ValidationError as error:
        raise tool_files.refused(path, "; ".join(tool_files.faults(error))) from None


def _label(region: ViaRegion) -> str:
    return next((str(value) for value in region.region_attributes.values()), "")


def _make_shape(told: ViaRect | ViaRound | ViaPolygon) -> Annotation:
    if isinstance(told, ViaRect):
        return Boxes(np.array([[told.x, told.y, told.x + told.width, told.y + told.height]]))
    if isinstance(told, ViaRound):
        a, b = (told.r, told.r) if told.name == "circle" else (told.rx, told.ry)
        return turned_ellipse(told.cx, told.cy, a, b, float(np.rad2deg(told.theta)))
    if len(told.all_points_x) != len(told.all_points_y):
        message = f"outline with {len(told.all_points_x)} x and {len(told.all_points_y)} y"
        raise UnusableImage(Problem("E_SHAPE", "annotation", f"{message}; expected as many of each"))
    return Polygons((np.column_stack([told.all_points_x, told.all_points_y]),))
