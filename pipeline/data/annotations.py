"""What people marked on an image, as one map (docs/formats.md, "Human maps").

Every construction gives a map of the whole image, values in [0, 1], on a grid of at most GRID cells on the
longer side. One annotator's map is 1 where marked (gaze: 1 where looked at most); several annotators are
averaged, so that a value is the share of people. A map that says nothing is None, never zeros.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from pipeline.data.gaze import map_fixations
from pipeline.data.images import shrink
from pipeline.data.mask_file import read_mask, read_stored
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import (
    Annotation,
    Boxes,
    Drawn,
    Ellipses,
    Fixations,
    Masked,
    Pasted,
    Polygons,
    Runs,
    Together,
)

GRID = 256  # cells on the longer side: several times finer than what any class activation map resolves
MAX_OUTSIDE = 2  # px that a rectangle may reach over the image's edge; more is a wrong coordinate system
SUPPORT = 0.5  # share of the peak from which a cell counts as marked when boxes are drawn


def draw_maps(annotations: Sequence[Annotation], width: int, height: int) -> list[np.ndarray]:
    """Each annotator's map, float (h, w) in [0, 1], in px of an image of `width` x `height`.

    Raises UnusableImage: E_ANN_MISSING, E_ANN_DIMS, E_ANN_RANGE, E_ANN_EMPTY, E_DECODE (map files), E_FIX,
    E_BOX, E_SHAPE, E_RLE.

    >>> [each.tolist() for each in draw_maps([Boxes(np.array([[0, 0, 1, 2]]))], 2, 2)]
    [[[1.0, 0.0], [1.0, 0.0]]]
    """
    return [_draw_map(annotation, width, height) for annotation in annotations]


def combine(maps: Sequence[np.ndarray], *, granularity: str, blur: float) -> np.ndarray | None:
    """The mean of all annotators' maps, float32 (h, w) in [0, 1]; None if they leave nothing to look at.

    `granularity` is `map`, or `box`: each connected part above half the peak becomes its bounding box. `blur`
    is the sigma of a last Gaussian, as a share of the image's width.
    """
    if not maps:
        return None
    human_map = np.mean(maps, axis=0)
    if granularity == "box":
        human_map = bounding_boxes(human_map)
    if blur > 0:
        human_map = ndimage.gaussian_filter(human_map, blur * human_map.shape[1], mode="constant")
    if human_map.max() == human_map.min():
        return None
    return np.clip(human_map, 0, 1).astype(np.float32)


def bounding_boxes(human_map: np.ndarray) -> np.ndarray:
    """Coarser maps, as in box-supervised training: 1 in the bounding box of each connected part, else 0.

    >>> bounding_boxes(np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0.4]])).tolist()
    [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    marked = (human_map > 0) & (human_map >= SUPPORT * human_map.max())
    parts, _ = ndimage.label(marked, structure=np.ones((3, 3)))
    boxes = np.zeros(human_map.shape)
    for part in ndimage.find_objects(parts):
        boxes[part] = 1
    return boxes


def _map_gaze(gaze: Fixations, width: int, height: int) -> np.ndarray:
    return map_fixations(gaze, width, height, _grid_shape(width, height))


def _map_boxes(boxes: Boxes, width: int, height: int) -> np.ndarray:
    """Union of filled rectangles [floor(x0), ceil(x1)) x [floor(y0), ceil(y1))."""
    h, w = _grid_shape(width, height)
    union = np.zeros((h, w))
    for box in np.asarray(boxes.corners, dtype=float).reshape(-1, 4):
        x0, y0, x1, y1 = _clip_to_image(box, width, height)
        across = _cover_cells(np.floor(x0), np.ceil(x1), width, w)
        down = _cover_cells(np.floor(y0), np.ceil(y1), height, h)
        np.maximum(union, down[:, None] * across, out=union)
    return union


def _clip_to_image(box: np.ndarray, width: int, height: int) -> np.ndarray:
    """A rectangle clipped to the image; E_BOX if it has no area or reaches far outside."""
    x0, y0, x1, y1 = box
    has_area = np.isfinite(box).all() and x1 > x0 and y1 > y0
    outside = max(-x0, -y0, x1 - width, y1 - height)
    if not has_area or outside > MAX_OUTSIDE or x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        shown = ", ".join(f"{value:g}" for value in box)
        message = (
            f"{shown}: expected x0 < x1 and y0 < y1 inside {width}x{height} px, at most {MAX_OUTSIDE} px "
            "over the edge; are the corners in px of this image?"
        )
        raise _as_unusable("E_BOX", message)
    return np.clip(box, 0, [width, height, width, height])


def _cover_cells(start: float, stop: float, length: int, cells: int) -> np.ndarray:
    """Share of each cell that lies between start and stop, (cells,)."""
    step = length / cells
    left = np.arange(cells) * step
    return np.clip(np.minimum(left + step, stop) - np.maximum(left, start), 0, None) / step


def _map_ellipses(ellipses: Ellipses, width: int, height: int) -> np.ndarray:
    """Union of filled axis-aligned ellipses: cells whose centres lie inside."""
    h, w = _grid_shape(width, height)
    x, y = (np.arange(w) + 0.5) * width / w, (np.arange(h) + 0.5)[:, None] * height / h
    union = np.zeros((h, w))
    for box in np.asarray(ellipses.corners, dtype=float).reshape(-1, 4):
        x0, y0, x1, y1 = box
        has_area = np.isfinite(box).all() and x1 > x0 and y1 > y0
        if not has_area or x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            shown = ", ".join(f"{value:g}" for value in box)
            raise _as_unusable("E_SHAPE", f"ellipse in {shown}: expected an area inside {width}x{height} px")
        a, b = max((x1 - x0) / 2, width / w * 0.75), max((y1 - y0) / 2, height / h * 0.75)
        union[((x - (x0 + x1) / 2) / a) ** 2 + ((y - (y0 + y1) / 2) / b) ** 2 <= 1] = 1
    return union


def _map_polygons(polygons: Polygons, width: int, height: int) -> np.ndarray:
    """Union of filled outlines, edges included, without the holes; as Pillow draws polygons."""
    canvas = Image.new("1", (width, height))
    drawing = ImageDraw.Draw(canvas)
    for rings, fill in ((polygons.outlines, 1), (polygons.holes, 0)):
        for ring in rings:
            drawing.polygon([(x, y) for x, y in _check_ring(ring, width, height).tolist()], fill=fill)
    return shrink(np.asarray(canvas), _grid_shape(width, height))


def _check_ring(ring: np.ndarray, width: int, height: int) -> np.ndarray:
    """An outline that encloses an area and meets the image; else E_SHAPE."""
    points = np.asarray(ring, dtype=float).reshape(-1, 2)
    expected = f"expected 3 or more points around an area inside {width}x{height} px"
    if len(points) < 3 or not np.isfinite(points).all():
        raise _as_unusable("E_SHAPE", f"outline of {len(points)} points: {expected}")
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0 or x1 == x0 or y1 == y0:
        shown = ", ".join(f"{value:g}" for value in (x0, y0, x1, y1))
        raise _as_unusable("E_SHAPE", f"outline in {shown}: {expected}")
    return points


def _map_runs(runs: Runs, width: int, height: int) -> np.ndarray:
    """Union of masks that are stored as run lengths."""
    if (runs.width, runs.height) != (width, height):
        came = f"mask is {runs.width}x{runs.height} px, its image {width}x{height}"
        raise _as_unusable("E_ANN_DIMS", f"{came}; expected the same size, maps are not resized")
    union = np.zeros(width * height, dtype=bool)
    for lengths in runs.parts:
        if lengths.min(initial=0) < 0 or lengths.sum() > union.size:
            message = (
                f"run lengths sum to {lengths.sum()} with {lengths.min(initial=0)} the smallest; expected"
            )
            raise _as_unusable("E_RLE", f"{message} 0 or more each, at most {union.size} in all")
        marked = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        union[: len(marked)] |= marked
    if runs.parts and not union.any():
        raise _as_unusable("E_ANN_EMPTY", "no pixel of the run-length masks is marked; drop the mask")
    return shrink(union.reshape((height, width), order=runs.order), _grid_shape(width, height))


def _map_drawn(drawn: Drawn, width: int, height: int) -> np.ndarray:
    """A grey map file, 0 to 255; one of another size than its image is squeezed to it if it may be."""
    stored = _read_grey(drawn.path)
    if stored.shape != (height, width) and drawn.resize == "refuse":
        came = f"map is {stored.shape[1]}x{stored.shape[0]} px, its image {width}x{height}"
        message = "expected the same size; give maps.resize or maps.reference if it shows the whole image"
        raise _as_unusable("E_ANN_DIMS", f"{came}; {message}", drawn.path)
    if stored.min() == stored.max() and (stored.any() or drawn.empty == "refuse"):
        message = "the map is empty or constant; delete the file if nobody marked anything"
        raise _as_unusable("E_ANN_EMPTY", message, drawn.path)
    grid = _grid_shape(width, height)
    if stored.shape != (height, width) and drawn.resize == "nearest":
        rows, columns = (
            (np.arange(cells) + 0.5) * length // cells
            for cells, length in zip(grid, stored.shape, strict=True)
        )
        return stored[np.ix_(rows.astype(int), columns.astype(int))] / 255
    return shrink(stored / 255, grid)


def _read_grey(path: Path) -> np.ndarray:
    """A map file as uint8 (H, W); three colours that are equal everywhere are one."""
    stored = read_stored(path)
    if stored.ndim == 3 and (stored == stored[..., :1]).all():
        stored = stored[..., 0]
    if stored.ndim != 2 or stored.dtype != np.uint8:
        came = "colours that differ" if stored.ndim == 3 else f"values of {stored.dtype}"
        message = f"expected grey, 0 (not marked) to 255; got {came}; which of them mark something?"
        raise _as_unusable("E_ANN_RANGE", message, path)
    return stored


def _map_pasted(pasted: Pasted, width: int, height: int) -> np.ndarray:
    """Union of masks, each put at its corner."""
    union = np.zeros((height, width), dtype=bool)
    for path, left, top in pasted.parts:
        stored = read_stored(path)
        marked = np.asarray(stored.any(axis=2) if stored.ndim == 3 else stored > 0)
        part = np.array([left, top, left + marked.shape[1], top + marked.shape[0]], dtype=float)
        x0, y0, x1, y1 = _clip_to_image(part, width, height).astype(int)
        union[y0:y1, x0:x1] |= marked[y0 - top : y1 - top, x0 - left : x1 - left]
    if pasted.parts and not union.any():
        raise _as_unusable("E_ANN_EMPTY", "no mask pixel is marked; drop the mask", pasted.parts[0][0])
    return shrink(union, _grid_shape(width, height))


def _map_masked(masked: Masked, width: int, height: int) -> np.ndarray:
    return shrink(read_mask(masked, width, height), _grid_shape(width, height))


def _map_together(together: Together, width: int, height: int) -> np.ndarray:
    """Union of marks of several kinds."""
    union = np.zeros(_grid_shape(width, height))
    for part in together.parts:
        np.maximum(union, _draw_map(part, width, height), out=union)
    return union


def _grid_shape(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of the map of an image; never more than the image has."""
    scale = min(1.0, GRID / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _as_unusable(code: str, message: str, path: Path | None = None) -> UnusableImage:
    return UnusableImage(Problem(code, path.name if path else "annotation", message))


MAPS: dict[type, Callable[[Any, int, int], np.ndarray]] = {
    Fixations: _map_gaze,
    Boxes: _map_boxes,
    Ellipses: _map_ellipses,
    Polygons: _map_polygons,
    Runs: _map_runs,
    Drawn: _map_drawn,
    Pasted: _map_pasted,
    Masked: _map_masked,
    Together: _map_together,
}


def _draw_map(annotation: Annotation, width: int, height: int) -> np.ndarray:
    """One annotator's map, float (h, w) in [0, 1]; zeros where the annotator marked nothing."""
    return MAPS[type(annotation)](annotation, width, height)
