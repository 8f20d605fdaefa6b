"""A colour portrait without a camera: a relief of the head, lit and shaded, with skin, features and hair.

Positions are in head units: u to the right and v down from the middle of the face, the chin at v = 1. Colours
are float32 RGB in [0, 1], pictures `(224, 224, 3)`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from pipeline.drawing._drawing import Shape, band_noise, grid, noise

SHAPE: Shape = (224, 224)
EYE_U, MOUTH_V = 0.33, 0.6
_SKINS = ((0.93, 0.76, 0.67), (0.90, 0.71, 0.60), (0.82, 0.62, 0.49), (0.68, 0.49, 0.37), (0.50, 0.35, 0.27))
_HAIRS = ((0.10, 0.08, 0.07), (0.22, 0.14, 0.09), (0.38, 0.25, 0.15), (0.66, 0.52, 0.32), (0.52, 0.50, 0.48))
_IRISES = ((0.25, 0.15, 0.08), (0.35, 0.25, 0.12), (0.30, 0.40, 0.30), (0.35, 0.48, 0.60))


@dataclass(frozen=True)
class Person:
    """What stays the same in all pictures of one person."""

    skin: np.ndarray  # colours (3,)
    hair: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    width: float  # half width of the face
    jaw: float  # how much the face narrows towards the chin
    eye: float  # half width of an eye
    nose: float  # half width of the nose's tip
    mouth: float  # half width
    full: float  # thickness of the lips
    brow: float  # thickness
    arch: float  # of the brows
    hairline: float  # v at the middle of the forehead
    long_hair: bool
    parting: float  # u of the parting
    volume: float  # how far the hair stands off the skull
    stubble: float
    freckles: float
    seed: int  # of the textures that belong to the person


@dataclass(frozen=True)
class View:
    """One picture's geometry: every pixel's u and v, and how far the face is turned and smiles."""

    u: np.ndarray
    v: np.ndarray
    centre: tuple[float, float]  # px
    scale: float  # px per head unit
    roll: float  # radians
    turn: float  # shift of the nose in u
    smile: float
    open: float  # half height of the opening between the lips

    def pixel(self, u: float, v: float) -> tuple[float, float]:
        """Where a point of the head lies in the picture."""
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        x = self.centre[0] + self.scale * (u * cos - v * sin)
        y = self.centre[1] + self.scale * (u * sin + v * cos)
        return float(x), float(y)


def draw_person(rng: np.random.Generator) -> Person:
    """One person's constants."""
    skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.94, 1.05) + rng.normal(0, 0.012, 3)
    dark = skin.mean() < 0.45
    hair = np.array(_HAIRS[rng.integers(2 if dark else len(_HAIRS))]) * rng.uniform(0.85, 1.15)
    long_hair = bool(rng.random() < 0.5)
    return Person(
        skin=_rgb(skin),
        hair=_rgb(hair),
        iris=_rgb(_IRISES[rng.integers(2 if dark else len(_IRISES))]),
        lips=_rgb(skin * _rgb(0.88, 0.60, 0.60) + np.array([0.06 * long_hair, 0, 0])),
        width=rng.uniform(0.68, 0.78),
        jaw=rng.uniform(0.12, 0.32),
        eye=rng.uniform(0.125, 0.15),
        nose=rng.uniform(0.085, 0.12),
        mouth=rng.uniform(0.22, 0.3),
        full=rng.uniform(0.055, 0.085),
        brow=rng.uniform(0.022, 0.04) if long_hair else rng.uniform(0.032, 0.05),
        arch=rng.uniform(0.01, 0.06),
        hairline=rng.uniform(-0.72, -0.55),
        long_hair=long_hair,
        parting=rng.uniform(-0.35, 0.35),
        volume=rng.uniform(0.12, 0.22),
        stubble=0.0 if long_hair else max(0.0, rng.normal(0.2, 0.3)),
        freckles=max(0.0, rng.normal(0, 0.5)),
        seed=int(rng.integers(2**31)),
    )


def _rgb(*values: Any) -> np.ndarray:
    """A colour or weights per channel as float32 (3,), so that pictures stay in float32."""
    return np.asarray(values if len(values) == 3 else values[0], dtype=np.float32)


def draw_view(rng: np.random.Generator) -> View:
    """How one person stands before the camera this time."""
    scale = rng.uniform(80, 90)
    centre = (112 + rng.uniform(-12, 12), 112 + rng.uniform(-8, 8))
    roll = rng.normal(0, 0.05)
    x, y = grid(SHAPE)
    dx, dy = (x - centre[0]) / scale, (y - centre[1]) / scale
    cos, sin = float(np.cos(roll)), float(np.sin(roll))
    smiling = rng.random() < 0.45
    return View(
        u=dx * cos + dy * sin,
        v=dy * cos - dx * sin,
        centre=centre,
        scale=scale,
        roll=roll,
        turn=rng.normal(0, 0.05),
        smile=rng.uniform(0.25, 0.6) if smiling else rng.uniform(-0.05, 0.15),
        open=rng.uniform(0.025, 0.05) if smiling else 0.0,
    )


def paint(rng: np.random.Generator, person: Person, view: View, *, outdoors: bool) -> np.ndarray:
    """The whole picture, from back to front."""
    own = np.random.default_rng(person.seed)
    relief, face = _relief(person, view)
    light = _light(rng, outdoors)
    image = _background(rng, outdoors)
    image = _over(image, _hair_mask(person, view, front=False), 0.7 * _hair(own, person, view))
    image = _body(rng, image, person, view)
    image = _ears(image, person, view)
    skin = _skin(own, person, view)
    skin = _mouth(skin, person, view)
    skin = _brows(own, skin, person, view)
    shaded = _shade(skin, relief, light, view)
    shaded = _nostrils(shaded, person, view)
    for side in (-1, 1):
        shaded = _eye(shaded, person, view, side)
    image = _over(image, face, shaded)
    front = _hair_mask(person, view, front=True)
    image *= 1 - 0.35 * (ndimage.gaussian_filter(front, 3) * face * (1 - front))[..., None]  # its shadow
    image = _over(image, front, _hair(own, person, view))
    return np.clip(image, 0, 1).astype(np.float32)


def bump(view: View, u: float, v: float, su: float, sv: float) -> np.ndarray:
    """A Gaussian hill of height 1 at (u, v)."""
    return np.exp(-(((view.u - u) / su) ** 2) - ((view.v - v) / sv) ** 2)


def _both(view: View, u: float, v: float, su: float, sv: float) -> np.ndarray:
    return bump(view, -u, v, su, sv) + bump(view, u, v, su, sv)


def _step(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; reversed if `low` is the larger."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _inside(distance: np.ndarray, view: View, soft: float = 1.2) -> np.ndarray:
    """A mask from a signed distance in head units, positive inside; edge of `soft` px."""
    return np.clip(distance * view.scale / soft + 0.5, 0, 1).astype(np.float32)


def _over(image: np.ndarray, mask: np.ndarray, colour: Any) -> np.ndarray:
    return image + mask[..., None] * (np.asarray(colour, dtype=np.float32) - image)


def _relief(person: Person, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Height of the face over the picture plane in head units, and the face's mask."""
    u, v, t = view.u, view.v, view.turn
    half = person.width * (1 - person.jaw * _step(v, 0.15, 1.0))
    radius = ((np.abs(u) / half) ** 2.4 + np.abs(v) ** 2.4) ** (1 / 2.4)
    height = 0.8 * np.clip(1 - radius**2, 0, 1) ** 0.55
    bridge = _step(v, -0.25, 0.33) * _step(v, 0.46, 0.36)
    height += 0.13 * np.exp(-(((u - t * (v + 0.6)) / 0.085) ** 2)) * bridge
    height += 0.08 * bump(view, t, 0.34, person.nose, 0.085)
    height += 0.05 * (bump(view, t - 1.15 * person.nose, 0.38, 0.05, 0.05))
    height += 0.05 * (bump(view, t + 1.15 * person.nose, 0.38, 0.05, 0.05))
    height += -0.09 * _both(view, EYE_U, -0.03, 0.17, 0.11) + 0.045 * _both(view, EYE_U, 0.01, 0.12, 0.07)
    height += 0.035 * _both(view, 0.3, -0.24, 0.22, 0.06) + 0.05 * _both(view, 0.44, 0.25, 0.2, 0.17)
    lift = 0.05 + 0.04 * view.smile
    height += lift * _both(view, 0.42, 0.36, 0.14, 0.12)
    height += 0.035 * bump(view, t, MOUTH_V - 0.04, 0.2, 0.045) + 0.045 * bump(
        view, t, MOUTH_V + 0.06, 0.16, 0.05
    )
    height -= 0.03 * bump(view, t, 0.75, 0.16, 0.04) + 0.015 * bump(view, t, 0.5, 0.025, 0.05)
    height += 0.06 * bump(view, 0.5 * t, 0.88, 0.17, 0.11)
    for side in (-1, 1):  # from the nose's wings to the corners of the mouth
        line = side * (u - t) - (0.16 + 0.32 * (v - 0.38))
        height -= (
            (0.012 + 0.03 * view.smile)
            * np.exp(-((line / 0.035) ** 2))
            * _step(v, 0.34, 0.44)
            * _step(v, 0.68, 0.55)
        )
    return height, _inside((1 - radius) * half, view)


def _light(rng: np.random.Generator, outdoors: bool) -> dict[str, np.ndarray]:
    side, up = rng.uniform(-0.75, 0.75), rng.uniform(0.25, 0.65)
    direction = np.array([side, -up, 0.9])
    warm = rng.normal(0, 0.03)
    strength = rng.uniform(0.66, 0.8)
    return {
        "direction": _rgb(direction / np.linalg.norm(direction)),
        "key": strength * _rgb(1 + warm, 1.0, 1 - warm),
        "fill": _rgb(0.36, 0.38, 0.42) if outdoors else _rgb(np.full(3, rng.uniform(0.3, 0.38))),
    }


def _shade(skin: np.ndarray, relief: np.ndarray, light: dict[str, np.ndarray], view: View) -> np.ndarray:
    """Diffuse light that wraps a little around the form, a soft gloss, and darker creases."""
    smooth = ndimage.gaussian_filter(relief, 0.9)
    dy, dx = np.gradient(smooth * view.scale)
    length = np.sqrt(dx**2 + dy**2 + 1)
    normal = np.stack([-dx / length, -dy / length, 1 / length], axis=-1)
    facing = normal @ light["direction"]
    diffuse = np.clip((facing + 0.25) / 1.25, 0, 1)
    crease = np.clip(1 + 3.0 * (smooth - ndimage.gaussian_filter(smooth, 6)), 0.6, 1.15)
    lit = (light["fill"] + diffuse[..., None] * light["key"]) * crease[..., None]
    lit = lit ** _rgb(0.95, 1.02, 1.04)  # light that went through skin is redder
    half = light["direction"] + _rgb(0, 0, 1.0)
    gloss = np.clip(normal @ _rgb(half / np.linalg.norm(half)), 0, 1) ** 24
    return skin * lit + 0.1 * gloss[..., None]


def _skin(own: np.random.Generator, person: Person, view: View) -> np.ndarray:
    """Colour of the bare face: blush, mottling, freckles, stubble, lines."""
    colour = np.broadcast_to(person.skin, (*SHAPE, 3)) + 0.012 * noise(own, SHAPE, 18)[..., None]
    colour = colour + 0.007 * band_noise(own, SHAPE, 1.6, 5)[..., None]
    blush = 0.06 * _both(view, 0.42, 0.3, 0.2, 0.16) + 0.05 * bump(view, view.turn, 0.35, 0.12, 0.1)
    colour = colour + person.skin.mean() * blush[..., None] * _rgb(0.4, -0.5, -0.4)
    spots = np.clip(noise(own, SHAPE, 4) - 1.7, 0, 1) * (_both(view, 0.4, 0.2, 0.25, 0.16) + 0.3)
    colour = colour * (1 - 0.35 * person.freckles * spots[..., None] * _rgb(0.6, 1.0, 1.1))
    beard = _step(view.v, 0.42, 0.62) * (1 - 0.9 * bump(view, view.turn, MOUTH_V + 0.02, 0.26, 0.09))
    hairs = 0.6 + 0.4 * np.clip(noise(own, SHAPE, 2), -1, 1)
    colour = _over(colour, person.stubble * 0.55 * beard * hairs, person.skin * 0.55 + person.hair * 0.2)
    rings = _both(view, EYE_U - 0.02, 0.11, 0.12, 0.045)
    return colour * (1 - 0.1 * rings[..., None] * _rgb(0.8, 1.0, 0.9))


def _mouth(skin: np.ndarray, person: Person, view: View) -> np.ndarray:
    """Lips, the line between them or the teeth."""
    u = (view.u - view.turn) / (person.mouth * (1 + 0.12 * view.smile))
    span = np.clip(1 - u**2, 0, 1)
    line = MOUTH_V - 0.12 * view.smile * (u**2 - 0.35)
    bow = 1 - 0.22 * np.exp(-((u / 0.14) ** 2))
    top = line - view.open * span - person.full * span**0.8 * bow
    low = line + view.open * span + 1.15 * person.full * span**0.7
    lips = _inside(np.minimum(view.v - top, low - view.v), view, 2.5) * (np.abs(u) < 1)
    colour = person.lips * (1 + 0.25 * (view.v > line) - 0.1)[..., None]
    skin = _over(skin, 0.85 * lips, colour)
    gap = np.abs(view.v - line)
    skin = skin * (1 - 0.6 * np.exp(-((gap * view.scale / 1.1) ** 2)) * (span > 0.02))[..., None]
    if view.open:
        inside = _inside(view.open * span**0.8 - gap, view, 1.5) * (np.abs(u) < 1)
        edges = np.abs(np.sin(np.pi * (u * 4.5 + 0.5)))
        teeth = (0.93 - 0.25 * np.exp(-((edges / 0.12) ** 2))) * (0.55 + 0.45 * span)
        skin = _over(skin, inside, teeth[..., None] * _rgb(1.0, 0.97, 0.9))
    return skin


def _brows(own: np.random.Generator, skin: np.ndarray, person: Person, view: View) -> np.ndarray:
    for side in (-1, 1):
        along = (side * view.u - EYE_U + 0.02) / 0.21
        middle = -0.215 - person.arch * (1 - ((along - 0.25) ** 2)) + 0.02 * along
        thick = person.brow * np.clip(1.15 - 0.55 * _step(along, -0.2, 1.0), 0, None)
        mask = _inside(thick - np.abs(view.v - middle), view, 3.0) * _step(np.abs(along), 1.08, 0.85)
        hairs = 0.85 + 0.15 * np.clip(noise(own, SHAPE, 3), -1.5, 1)
        skin = _over(skin, 0.9 * mask * hairs, person.hair * 0.75)
    return skin


def _nostrils(image: np.ndarray, person: Person, view: View) -> np.ndarray:
    t = view.turn
    holes = bump(view, t - 0.62 * person.nose, 0.412, 0.032, 0.016) + bump(
        view, t + 0.62 * person.nose, 0.412, 0.032, 0.016
    )
    image = image * (1 - 0.75 * np.clip(holes, 0, 1)[..., None] * _rgb(0.85, 1.0, 1.0))
    return image * (1 - 0.16 * bump(view, t, 0.465, 0.13, 0.035))[..., None]


def _eye(image: np.ndarray, person: Person, view: View, side: int) -> np.ndarray:
    """One eye: ball, iris, pupil, catchlight, lids and lashes."""
    u = (view.u - side * EYE_U - 0.3 * view.turn) / person.eye
    span = np.clip(1 - np.abs(u) ** 2.2, 0, 1)
    tilt = -0.012 * side * u
    height = 0.4 * person.eye * (1 - 0.2 * max(view.smile, 0))
    top, low = tilt - height * span**0.75, tilt + 0.72 * height * span**0.9
    opening = _inside(np.minimum(view.v - top, low - view.v), view, 1.0) * (np.abs(u) < 1)
    distance = np.hypot(u + 0.25 * view.turn, (view.v + 0.004) / person.eye)
    ball = _rgb(0.90, 0.87, 0.85) * (0.86 - 0.25 * np.abs(u)[..., None] ** 2)
    iris = _inside((0.43 - distance) * person.eye, view, 1.2)
    ball = _over(ball, iris, person.iris * (0.75 + 1.1 * np.clip(distance, 0, 0.43)[..., None]))
    ball = _over(ball, _inside((0.19 - distance) * person.eye, view), (0.03, 0.03, 0.03))
    ball *= (1 - 0.5 * np.exp(-np.clip(view.v - top, 0, None) / 0.022))[..., None]  # shadow of the lid
    glint = bump(view, side * EYE_U + 0.3 * view.turn - 0.022, -0.022, 0.014, 0.014)
    ball = _over(ball, np.clip(1.6 * glint, 0, 1), (1.0, 1.0, 1.0))
    image = _over(image, opening, ball)
    within = (np.abs(u) < 1.06).astype(np.float32)
    lash = np.exp(-(((view.v - top) * view.scale / (1.5 if person.long_hair else 1.1)) ** 2)) * within
    fold = np.exp(-(((view.v - top + 0.035) * view.scale / 1.2) ** 2)) * within * _step(np.abs(u), 1.05, 0.7)
    lower = np.exp(-(((view.v - low) * view.scale / 1.0) ** 2)) * within
    image = image * (1 - 0.35 * fold - 0.25 * lower)[..., None]
    return _over(image, 0.85 * lash, person.hair * 0.4)


def _ears(image: np.ndarray, person: Person, view: View) -> np.ndarray:
    for side in (-1, 1):
        u, v = (view.u - side * (person.width + 0.03)) / 0.1, (view.v - 0.06) / 0.2
        radius = np.hypot(u, v)
        bowl = 0.8 - 0.35 * np.exp(-(((radius - 0.45) / 0.25) ** 2))
        colour = person.skin * np.array([0.95, 0.85, 0.82]) * bowl[..., None]
        image = _over(image, _inside((1 - radius) * 0.1, view), colour)
    return image


def _body(rng: np.random.Generator, image: np.ndarray, person: Person, view: View) -> np.ndarray:
    """Neck, shadow of the chin, and clothes that may be striped or knitted."""
    u, v = view.u, view.v
    neck = 0.42 + 0.25 * _step(v, 1.05, 1.6) + 0.02
    shade = 0.78 - 0.35 * np.exp(-(((v - 0.95) / 0.28) ** 2)) - 0.3 * np.clip(np.abs(u) / 0.5, 0, 1) ** 3
    image = _over(
        image, _inside(neck - np.abs(u), view, 2) * _step(v, 0.4, 0.6), person.skin * shade[..., None]
    )
    shoulder = 1.28 + 0.35 * np.clip(np.abs(u) - 0.25, 0, None) ** 1.3
    collar = 0.26 * np.clip(1 - (np.abs(u) / rng.uniform(0.4, 0.5)) ** 2, 0, 1)
    colour = rng.uniform(0.08, 0.75, 3)
    period = rng.uniform(5, 12)
    style = int(rng.integers(3))
    wave = (0.0 * u, np.cos(2 * np.pi * v * view.scale / period), noise(rng, SHAPE, 3.5))[style]
    folds = 0.85 + 0.1 * noise(rng, SHAPE, 40) - 0.12 * np.clip(np.abs(u) - 0.6, 0, 1)
    cloth = colour * (folds * (1 + 0.18 * wave))[..., None]
    return _over(image, _inside(v - shoulder - collar, view, 1.5), cloth)


def _hair_mask(person: Person, view: View, *, front: bool) -> np.ndarray:
    """Hair over the forehead and temples, or the mass of it behind head and neck."""
    u, v = view.u, view.v
    cap = person.width + person.volume
    outline = 1 - np.hypot(u / cap, (v + 0.12) / (1.0 + 0.8 * person.volume))
    rough = 0.02 * noise(np.random.default_rng(person.seed + 1), SHAPE, 9)
    if not front:
        if not person.long_hair:
            return _inside(np.minimum(outline + rough, 0.15 - v), view, 2.5)
        fall = cap + 0.05 - np.abs(u) + 0.06 * np.sin(3 * v)
        locks = np.minimum(np.minimum(fall, v + 0.2), 1.45 - v)
        return _inside(np.maximum(outline, locks) + rough, view, 2.5)
    sweep = person.hairline + 0.5 * (np.abs(u - 0.5 * person.parting) / person.width) ** 3.2
    sweep = sweep + 0.1 * (1 if person.parting > 0 else -1) * u
    edge = np.minimum(outline, (sweep - v) * 0.7)
    if person.long_hair:  # strands frame the cheeks
        frame = np.abs(u) - person.width * (0.98 - 0.12 * _step(v, 0.4, -0.4))
        edge = np.maximum(
            edge, np.minimum(np.minimum(frame, cap + 0.03 - np.abs(u)), np.minimum(1.3 - v, v + 0.5))
        )
    else:
        edge = np.minimum(edge, 0.1 - v)
    return _inside(edge + rough, view, 3.0)


def _hair(own: np.random.Generator, person: Person, view: View) -> np.ndarray:
    """Colour of hair everywhere: strands that run from the parting, with a band of gloss."""
    du, dv = view.u - person.parting, view.v + 1.05
    angle = np.arctan2(du, np.abs(dv) + 0.25)
    length = np.hypot(du, dv)
    white = own.standard_normal((40, 360))
    strip = ndimage.gaussian_filter(white, (8, 1.6)) * 14 + ndimage.gaussian_filter(white, (8, 5)) * 18
    at = np.stack([np.clip(length * 14, 0, 39), (angle / np.pi + 0.5) * 359])
    strands = ndimage.map_coordinates(strip, at, order=1, mode="nearest")
    shine = np.exp(-(((length - 0.5) / 0.2) ** 2)) * (0.7 + 0.2 * strands)
    tone = 0.95 + 0.075 * strands + 0.1 * noise(own, SHAPE, 14) - 0.12 * np.clip(view.v, 0, 1)
    return person.hair * tone[..., None] + 0.07 * np.clip(shine, 0, 1.5)[..., None]


def _background(rng: np.random.Generator, outdoors: bool) -> np.ndarray:
    """A studio's lit cloth, or a street far out of focus."""
    x, y = grid(SHAPE)
    if not outdoors:
        colour = rng.uniform(0.3, 0.8) * (1 + rng.normal(0, 0.08, 3))
        spot = 1.12 - 0.35 * (((x - 112 - rng.uniform(-40, 40)) / 160) ** 2 + ((y - 90) / 170) ** 2)
        return (colour * (spot + 0.015 * noise(rng, SHAPE, 30))[..., None]).astype(np.float32)
    image = np.empty((*SHAPE, 3), dtype=np.float32)
    image[:] = _rgb(0.72, 0.76, 0.8) - 0.2 * (y / 224)[..., None]
    for _ in range(int(rng.integers(5, 9))):
        left, width, top = rng.uniform(-30, 200), rng.uniform(25, 80), rng.uniform(-20, 120)
        wall = (
            np.clip((x - left) / 9, 0, 1)
            * np.clip((left + width - x) / 9, 0, 1)
            * np.clip((y - top) / 9, 0, 1)
        )
        image = _over(image, 0.8 * wall, rng.uniform(0.2, 0.65) * (1 + rng.normal(0, 0.12, 3)))
    green = np.clip(noise(rng, SHAPE, 55) - rng.uniform(0.0, 1.0), 0, 1)
    return _over(image, 0.7 * green, rng.uniform(0.7, 1.2) * _rgb(0.25, 0.36, 0.18))
