"""A near-infrared eye, drawn in layers: eyeball (sclera, iris, pupil, highlights), lids, lashes, sensor.

Attacks change the eyeball before the lids cover it. Grey values are float32 in [0, 1]; lengths are in pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from pipeline.drawing._shapes import Shape, band_noise, ellipse, enlarge, grid, noise

SHAPE: Shape = (480, 640)
_ANGLES, _RADII = 512, 64  # samples of the polar iris texture


@dataclass(frozen=True)
class Subject:
    """What stays the same in all images of one eye."""

    radius: float  # of the iris
    tone: float  # of the iris
    skin: float
    half_width: float  # of the eye opening, in iris radii
    upper: float  # height of the upper lid above the centre, in iris radii
    lower: float
    tilt: float  # of the line through the corners, radians
    crease: float  # distance of the lid's crease from its edge, in iris radii
    lashes: float  # length, px
    fibres: np.ndarray  # (_ANGLES + 1, _RADII) brightness in polar coordinates, first row repeated


@dataclass(frozen=True)
class Pose:
    """One image's geometry. `rho` is 0 at the pupil's rim and 1 at the limbus."""

    cx: float
    cy: float
    radius: float
    rho: np.ndarray
    theta: np.ndarray  # radians, 0 to the right, turning downwards
    iris: np.ndarray  # annulus in [0, 1]
    pupil: np.ndarray
    upper: np.ndarray  # (640,) y of the upper lid's edge
    lower: np.ndarray
    opening: np.ndarray  # between the lids, in [0, 1]
    folds: np.ndarray  # (640,) 1 between the corners, 0 well beyond: how deep the skin folds along the lids


def draw_subject(rng: np.random.Generator) -> Subject:
    """One eye's constants."""
    return Subject(
        radius=rng.uniform(120, 136),
        tone=rng.uniform(0.32, 0.44),
        skin=rng.uniform(0.56, 0.7),
        half_width=rng.uniform(1.8, 2.1),
        upper=rng.uniform(0.8, 1.0),
        lower=rng.uniform(0.9, 1.08),
        tilt=rng.normal(0, 0.04),
        crease=rng.uniform(0.3, 0.55),
        lashes=rng.uniform(36, 60),
        fibres=_draw_fibres(rng),
    )


def _draw_fibres(rng: np.random.Generator) -> np.ndarray:
    """Radial fibres, the wavy collarette, crypts and faint furrows, with a mean of 0."""
    white = rng.standard_normal((_ANGLES, 2 * _RADII), dtype=np.float32)
    fine = ndimage.gaussian_filter(white, (1.3, 9), mode="wrap")[:, :_RADII]
    broad = ndimage.gaussian_filter(white, (4.5, 14), mode="wrap")[:, _RADII:]
    texture = 0.028 * fine / fine.std() + 0.02 * broad / broad.std()
    angle = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)[:, None]
    radius = np.linspace(0, 1, _RADII)[None, :]
    wave = sum(rng.normal() / order * np.cos(order * angle + rng.uniform(0, 7)) for order in (2, 3, 5, 8, 13))
    collarette = rng.uniform(0.28, 0.4) + 0.03 * wave
    texture += 0.05 * np.exp(-(((radius - collarette) / 0.06) ** 2)) - 0.03 * (radius < collarette)
    texture += 0.012 * np.cos(2 * np.pi * rng.uniform(3, 5) * radius) * (radius > collarette + 0.15)
    for _ in range(int(rng.integers(4, 12))):
        turn = np.angle(np.exp(1j * (angle - rng.uniform(0, 2 * np.pi))))
        place = (turn / rng.uniform(0.05, 0.1)) ** 2 + ((radius - rng.uniform(0.35, 0.6)) / 0.1) ** 2
        texture -= rng.uniform(0.03, 0.07) * np.exp(-place)
    texture -= 0.14 * np.clip((radius - 0.8) / 0.2, 0, 1) ** 2  # dark limbus
    return np.vstack([texture, texture[:1]]).astype(np.float32)


def draw_pose(rng: np.random.Generator, subject: Subject, *, droop: float = 0.0) -> Pose:
    """Where the eye is in this image, how wide the pupil and the lids are open."""
    radius = subject.radius * rng.uniform(0.95, 1.05)
    cx, cy = 320 + rng.uniform(-40, 40), 245 + rng.uniform(-30, 30)
    pupil = radius * rng.uniform(0.32, 0.48)
    x, y = grid(SHAPE)
    distance = np.hypot(x - cx, y - cy)
    upper, lower, folds = _place_lids(rng, subject, cx, cy, radius, droop)
    opening = np.clip((y - upper) / 3 + 0.5, 0, 1) * np.clip((lower - y) / 3 + 0.5, 0, 1)
    inside = np.clip((distance - pupil) / 3 + 0.5, 0, 1)
    return Pose(
        cx=cx,
        cy=cy,
        radius=radius,
        rho=(distance - pupil) / (radius - pupil),
        theta=np.arctan2(y - cy, x - cx),
        iris=(inside * np.clip((radius - distance) / 7 + 0.5, 0, 1)).astype(np.float32),
        pupil=(1 - inside).astype(np.float32),
        upper=upper,
        lower=lower,
        opening=opening.astype(np.float32),
        folds=folds,
    )


def _place_lids(
    rng: np.random.Generator, subject: Subject, cx: float, cy: float, radius: float, droop: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The y of both lids' edges over x, which meet at the corners and beyond, and the depth of the folds."""
    x = grid(SHAPE)[0][0]
    gaze = rng.uniform(-0.15, 0.15) * radius  # the iris is rarely midway between the corners
    along = (x - cx - gaze) / (subject.half_width * radius)
    t = np.clip(along, -1, 1)
    middle = cy + subject.tilt * (x - cx) + 0.1 * radius
    rise = (subject.upper + 0.1 + rng.uniform(-0.05, 0.05) - droop) * radius
    fall = (subject.lower - 0.1 + rng.uniform(-0.04, 0.04)) * radius
    upper = middle - rise * (1 - np.abs(t) ** 2.1) ** 0.85
    lower = middle + fall * (1 - np.abs(t) ** 2.3) ** 0.95
    folds = np.clip((1.2 - np.abs(along)) / 0.3, 0, 1) ** 2
    return upper.astype(np.float32), lower.astype(np.float32), folds.astype(np.float32)


def paint_eyeball(rng: np.random.Generator, subject: Subject, pose: Pose) -> np.ndarray:
    """Sclera, iris and pupil without lids."""
    x, y = grid(SHAPE)
    roundness = ((x - pose.cx) / (2.6 * pose.radius)) ** 2 + ((y - pose.cy) / (2.2 * pose.radius)) ** 2
    ball = 0.74 - 0.22 * roundness + 0.012 * noise(rng, SHAPE, 40)
    veins = np.abs(noise(rng, SHAPE, 26)) < 0.06  # lines where a field changes sign
    ball -= 0.05 * ndimage.uniform_filter(veins.astype(np.float32), 3)
    inside = pose.iris > 0
    turns = (pose.theta[inside] / (2 * np.pi)) % 1
    polar = np.stack([turns * _ANGLES, pose.rho[inside] * (_RADII - 1)])
    iris = np.zeros(SHAPE, dtype=np.float32)
    iris[inside] = ndimage.map_coordinates(subject.fibres, polar, order=1, mode="nearest", prefilter=False)
    iris += subject.tone + 0.04 * (y - pose.cy) / pose.radius
    ball += pose.iris * (iris - ball)
    ball += pose.pupil * (0.06 - ball)
    return ball.astype(np.float32)


def add_highlights(rng: np.random.Generator, ball: np.ndarray, pose: Pose) -> np.ndarray:
    """The small reflections of the sensor's own illuminators on a wet cornea."""
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.3) * pose.radius
    for side in (-1, 1):
        cx, cy = pose.cx + side * reach * np.cos(angle), pose.cy + side * reach * np.sin(angle) * 0.4
        size = rng.uniform(4, 6.5)
        spot = ellipse(SHAPE, cx, cy, size, size * 1.2, soft=3)
        ball = ball + spot * (1 - ball)
    return ball


def cover(rng: np.random.Generator, ball: np.ndarray, subject: Subject, pose: Pose) -> np.ndarray:
    """Lids, their creases and shadows, skin and lashes over the eyeball."""
    _, y = grid(SHAPE)
    below = np.clip(y - pose.upper, 0, None)
    ball = ball * (1 - 0.5 * np.exp(-below / (0.16 * pose.radius)))  # shadow of the upper lid and its lashes
    ball *= 1 - 0.25 * np.exp(-np.clip(pose.lower - y, 0, None) / 12)
    wet = np.exp(-(((y - pose.lower + 2) / 3.5) ** 2)) * noise(rng, SHAPE, 14).clip(0, 2)
    ball += 0.1 * wet
    image = _draw_skin(rng, subject, pose)
    image += pose.opening * (ball - image)
    rim = np.exp(-(((y - pose.upper + 2) / 4) ** 2)) + 0.4 * np.exp(-(((y - pose.lower - 3) / 4) ** 2))
    image *= 1 - 0.35 * rim * pose.folds
    return image * (1 - 0.8 * _draw_lashes(rng, subject, pose))


def _draw_skin(rng: np.random.Generator, subject: Subject, pose: Pose) -> np.ndarray:
    """Skin everywhere, drawn at half the size: pores, creases, folds and bulges, light from the front."""
    half = (SHAPE[0] // 2, SHAPE[1] // 2)
    x, y = (2 * axis + 0.5 for axis in grid(half))
    above, under = pose.upper[::2] - y, y - pose.lower[::2]
    crease = subject.crease * pose.radius
    relief = -0.13 * np.exp(-(((above - crease) / 5) ** 2)) - 0.06 * np.exp(-np.abs(above - crease) / 22)
    relief += 0.06 * np.exp(-(((above - 0.45 * crease) / (0.35 * crease)) ** 2))  # the lid bulges
    relief -= 0.05 * np.exp(-(((under - 0.35 * pose.radius) / 16) ** 2))  # fold below the eye
    relief += 0.07 * np.exp(-(((under - 14) / 9) ** 2))
    skin = subject.skin + relief * pose.folds[::2] + 0.03 * noise(rng, half, 60) + 0.012 * noise(rng, half, 9)
    skin += 0.022 * band_noise(rng, half, 1.6, 9)
    light = 1.08 - 0.25 * (((x - 320) / 420) ** 2 + ((y - 230) / 330) ** 2)
    light *= 1 - 0.18 * np.clip((90 - y) / 90, 0, 1)  # shade below the brow
    return enlarge(skin * light, SHAPE).copy()


def _draw_lashes(rng: np.random.Generator, subject: Subject, pose: Pose) -> np.ndarray:
    """Upper and lower lashes `(h, w)` in [0, 1], each a thinning curve."""
    canvas = Image.new("L", (SHAPE[1] * 2, SHAPE[0] * 2))
    draw = ImageDraw.Draw(canvas)
    reach, t = subject.half_width * pose.radius * 0.97, np.linspace(0, 1, 7)
    for edge, count, length, up in ((pose.upper, 95, subject.lashes, -1), (pose.lower, 50, 24.0, 1)):
        x = pose.cx + rng.uniform(-reach, reach, (count, 1))
        y = edge[np.clip(x, 0, SHAPE[1] - 1).astype(int)]
        lean = 0.85 * (x - pose.cx) / reach + rng.normal(0, 0.15, (count, 1))
        long = length * rng.uniform(0.55, 1.1, (count, 1))
        x = x + long * (lean * t + 0.25 * np.sign(lean) * t**2)
        y = y + long * up * ((-0.25 if up < 0 else 0.3) * t + 0.75 * t**2)
        points = (2 * np.stack([x, y], axis=-1)).reshape(count, -1).tolist()
        for lash, ink in zip(points, rng.integers(120, 250, count).tolist(), strict=True):
            for index, width in ((0, 4), (2, 3), (4, 2)):
                draw.line(lash[2 * index : 2 * index + 6], fill=ink, width=width)
    return np.asarray(canvas.reduce(2), dtype=np.float32) / 255


def open_shutter(
    rng: np.random.Generator, *, blur: float, gamma: float, grain: float
) -> Callable[[np.ndarray], np.ndarray]:
    """The sensor of one shot: optics, tone curve, grain; what it makes of an eye `(h, w)`, uint8."""
    exposure, sigma = rng.uniform(0.92, 1.06), blur * rng.uniform(0.9, 1.1)
    noise_of_shot = grain * rng.standard_normal(SHAPE, dtype=np.float32)

    def photograph(image: np.ndarray) -> np.ndarray:
        sharp = ndimage.gaussian_filter(image, sigma, truncate=3)
        grey = np.clip(sharp * np.float32(exposure), 0, 1) ** np.float32(gamma) + noise_of_shot
        return np.clip(np.round(255 * grey), 0, 255).astype(np.uint8)

    return photograph
