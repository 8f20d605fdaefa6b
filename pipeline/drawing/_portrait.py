"""A colour portrait without a camera: a relief of the head, lit and shaded, before a background.

Pictures are float32 RGB in [0, 1], `(224, 224, 3)`; positions are in the units of `_head`.
"""

import numpy as np
from scipy import ndimage

from pipeline.drawing._face_parts import (
    add_brows,
    add_ear,
    add_eye,
    add_mouth,
    add_nostrils,
    colour_skin,
    draw_hair,
    mask_hair,
)
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
from pipeline.drawing._shapes import grid, noise


def paint(rng: np.random.Generator, person: Person, view: Framing, *, outdoors: bool) -> np.ndarray:
    """The whole picture, from back to front."""
    own = np.random.default_rng(person.seed)
    relief, face = _shape_relief(person, view)
    light = _set_light(rng, outdoors)
    image = _draw_background(rng, outdoors)
    hair = draw_hair(own, person, view)
    image = lay_over(image, mask_hair(person, view, front=False), 0.7 * hair)
    image = _add_body(rng, image, person, view)
    for side in (-1, 1):
        box, near = view.part(side * (person.width + 0.03), 0.06, 0.22)
        image[box] = add_ear(image[box], person, near, side)
    skin = colour_skin(own, person, view)
    box, near = view.part(view.turn, MOUTH_V, 0.26)
    skin[box] = add_mouth(skin[box], person, near)
    skin = add_brows(own, skin, person, view)
    shaded = _shade_skin(skin, relief, light, view)
    shaded = add_nostrils(shaded, person, view)
    for side in (-1, 1):
        box, near = view.part(side * EYE_U + 0.3 * view.turn, 0, 0.18)
        shaded[box] = add_eye(shaded[box], person, near, side)
    image = lay_over(image, face, shaded)
    front = mask_hair(person, view, front=True)
    image *= 1 - 0.35 * (ndimage.gaussian_filter(front, 3) * face * (1 - front))[..., None]  # its shadow
    image = lay_over(image, front, hair)
    return np.clip(image, 0, 1).astype(np.float32)


def _shape_relief(person: Person, view: Framing) -> tuple[np.ndarray, np.ndarray]:
    """Height of the face over the picture plane in head units, and the face's mask."""
    u, v, t = view.u, view.v, view.turn
    half = person.width * (1 - person.jaw * smooth_step(v, 0.15, 1.0))
    radius = ((np.abs(u) / half) ** 2.4 + np.abs(v) ** 2.4) ** (1 / 2.4)
    height = 0.8 * np.clip(1 - radius**2, 0, 1) ** 0.55
    bridge = smooth_step(v, -0.25, 0.33) * smooth_step(v, 0.46, 0.36)
    height += 0.13 * np.exp(-(((u - t * (v + 0.6)) / 0.085) ** 2)) * bridge
    height += 0.08 * bump(view, t, 0.34, person.nose, 0.085)
    height += 0.05 * (bump(view, t - 1.15 * person.nose, 0.38, 0.05, 0.05))
    height += 0.05 * (bump(view, t + 1.15 * person.nose, 0.38, 0.05, 0.05))
    height += -0.09 * bumps(view, EYE_U, -0.03, 0.17, 0.11) + 0.045 * bumps(view, EYE_U, 0.01, 0.12, 0.07)
    height += 0.035 * bumps(view, 0.3, -0.24, 0.22, 0.06) + 0.05 * bumps(view, 0.44, 0.25, 0.2, 0.17)
    lift = 0.05 + 0.04 * view.smile
    height += lift * bumps(view, 0.42, 0.36, 0.14, 0.12)
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
            * smooth_step(v, 0.34, 0.44)
            * smooth_step(v, 0.68, 0.55)
        )
    return height, mask_inside((1 - radius) * half, view)


def _set_light(rng: np.random.Generator, outdoors: bool) -> dict[str, np.ndarray]:
    side, up = rng.uniform(-0.75, 0.75), rng.uniform(0.25, 0.65)
    direction = np.array([side, -up, 0.9])
    warm = rng.normal(0, 0.03)
    strength = rng.uniform(0.66, 0.8)
    return {
        "direction": rgb(direction / np.linalg.norm(direction)),
        "key": strength * rgb(1 + warm, 1.0, 1 - warm),
        "fill": rgb(0.36, 0.38, 0.42) if outdoors else rgb(np.full(3, rng.uniform(0.3, 0.38))),
    }


def _shade_skin(
    skin: np.ndarray, relief: np.ndarray, light: dict[str, np.ndarray], view: Framing
) -> np.ndarray:
    """Diffuse light that wraps a little around the form, a soft gloss, and darker creases."""
    smooth = ndimage.gaussian_filter(relief, 0.9)
    dy, dx = np.gradient(smooth * view.scale)
    length = np.sqrt(dx**2 + dy**2 + 1)
    normal = np.stack([-dx / length, -dy / length, 1 / length], axis=-1)
    facing = normal @ light["direction"]
    diffuse = np.clip((facing + 0.25) / 1.25, 0, 1)
    crease = np.clip(1 + 3.0 * (smooth - ndimage.gaussian_filter(smooth, 6)), 0.6, 1.15)
    lit = (light["fill"] + diffuse[..., None] * light["key"]) * crease[..., None]
    lit = lit ** rgb(0.95, 1.02, 1.04)  # light that went through skin is redder
    half = light["direction"] + rgb(0, 0, 1.0)
    gloss = np.clip(normal @ rgb(half / np.linalg.norm(half)), 0, 1) ** 24
    return skin * lit + 0.1 * gloss[..., None]


def _add_body(rng: np.random.Generator, image: np.ndarray, person: Person, view: Framing) -> np.ndarray:
    """Neck, shadow of the chin, and clothes that may be striped or knitted."""
    u, v = view.u, view.v
    neck = 0.42 + 0.25 * smooth_step(v, 1.05, 1.6) + 0.02
    shade = 0.78 - 0.35 * np.exp(-(((v - 0.95) / 0.28) ** 2)) - 0.3 * np.clip(np.abs(u) / 0.5, 0, 1) ** 3
    image = lay_over(
        image,
        mask_inside(neck - np.abs(u), view, 2) * smooth_step(v, 0.4, 0.6),
        person.skin * shade[..., None],
    )
    shoulder = 1.28 + 0.35 * np.clip(np.abs(u) - 0.25, 0, None) ** 1.3
    collar = 0.26 * np.clip(1 - (np.abs(u) / rng.uniform(0.4, 0.5)) ** 2, 0, 1)
    colour = rgb(rng.uniform(0.08, 0.75, 3))
    period = rng.uniform(5, 12)
    style = int(rng.integers(3))
    wave = (0.0 * u, np.cos(2 * np.pi * v * view.scale / period), noise(rng, SHAPE, 3.5))[style]
    folds = 0.85 + 0.1 * noise(rng, SHAPE, 40) - 0.12 * np.clip(np.abs(u) - 0.6, 0, 1)
    cloth = colour * (folds * (1 + 0.18 * wave))[..., None]
    return lay_over(image, mask_inside(v - shoulder - collar, view, 1.5), cloth)


def _draw_background(rng: np.random.Generator, outdoors: bool) -> np.ndarray:
    """A studio's lit cloth, or a street far out of focus."""
    x, y = grid(SHAPE)
    if not outdoors:
        colour = rgb(rng.uniform(0.3, 0.8) * (1 + rng.normal(0, 0.08, 3)))
        spot = 1.12 - 0.35 * (((x - 112 - rng.uniform(-40, 40)) / 160) ** 2 + ((y - 90) / 170) ** 2)
        return (colour * (spot + 0.015 * noise(rng, SHAPE, 30))[..., None]).astype(np.float32)
    image = np.empty((*SHAPE, 3), dtype=np.float32)
    image[:] = rgb(0.72, 0.76, 0.8) - 0.2 * (y / 224)[..., None]
    for _ in range(int(rng.integers(5, 9))):
        left, width, top = rng.uniform(-30, 200), rng.uniform(25, 80), rng.uniform(-20, 120)
        wall = (
            np.clip((x - left) / 9, 0, 1)
            * np.clip((left + width - x) / 9, 0, 1)
            * np.clip((y - top) / 9, 0, 1)
        )
        image = lay_over(image, 0.8 * wall, rng.uniform(0.2, 0.65) * (1 + rng.normal(0, 0.12, 3)))
    green = np.clip(noise(rng, SHAPE, 55) - rng.uniform(0.0, 1.0), 0, 1)
    return lay_over(image, 0.7 * green, rng.uniform(0.7, 1.2) * rgb(0.25, 0.36, 0.18))
