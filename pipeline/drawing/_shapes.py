"""What every phantom is drawn with: noise fields, soft shapes, lines and outlines.

Coordinates are pixels with x to the right and y down; shapes are float32 `(height, width)` in [0, 1] with
edges softened over `soft` pixels, so that they can be added, multiplied and scaled without stairs.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.interpolate import CubicSpline

Shape = tuple[int, int]  # height, width
Box = tuple[slice, slice]  # rows and columns of a part of a picture


def grid(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """The x and y of every pixel, broadcastable: float32 `(1, width)` and `(height, 1)`."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return x.astype(np.float32), y.astype(np.float32)


def bound(mask: np.ndarray, margin: int = 0) -> Box:
    """The smallest box that holds all true places of `(h, w)`, widened by `margin` px inside the picture."""
    spans = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(max(0, int(span[0]) - margin), int(span[-1]) + margin + 1) for span in spans)
    return rows, columns


def noise(rng: np.random.Generator, shape: Shape, scale: float) -> np.ndarray:
    """Smooth random field `(h, w)`, mean 0, standard deviation 1, blobs of about `scale` px across.

    Coarse fields are drawn small and enlarged, so the cost falls with the scale; their mean and deviation
    are those of the small field.
    """
    step = max(1, int(scale / 3))
    small = (shape[0] // step + 4, shape[1] // step + 4)
    white = rng.standard_normal(small, dtype=np.float32)
    field = ndimage.gaussian_filter(white, scale / step / 2.5, truncate=3)
    shown = field[: -(-shape[0] // step), : -(-shape[1] // step)]
    field = (field - shown.mean()) / max(float(shown.std()), 1e-6)
    if step > 1:
        field = enlarge(field, (small[0] * step, small[1] * step))
    return field[: shape[0], : shape[1]]


def band_noise(rng: np.random.Generator, shape: Shape, fine: float, coarse: float) -> np.ndarray:
    """Noise `(h, w)`, mean 0, deviation 1, with structure between `fine` and `coarse` px only."""
    field = smooth(rng.standard_normal(shape, dtype=np.float32), fine / 2.5)
    field -= smooth(field, coarse / 2.5)
    return field / max(float(field.std()), 1e-6)


def smooth(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur `(h, w)` by `sigma` px; wide ones are done on a smaller copy, which does not show."""
    step = int(sigma / 2.5)
    if step < 2:
        return ndimage.gaussian_filter(field, sigma, truncate=3)
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    size = (-(-field.shape[1] // step), -(-field.shape[0] // step))
    small = np.asarray(image.resize(size, Image.Resampling.BOX))
    return enlarge(ndimage.gaussian_filter(small, sigma / step, truncate=3), field.shape)


def enlarge(field: np.ndarray, shape: Shape) -> np.ndarray:
    """A float field `(h, w)` resized to `shape` bicubically."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def ellipse(
    shape: Shape, cx: float, cy: float, rx: float, ry: float, *, angle: float = 0.0, soft: float = 1.0
) -> np.ndarray:
    """A filled ellipse `(h, w)` in [0, 1]; `angle` in radians turns x towards y.

    >>> ellipse((5, 5), 2, 2, 1.25, 1.25)[2].tolist()
    [0.0, 0.75, 1.0, 0.75, 0.0]
    """
    cx, cy, cos, sin = float(cx), float(cy), float(np.cos(angle)), float(np.sin(angle))  # stay in float32
    reach = float(max(rx, ry)) * (1 + soft / float(min(rx, ry))) + 1
    rows, columns = (slice(max(0, int(at - reach)), max(0, int(at + reach) + 1)) for at in (cy, cx))
    x, y = grid(shape)
    x, y = x[:, columns], y[rows]
    u = (x - cx) * cos + (y - cy) * sin
    v = (y - cy) * cos - (x - cx) * sin
    distance = (1 - np.sqrt((u / float(rx)) ** 2 + (v / float(ry)) ** 2)) * float(min(rx, ry))  # px, roughly
    found = np.zeros(shape, dtype=np.float32)
    found[rows, columns] = np.clip(distance / soft + 0.5, 0, 1)
    return found


def polygon(
    shape: Shape, points: Sequence[tuple[float, float]] | np.ndarray, soft: float = 1.0
) -> np.ndarray:
    """A filled polygon `(h, w)` in [0, 1] through `(n, 2)` points x, y."""
    corners, margin = np.asarray(points, dtype=float), int(2 * soft) + 2
    left, top = np.clip(corners.min(axis=0).astype(int) - margin, 0, shape[::-1])
    right, bottom = np.clip(corners.max(axis=0).astype(int) + margin, 0, shape[::-1])
    found = np.zeros(shape, dtype=np.float32)
    if left < right and top < bottom:
        image = Image.new("L", (int(right - left) * 2, int(bottom - top) * 2))  # twice the size: smooth edges
        ImageDraw.Draw(image).polygon(_corners(corners - (left, top)), fill=255)
        mask = np.asarray(image.reduce(2), dtype=np.float32) / 255
        found[top:bottom, left:right] = smooth(mask, soft / 2) if soft > 1 else mask
    return found


def strokes(
    shape: Shape,
    lines: Sequence[tuple[Sequence[tuple[float, float]] | np.ndarray, float, float]],
    soft: float = 1.0,
) -> np.ndarray:
    """Many open lines in one picture `(h, w)`; each is (points, width in px, value in [0, 1]).

    Later lines cover earlier ones, so crossings do not add up. Lines of more than two points bend smoothly.
    """
    image = Image.new("L", (shape[1] * 2, shape[0] * 2))
    draw = ImageDraw.Draw(image)
    for points, width, value in lines:
        if len(points) == 2:
            draw.line(_corners(points), fill=round(255 * value), width=max(1, round(2 * width)))
        else:
            draw.polygon(_corners(_widen(np.asarray(points), width)), fill=round(255 * value))
    mask = np.asarray(image.reduce(2), dtype=np.float32) / 255
    return smooth(mask, soft / 2) if soft > 1 else mask


def _corners(points: Sequence[tuple[float, float]] | np.ndarray) -> list[float]:
    """Points x, y as Pillow wants them, in a picture of twice the size."""
    return (2 * np.asarray(points, dtype=float) + 0.5).ravel().tolist()


def _widen(points: np.ndarray, width: float) -> np.ndarray:
    """The outline `(2n, 2)` of a ribbon of that width along `(n, 2)` points."""
    along = np.concatenate([points[1:2] - points[:1], points[2:] - points[:-2], points[-1:] - points[-2:-1]])
    across = along[:, ::-1] * (-0.5, 0.5) * width / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    return np.concatenate([points + across, (points - across)[::-1]])


def smooth_curve(knots: Sequence[tuple[float, float]] | np.ndarray, n: int, *, closed: bool) -> np.ndarray:
    """A cubic curve `(n, 2)` through knots `(k, 2)`; `(k, m, 2)` gives m curves, `(n, m, 2)`."""
    points = np.asarray(knots, dtype=float)
    return np.tensordot(_weigh_knots(len(points), n, closed), points, 1)


@cache
def _weigh_knots(k: int, n: int, closed: bool) -> np.ndarray:
    """What each of k knots adds to each of n points of a cubic curve, `(n, k)`."""
    each = np.eye(k)
    if closed:
        each = np.concatenate([each, each[:1]])
    spline = CubicSpline(np.linspace(0, 1, len(each)), each, bc_type="periodic" if closed else "natural")
    return spline(np.linspace(0, 1, n, endpoint=not closed))


def blob(
    rng: np.random.Generator, cx: float, cy: float, rx: float, ry: float, *, roughness: float = 0.2
) -> np.ndarray:
    """An irregular closed outline `(64, 2)` about an ellipse; radii vary by about `roughness`."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = np.ones_like(angle)
    for order in range(2, 6):
        radius += roughness / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.4, 1.8)
    return np.stack([cx + rx * radius * np.cos(angle), cy + ry * radius * np.sin(angle)], axis=1)
