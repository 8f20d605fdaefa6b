"""What a face is made of: skin, mouth, brows, nostrils, eyes, ears and hair, in the units of `_head`."""

import numpy as np
from scipy import ndimage

from pipeline.drawing._head import (
    EYE_U,
    MOUTH_V,
    SHAPE,
    Framing,
    Person,
    bump,
    bumps,
    lay_over,
    mask_inside,
    rgb,
    smooth_step,
)
from pipeline.drawing._shapes import band_noise, noise


def colour_skin(own: np.random.Generator, person: Person, view: Framing) -> np.ndarray:
    """Colour of the bare face: blush, mottling, freckles, stubble, lines."""
    colour = np.broadcast_to(person.skin, (*SHAPE, 3)) + 0.012 * noise(own, SHAPE, 18)[..., None]
    colour = colour + 0.007 * band_noise(own, SHAPE, 1.6, 5)[..., None]
    blush = 0.06 * bumps(view, 0.42, 0.3, 0.2, 0.16) + 0.05 * bump(view, view.turn, 0.35, 0.12, 0.1)
    colour = colour + person.skin.mean() * blush[..., None] * rgb(0.4, -0.5, -0.4)
    spots = np.clip(noise(own, SHAPE, 4) - 1.7, 0, 1) * (bumps(view, 0.4, 0.2, 0.25, 0.16) + 0.3)
    colour = colour * (1 - 0.35 * person.freckles * spots[..., None] * rgb(0.6, 1.0, 1.1))
    beard = smooth_step(view.v, 0.42, 0.62) * (1 - 0.9 * bump(view, view.turn, MOUTH_V + 0.02, 0.26, 0.09))
    hairs = 0.6 + 0.4 * np.clip(noise(own, SHAPE, 2), -1, 1)
    colour = lay_over(colour, person.stubble * 0.55 * beard * hairs, person.skin * 0.55 + person.hair * 0.2)
    rings = bumps(view, EYE_U - 0.02, 0.11, 0.12, 0.045)
    return colour * (1 - 0.1 * rings[..., None] * rgb(0.8, 1.0, 0.9))


def add_mouth(skin: np.ndarray, person: Person, view: Framing) -> np.ndarray:
    """Lips, the line between them or the teeth."""
    u = (view.u - view.turn) / (person.mouth * (1 + 0.12 * view.smile))
    span = np.clip(1 - u**2, 0, 1)
    line = MOUTH_V - 0.12 * view.smile * (u**2 - 0.35)
    bow = 1 - 0.22 * np.exp(-((u / 0.14) ** 2))
    top = line - view.open * span - person.full * span**0.8 * bow
    low = line + view.open * span + 1.15 * person.full * span**0.7
    lips = mask_inside(np.minimum(view.v - top, low - view.v), view, 2.5) * (np.abs(u) < 1)
    colour = person.lips * (1 + 0.25 * (view.v > line) - 0.1)[..., None]
    skin = lay_over(skin, 0.85 * lips, colour)
    gap = np.abs(view.v - line)
    skin = skin * (1 - 0.6 * np.exp(-((gap * view.scale / 1.1) ** 2)) * (span > 0.02))[..., None]
    if view.open:
        inside = mask_inside(view.open * span**0.8 - gap, view, 1.5) * (np.abs(u) < 1)
        edges = np.abs(np.sin(np.pi * (u * 4.5 + 0.5)))
        teeth = (0.93 - 0.25 * np.exp(-((edges / 0.12) ** 2))) * (0.55 + 0.45 * span)
        skin = lay_over(skin, inside, teeth[..., None] * rgb(1.0, 0.97, 0.9))
    return skin


def add_brows(own: np.random.Generator, skin: np.ndarray, person: Person, view: Framing) -> np.ndarray:
    for side in (-1, 1):
        along = (side * view.u - EYE_U + 0.02) / 0.21
        middle = -0.215 - person.arch * (1 - ((along - 0.25) ** 2)) + 0.02 * along
        thick = person.brow * np.clip(1.15 - 0.55 * smooth_step(along, -0.2, 1.0), 0, None)
        mask = mask_inside(thick - np.abs(view.v - middle), view, 3.0) * smooth_step(
            np.abs(along), 1.08, 0.85
        )
        hairs = 0.85 + 0.15 * np.clip(noise(own, SHAPE, 3), -1.5, 1)
        skin = lay_over(skin, 0.9 * mask * hairs, person.hair * 0.75)
    return skin


def add_nostrils(image: np.ndarray, person: Person, view: Framing) -> np.ndarray:
    t = view.turn
    holes = bump(view, t - 0.62 * person.nose, 0.412, 0.032, 0.016) + bump(
        view, t + 0.62 * person.nose, 0.412, 0.032, 0.016
    )
    image = image * (1 - 0.75 * np.clip(holes, 0, 1)[..., None] * rgb(0.85, 1.0, 1.0))
    return image * (1 - 0.16 * bump(view, t, 0.465, 0.13, 0.035))[..., None]


def add_eye(image: np.ndarray, person: Person, view: Framing, side: int) -> np.ndarray:
    """One eye: ball, iris, pupil, catchlight, lids and lashes."""
    u = (view.u - side * EYE_U - 0.3 * view.turn) / person.eye
    span = np.clip(1 - np.abs(u) ** 2.2, 0, 1)
    tilt = -0.012 * side * u
    height = 0.4 * person.eye * (1 - 0.2 * max(view.smile, 0))
    top, low = tilt - height * span**0.75, tilt + 0.72 * height * span**0.9
    opening = mask_inside(np.minimum(view.v - top, low - view.v), view, 1.0) * (np.abs(u) < 1)
    distance = np.hypot(u + 0.25 * view.turn, (view.v + 0.004) / person.eye)
    ball = rgb(0.90, 0.87, 0.85) * (0.86 - 0.25 * np.abs(u)[..., None] ** 2)
    iris = mask_inside((0.43 - distance) * person.eye, view, 1.2)
    ball = lay_over(ball, iris, person.iris * (0.75 + 1.1 * np.clip(distance, 0, 0.43)[..., None]))
    ball = lay_over(ball, mask_inside((0.19 - distance) * person.eye, view), (0.03, 0.03, 0.03))
    ball *= (1 - 0.5 * np.exp(-np.clip(view.v - top, 0, None) / 0.022))[..., None]  # shadow of the lid
    glint = bump(view, side * EYE_U + 0.3 * view.turn - 0.022, -0.022, 0.014, 0.014)
    ball = lay_over(ball, np.clip(1.6 * glint, 0, 1), (1.0, 1.0, 1.0))
    image = lay_over(image, opening, ball)
    within = (np.abs(u) < 1.06).astype(np.float32)
    lash = np.exp(-(((view.v - top) * view.scale / (1.5 if person.long_hair else 1.1)) ** 2)) * within
    fold = (
        np.exp(-(((view.v - top + 0.035) * view.scale / 1.2) ** 2))
        * within
        * smooth_step(np.abs(u), 1.05, 0.7)
    )
    lower = np.exp(-(((view.v - low) * view.scale / 1.0) ** 2)) * within
    image = image * (1 - 0.35 * fold - 0.25 * lower)[..., None]
    return lay_over(image, 0.85 * lash, person.hair * 0.4)


def add_ear(image: np.ndarray, person: Person, view: Framing, side: int) -> np.ndarray:
    u, v = (view.u - side * (person.width + 0.03)) / 0.1, (view.v - 0.06) / 0.2
    radius = np.hypot(u, v)
    bowl = 0.8 - 0.35 * np.exp(-(((radius - 0.45) / 0.25) ** 2))
    colour = person.skin * rgb(0.95, 0.85, 0.82) * bowl[..., None]
    return lay_over(image, mask_inside((1 - radius) * 0.1, view), colour)


def mask_hair(person: Person, view: Framing, *, front: bool) -> np.ndarray:
    """Hair over the forehead and temples, or the mass of it behind head and neck."""
    u, v = view.u, view.v
    cap = person.width + person.volume
    outline = 1 - np.hypot(u / cap, (v + 0.12) / (1.0 + 0.8 * person.volume))
    rough = 0.02 * noise(np.random.default_rng(person.seed + 1), SHAPE, 9)
    if not front:
        if not person.long_hair:
            return mask_inside(np.minimum(outline + rough, 0.15 - v), view, 2.5)
        fall = cap + 0.05 - np.abs(u) + 0.06 * np.sin(3 * v)
        locks = np.minimum(np.minimum(fall, v + 0.2), 1.45 - v)
        return mask_inside(np.maximum(outline, locks) + rough, view, 2.5)
    sweep = person.hairline + 0.5 * (np.abs(u - 0.5 * person.parting) / person.width) ** 3.2
    sweep = sweep + 0.1 * (1 if person.parting > 0 else -1) * u
    edge = np.minimum(outline, (sweep - v) * 0.7)
    if person.long_hair:  # strands frame the cheeks
        frame = np.abs(u) - person.width * (0.98 - 0.12 * smooth_step(v, 0.4, -0.4))
        edge = np.maximum(
            edge, np.minimum(np.minimum(frame, cap + 0.03 - np.abs(u)), np.minimum(1.3 - v, v + 0.5))
        )
    else:
        edge = np.minimum(edge, 0.1 - v)
    return mask_inside(edge + rough, view, 3.0)


def draw_hair(own: np.random.Generator, person: Person, view: Framing) -> np.ndarray:
    """Colour of hair everywhere: strands that run from the parting, with a band of gloss."""
    du, dv = view.u - person.parting, view.v + 1.05
    angle = np.arctan2(du, np.abs(dv) + 0.25)
    length = np.hypot(du, dv)
    white = own.standard_normal((40, 360), dtype=np.float32)
    strip = ndimage.gaussian_filter(white, (8, 1.6)) * 14 + ndimage.gaussian_filter(white, (8, 5)) * 18
    at = np.stack([np.clip(length * 14, 0, 39), (angle / np.pi + 0.5) * 359])
    strands = ndimage.map_coordinates(strip, at, order=1, mode="nearest", output=np.float32)
    shine = np.exp(-(((length - 0.5) / 0.2) ** 2)) * (0.7 + 0.2 * strands)
    tone = 0.95 + 0.075 * strands + 0.1 * noise(own, SHAPE, 14) - 0.12 * np.clip(view.v, 0, 1)
    return person.hair * tone[..., None] + 0.07 * np.clip(shine, 0, 1.5)[..., None]
