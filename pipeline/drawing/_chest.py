"""A frontal chest film as a drawing: what attenuates more is brighter.

Places are given in chest units: u from -1 (patient's right, drawn left) to 1, v from -1 (neck) to 1
(abdomen), 0, 0 in the middle of the chest; an `Exposure` puts them on the film. A `Body` belongs to a
patient, an `Exposure` to one film, a `FilmStyle` to a hospital. Brightnesses are shares of the film's range.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pipeline.drawing import _shapes as shapes
from pipeline.drawing._shapes import Shape

Line = tuple[np.ndarray, float, float]  # points, width, value: what shapes.strokes draws


class FilmStyle(NamedTuple):
    """How one hospital's films look."""

    gamma: float  # tone curve, 1 linear
    contrast: float  # share of the full contrast
    brightness: float  # added after the contrast
    grain: float  # standard deviation of the noise, share of the range
    blur: float  # detector blur, px
    zoom: float  # size of the chest on the film, 1 standard
    rows: int
    columns: int


class Body(NamedTuple):
    """A patient's anatomy: factors around 1."""

    width: float
    height: float
    heart: float
    thickness: float  # soft tissue
    bone: float
    breast: float  # 0 none
    rib_phase: float
    seed: int  # vessels and ribs keep their course between films


class Exposure(NamedTuple):
    """One exposure: where the chest lies on the film."""

    shape: Shape
    scale: float  # px per chest unit
    x: float
    y: float
    turn: float  # radians
    breath: float  # lowers the diaphragm, chest units

    def place(self, points: np.ndarray) -> np.ndarray:
        """Chest units `(n, 2)` to px `(n, 2)`."""
        u, v = np.asarray(points, dtype=float).T * self.scale
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.stack([self.x + cos * u - sin * v, self.y + sin * u + cos * v], axis=1)


class Chest(NamedTuple):
    """A drawn chest, `(h, w)` arrays: brightness before the hospital's look, and where things are."""

    brightness: np.ndarray
    lungs: np.ndarray  # float, 1 inside the aerated lung fields
    right: np.ndarray  # bool, the half of the film on the patient's right


def draw_body(rng: np.random.Generator) -> Body:
    """A patient."""
    return Body(
        width=rng.normal(1, 0.05),
        height=rng.normal(1, 0.05),
        heart=rng.normal(1, 0.09),
        thickness=rng.normal(1, 0.1),
        bone=rng.normal(1, 0.15),
        breast=max(0.0, rng.normal(0.2, 0.6)),
        rib_phase=rng.uniform(-0.5, 0.5),
        seed=int(rng.integers(2**31)),
    )


def draw_exposure(rng: np.random.Generator, look: FilmStyle) -> Exposure:
    """An exposure with that hospital's film size and framing."""
    side = min(look.rows, look.columns) / 2
    return Exposure(
        shape=(look.rows, look.columns),
        scale=side * look.zoom * rng.normal(1, 0.03),
        x=look.columns / 2 + side * rng.normal(0, 0.035),
        y=look.rows / 2 + side * rng.normal(0.10, 0.03),
        turn=rng.normal(0, 0.025),
        breath=rng.normal(0, 0.04),
    )


def draw_chest(rng: np.random.Generator, body: Body, view: Exposure) -> Chest:
    """A chest without findings; `rng` moves only what differs between two films of one patient."""
    fixed = np.random.default_rng(body.seed)
    lungs = np.clip(_draw_lung(body, view, -1) + _draw_lung(body, view, 1), 0, 1)
    heart = _draw_heart(body, view)
    aerated = lungs * (1 - heart)
    soft_tissue = _draw_soft_tissue(body, view)
    film = soft_tissue - 0.40 * lungs
    film = film * (1 - heart) + heart * np.maximum(film, 0.66 + 0.05 * shapes.noise(rng, view.shape, 60))
    film = _add_mediastinum(film, body, view, fixed)
    film += _draw_bones(body, view, fixed, aerated)
    film += aerated * (0.13 * _draw_vessels(body, view, fixed))
    film += aerated * 0.016 * shapes.band_noise(rng, view.shape, 3, 12)
    film += 0.022 * shapes.noise(rng, view.shape, 80)
    film *= np.clip(soft_tissue * 6, 0, 1)  # nothing of the body lies outside of it
    x, _ = shapes.grid(view.shape)
    return Chest(np.clip(film, 0, 1), aerated, np.broadcast_to(x < view.x, view.shape))


def load_film(rng: np.random.Generator, shape: Shape, look: FilmStyle) -> Callable[[np.ndarray], np.ndarray]:
    """What one film of that hospital makes of a chest: blur, tone, grain; float32 `(h, w)` in [0, 1]."""
    grain = look.grain * shapes.band_noise(rng, shape, 0.8, 6)

    def expose(brightness: np.ndarray) -> np.ndarray:
        film = shapes.smooth(brightness, look.blur)
        film = 0.5 + (np.clip(film, 0, 1) ** look.gamma - 0.5) * look.contrast + look.brightness
        return np.clip(film + (0.6 + 0.8 * film) * grain, 0, 1).astype(np.float32)

    return expose


def _draw_outline(
    view: Exposure, knots: list[tuple[float, float]], soft: float, stretch: Body | None = None
) -> np.ndarray:
    points = np.asarray(knots, dtype=float)
    if stretch is not None:
        points = points * (stretch.width, stretch.height)
    curve = shapes.smooth_curve(points, 80, closed=True)
    return shapes.polygon(view.shape, view.place(curve), soft)


def _draw_lung(body: Body, view: Exposure, side: int) -> np.ndarray:
    """One lung field: apex, chest wall, sharp angle to the diaphragm, dome, border to the middle."""
    low = 0.06 * (side > 0) + view.breath  # the left dome lies lower
    wall = [(0.20, -0.80), (0.37, -0.73), (0.53, -0.50), (0.62, -0.2), (0.67, 0.1), (0.695, 0.38)]
    angle = [(0.70, 0.545 + low), (0.685, 0.56 + low)]
    dome = [(0.60, 0.45 + low), (0.46, 0.355 + low), (0.32, 0.33 + low), (0.18, 0.38 + low)]
    middle = [(0.115, 0.42 + low), (0.10, 0.15), (0.115, -0.1), (0.105, -0.35), (0.10, -0.6), (0.13, -0.75)]
    knots = [(side * u, v) for u, v in wall + angle + dome + middle]
    return _draw_outline(view, knots, 3.0, body)


def _draw_heart(body: Body, view: Exposure) -> np.ndarray:
    """Heart with the aortic arch, float `(h, w)`: small bulge to the right, long left border."""
    size, low = body.heart, view.breath * 0.6
    knots = [(-0.10, -0.08), (-0.17, 0.08), (-0.185, 0.26), (-0.13, 0.44), (0.1, 0.53), (0.32, 0.50)]
    knots += [(0.43, 0.41), (0.40, 0.26), (0.30, 0.09), (0.17, -0.04), (0.11, -0.12), (0.0, -0.14)]
    heart = _draw_outline(view, [(u * size, v + low) for u, v in knots], 6.0, body)
    arch = _draw_outline(
        view, [(0.02, -0.42), (0.10, -0.43), (0.155, -0.36), (0.13, -0.27), (0.05, -0.25)], 4.0
    )
    return np.maximum(heart, arch)


def _draw_soft_tissue(body: Body, view: Exposure) -> np.ndarray:
    """Neck, shoulders, trunk and abdomen: brightness of everything that is not lung or bone."""
    trunk = [(0.20, -1.5), (0.22, -1.0), (0.34, -0.90), (0.62, -0.84), (0.92, -0.72), (1.08, -0.45)]
    trunk += [(1.05, -0.2), (0.94, 0.1), (0.90, 0.5), (0.93, 1.0), (0.95, 1.6)]
    outline = [(u, v) for u, v in trunk] + [(-u, v) for u, v in reversed(trunk)]
    flat = _draw_outline(view, outline, 3.0, body)
    depth = np.clip(shapes.smooth(flat, 0.09 * view.scale), 0, 1) ** 1.5  # thin at its rim
    tissue = flat * (0.26 + 0.30 * depth) * body.thickness
    dome = [(-1.3, 0.85), (-0.72, 0.53), (-0.35, 0.34), (0.0, 0.42), (0.36, 0.40), (0.72, 0.57), (1.3, 0.85)]
    abdomen = _draw_outline(view, [*dome, (1.3, 2.0), (-1.3, 2.0)], 8.0, body)
    tissue += 0.17 * abdomen * depth**2
    for side in (-1, 1):
        cx, cy = view.place(np.array([[side * 0.42 * body.width, 0.22]]))[0]
        size = 0.30 * view.scale
        breast = shapes.ellipse(view.shape, cx, cy, size, size * 1.1, soft=0.12 * view.scale)
        tissue += 0.06 * body.breast * breast * flat
    gas = _draw_outline(
        view, [(0.30, 0.56), (0.42, 0.53), (0.50, 0.58), (0.44, 0.66), (0.33, 0.64)], 5.0, body
    )
    return tissue - 0.12 * gas * abs(np.sin(body.seed))


def _add_mediastinum(film: np.ndarray, body: Body, view: Exposure, rng: np.random.Generator) -> np.ndarray:
    """Central shadow with spine, trachea and the two hila."""
    shadow = _draw_outline(
        view, [(-0.10, -1.4), (0.10, -1.4), (0.11, -0.4), (0.13, 1.5), (-0.13, 1.5), (-0.12, -0.4)], 7.0
    )
    film = film + shadow * np.clip(0.60 - film, 0, 0.5) * 0.9
    disc, width = 0.125, 0.085
    vertebrae: list[Line] = []
    for k in range(18):
        v = -1.2 + disc * (k + body.rib_phase)
        ends = view.place(np.array([(-width, v), (width, v)]))
        vertebrae.append((ends, 0.10 * view.scale, 0.8 + 0.2 * rng.random()))
    film += 0.075 * body.bone * shapes.strokes(view.shape, vertebrae, 6.0)
    for side in (-1, 1):
        hilum = [(0.10, -0.18), (0.16, -0.16), (0.21, -0.06), (0.20, 0.06), (0.13, 0.10), (0.09, 0.02)]
        lift = 0.03 * side + 0.03 * rng.normal()
        film += 0.13 * _draw_outline(view, [(side * u, v - lift) for u, v in hilum], 12.0, body)
    wind = [(0.0, -1.3), (0.01, -0.7), (0.02, -0.32)]
    air: list[Line] = [(view.place(shapes.smooth_curve(wind, 20, closed=False)), 0.085 * view.scale, 1.0)]
    for side, end in ((-1, 0.16), (1, 0.19)):
        air.append((view.place(np.array([(0.02, -0.33), (side * end, -0.14)])), 0.05 * view.scale, 0.6))
    return film - 0.16 * shapes.strokes(view.shape, air, 4.0)


def _draw_bones(body: Body, view: Exposure, rng: np.random.Generator, aerated: np.ndarray) -> np.ndarray:
    """Ribs, clavicles, shoulder blades and arm heads; ribs stand out over air."""
    back, front, collar, blades = [], [], [], []
    for side in (-1, 1):
        for k in range(10):
            v = -0.80 + 0.135 * (k + 0.5 * body.rib_phase) + 0.008 * rng.normal()
            reach = min(0.70, 0.42 + 0.07 * k)
            wall = [(reach + 0.03, v + 0.16), (reach + 0.035, v + 0.26)]
            arch = [(0.07, v), (0.45 * reach, v - 0.055), (0.8 * reach, v + 0.015)]
            back.append([(side * x, y) for x, y in arch + wall])
            if 1 <= k <= 6:
                slope = [(reach + 0.03, v + 0.12), (0.85 * reach, v + 0.25), (0.45 * reach, v + 0.34)]
                front.append([(side * x, y) for x, y in slope])
        collar.append([(side * x, y) for x, y in _COLLAR])
        blades.append(_draw_outline(view, [(side * x, y) for x, y in _BLADE], 5.0, body))
        arm = view.place(np.array([(side * 0.93 * body.width, -0.66)]))[0]
        blades.append(
            shapes.ellipse(view.shape, arm[0], arm[1], 0.14 * view.scale, 0.13 * view.scale, soft=4)
        )
    ribs = _draw_tubes(view, body, back, 0.066) + 0.75 * _draw_tubes(view, body, front, 0.075)
    bones = ribs * (0.035 + 0.075 * aerated) + 0.12 * _draw_tubes(view, body, collar, 0.06)
    return body.bone * (bones + 0.045 * np.maximum.reduce(blades))


_COLLAR = [(0.07, -0.60), (0.25, -0.66), (0.5, -0.74), (0.80, -0.80)]
_BLADE = [
    (0.55, -0.70),
    (0.72, -0.72),
    (0.82, -0.60),
    (0.76, -0.30),
    (0.70, -0.05),
    (0.64, -0.15),
    (0.58, -0.45),
]


def _draw_tubes(
    view: Exposure, body: Body, bones: list[list[tuple[float, float]]], width: float
) -> np.ndarray:
    """Hollow bones `(h, w)` along knots in chest units: a dense rim around a fainter marrow."""
    knots = np.array(bones).transpose(1, 0, 2) * (body.width, body.height)
    curves = shapes.smooth_curve(knots, 14, closed=False)  # (14, bones, 2)
    lines = [view.place(curves[:, bone]) for bone in range(len(bones))]
    wide = width * view.scale
    rims: list[Line] = [(line, wide, 1.0) for line in lines]
    marrow: list[Line] = [(line, 0.6 * wide, 0.55) for line in lines]
    return shapes.strokes(view.shape, rims + marrow, 2.4)


def _draw_vessels(body: Body, view: Exposure, rng: np.random.Generator) -> np.ndarray:
    """Branching lung vessels `(h, w)` in [0, 1], thinner and fainter away from the hila."""
    side = np.repeat([-1, 1], 8)
    heading = np.tile(np.linspace(-1.25, 1.35, 8), 2)
    start = np.stack([side * 0.13, -0.05 + 0.05 * heading], axis=1)
    heading = heading + rng.normal(0, 0.12, len(side))
    lines: list[Line] = []
    for level, width in enumerate(0.017 * view.scale * 0.68 ** np.arange(4)):
        bend = heading + rng.normal(0, 0.3, len(side))
        length = rng.uniform(0.08, 0.17, len(side))[:, None]
        end = start + length * np.stack([side * np.cos(bend), np.sin(bend)], axis=1)
        ends = np.stack([view.place(start), view.place(end)], axis=1)
        lines += ((pair, float(width), 0.97 - 0.18 * level) for pair in ends)
        side, start, bend = (np.repeat(values, 2, axis=0) for values in (side, end, bend))
        heading = bend + np.tile([-0.35, 0.35], len(bend) // 2) * rng.uniform(0.5, 1.5, len(bend))
    return shapes.strokes(view.shape, lines[::-1], 1.6)
