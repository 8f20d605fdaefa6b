"""Boxes, polygons, ellipses and masks in CVAT's XML, exported as "CVAT for images 1.1".

    {kind: cvat, file: annotations.xml}

Boxes and ellipses are turned around their centres, clockwise. A mask's run lengths go row by row over its own
box. Points, polylines, tags, skeletons and cuboids are left out. Document types, and with them entities, are
refused.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from pipeline.data.marks import tool_files
from pipeline.data.marks.geometry import pasted_mask, turned_box, turned_ellipse
from pipeline.data.marks.tool_files import MOST_PIXELS, Marking
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Annotation, Polygons

NEEDED, ALLOWED = tool_files.NEEDED, tool_files.ALLOWED
Element = ElementTree.Element


def parse(path: Path) -> Iterator[Marking]:
    """What a file says of each of its images; UserError (E_ANN_FILE) if it is not CVAT's."""
    root = _read_xml(path)
    if root.tag != "annotations" or root.find("track") is not None:
        raise tool_files.refused(path, 'expected <annotations> of images; export as "CVAT for images 1.1"')
    for image in root.iter("image"):
        where = f"{path.name} image {image.get('id', '?')}"
        try:
            size = (int(image.attrib["width"]), int(image.attrib["height"]))
            name = image.attrib["name"]
        except (KeyError, ValueError):
            raise tool_files.refused(path, f"{where}: expected a name, and width and height in px") from None
        if min(size) <= 0 or size[0] * size[1] > MOST_PIXELS:
            raise tool_files.refused(path, f"{where}: {size[0]}x{size[1]} px, at most {MOST_PIXELS} in all")
        shapes = [
            (each.get("label", ""), partial(_make_shape, each, size)) for each in image if each.tag in SHAPES
        ]
        yield Marking(name, where, path.as_posix(), size, shapes, len(image) - len(shapes))


read = tool_files.reader(parse)


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses document types before a parser reads the entities that they define."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Called at the start of a document type."""
        raise ValueError("a document type, which may define entities; CVAT writes none")


def _read_xml(path: Path) -> Element:
    try:
        parser = ElementTree.XMLParser(target=_NoDoctype())
        return ElementTree.parse(path, parser).getroot()
    except (ElementTree.ParseError, ValueError) as error:
        raise tool_files.refused(path, f"not XML as CVAT writes it: {error}") from None


def _make_shape(told: Element, size: tuple[int, int]) -> Annotation:
    try:
        return SHAPES[told.tag](told, size)
    except (KeyError, ValueError) as error:
        message = f"{told.tag}: expected numbers in its attributes, got {' '.join(str(error).split())[:80]}"
        raise UnusableImage(Problem("E_SHAPE", "annotation", message)) from None


def _numbers(told: Element, *names: str) -> list[float]:
    values = [float(told.attrib[name]) for name in names]
    if not np.isfinite(values).all():
        raise ValueError("a number that is not finite")
    return values


def _make_box(told: Element, _: tuple[int, int]) -> Annotation:
    x0, y0, x1, y1 = _numbers(told, "xtl", "ytl", "xbr", "ybr")
    degrees = float(told.get("rotation", 0))
    return turned_box(x0, y0, x1 - x0, y1 - y0, degrees, np.array([(x0 + x1) / 2, (y0 + y1) / 2]))


def _make_ellipse(told: Element, _: tuple[int, int]) -> Annotation:
    x, y, a, b = _numbers(told, "cx", "cy", "rx", "ry")
    return turned_ellipse(x, y, a, b, float(told.get("rotation", 0)))


def _make_polygon(told: Element, _: tuple[int, int]) -> Annotation:
    points = [[float(number) for number in point.split(",")] for point in told.attrib["points"].split(";")]
    return Polygons((np.array(points).reshape(len(points), 2),))


def _make_mask(told: Element, size: tuple[int, int]) -> Annotation:
    left, top, width, height = map(int, _numbers(told, "left", "top", "width", "height"))
    lengths = np.array([int(length) for length in told.attrib["rle"].split(",")])
    if min(width, height) <= 0 or width > size[0] or height > size[1]:
        raise ValueError(f"a mask of {width}x{height} px")
    if lengths.min() < 0 or sum(lengths.tolist()) > width * height:
        message = f"run lengths do not fit the mask's box of {width}x{height} px"
        raise UnusableImage(Problem("E_RLE", "annotation", message))
    marked = np.zeros(width * height, dtype=bool)
    values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    marked[: len(values)] = values
    return pasted_mask(marked.reshape(height, width), left, top, size)


SHAPES: dict[str, Callable[[Element, tuple[int, int]], Annotation]] = {
    "box": _make_box,
    "ellipse": _make_ellipse,
    "mask": _make_mask,
    "polygon": _make_polygon,
}
