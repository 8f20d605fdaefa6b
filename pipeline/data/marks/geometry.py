"""Shapes that tools turn or store in pieces, as annotations: angles in degrees, clockwise on the screen."""

from collections.abc import Sequence

import numpy as np

from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Annotation, Boxes, Polygons, Runs, Together

CORNERS = 64  # of the outline that stands for an ellipse: at most 0.12 % of its radius inside it


def turned_box(
    x: float, y: float, width: float, height: float, degrees: float, pivot: np.ndarray
) -> Annotation:
    """A box with its left top at x, y before it was turned around `pivot` (x, y); all in px.

    >>> turned_box(0, 0, 2, 1, 90, np.array([0, 0])).outlines[0].round(6).tolist()
    [[0.0, 0.0], [0.0, 2.0], [-1.0, 2.0], [-1.0, 0.0]]
    """
    if degrees % 360 == 0:
        return Boxes(np.array([[x, y, x + width, y + height]]))
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    return Polygons((_turn(corners, degrees, pivot),))


def turned_ellipse(x: float, y: float, a: float, b: float, degrees: float = 0) -> Polygons:
    """An ellipse around x, y with the half axes a (across, before it was turned) and b, in px."""
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    outline = np.column_stack([x + a * np.cos(angle), y + b * np.sin(angle)])
    return Polygons((_turn(outline, degrees, np.array([x, y])),))


def pasted_mask(mask: np.ndarray, left: int, top: int, size: tuple[int, int]) -> Runs:
    """A boolean mask (h, w) put at a corner of an image of `size` (width, height).

    Raises UnusableImage (E_SHAPE): it reaches over the image's edge.

    >>> pasted_mask(np.array([[True, False], [True, True]]), 1, 0, (3, 2)).parts[0].tolist()
    [1, 1, 2, 2]
    """
    width, height = size
    if left < 0 or top < 0 or left + mask.shape[1] > width or top + mask.shape[0] > height:
        message = f"mask of {mask.shape[1]}x{mask.shape[0]} px at {left}, {top}: expected it inside"
        raise UnusableImage(Problem("E_SHAPE", "annotation", f"{message} {width}x{height} px"))
    whole = np.zeros((height, width), dtype=bool)
    whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return as_runs(whole)


def as_runs(mask: np.ndarray) -> Runs:
    """A boolean mask (h, w) of the whole image."""
    height, width = mask.shape
    return Runs((run_lengths(mask.ravel()),), height, width, "C")


def run_lengths(marked: np.ndarray) -> np.ndarray:
    """Lengths of runs of a boolean (n,), not marked first, int64.

    >>> run_lengths(np.array([True, True, False])).tolist(), run_lengths(np.zeros(2, bool)).tolist()
    ([0, 2, 1], [2])
    """
    edges = np.flatnonzero(np.diff(marked)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [len(marked)]]))
    return np.concatenate([[0], lengths]) if len(marked) and marked[0] else lengths


def unite(shapes: Sequence[Annotation]) -> Annotation:
    """All that one annotator marked on one image, without masks that mark nothing; may be no mark at all."""
    marked = [shape for shape in shapes if not (isinstance(shape, Runs) and _is_empty(shape))]
    return marked[0] if len(marked) == 1 else Together(tuple(marked))


def _is_empty(runs: Runs) -> bool:
    return not any(lengths[1::2].any() for lengths in runs.parts)


def _turn(points: np.ndarray, degrees: float, pivot: np.ndarray) -> np.ndarray:
    """Points (n, 2) turned clockwise on the screen, where y points down."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned: np.ndarray = (points - pivot) @ turn + pivot
    return turned
