"""A head: whose it is, how it is framed, and soft shapes placed on it.

Positions are in head units: u to the right and v down from the middle of the face, the chin at v = 1. Colours
are float32 RGB in [0, 1], masks `(224, 224)` in [0, 1].
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.drawing._shapes import Box, Shape, grid

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
class Framing:
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

    def part(self, u: float, v: float, reach: float) -> tuple[Box, "Framing"]:
        """The square about a point that holds what lies within `reach`, and its framing."""
        x, y = self.pixel(u, v)
        half = 1.5 * reach * self.scale  # however the head is turned
        rows, columns = (slice(max(0, int(at - half)), max(1, int(at + half) + 1)) for at in (y, x))
        return (rows, columns), replace(self, u=self.u[rows, columns], v=self.v[rows, columns])


def draw_person(rng: np.random.Generator) -> Person:
    """One person's constants."""
    skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.94, 1.05) + rng.normal(0, 0.012, 3)
    dark = skin.mean() < 0.45
    hair = np.array(_HAIRS[rng.integers(2 if dark else len(_HAIRS))]) * rng.uniform(0.85, 1.15)
    long_hair = bool(rng.random() < 0.5)
    return Person(
        skin=rgb(skin),
        hair=rgb(hair),
        iris=rgb(_IRISES[rng.integers(2 if dark else len(_IRISES))]),
        lips=rgb(skin * rgb(0.88, 0.60, 0.60) + np.array([0.06 * long_hair, 0, 0])),
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


def rgb(*values: Any) -> np.ndarray:
    """A colour or weights per channel as float32 (3,), so that pictures stay in float32."""
    return np.asarray(values if len(values) == 3 else values[0], dtype=np.float32)


def draw_framing(rng: np.random.Generator) -> Framing:
    """How one person stands before the camera this time."""
    scale = rng.uniform(80, 90)
    centre = (112 + rng.uniform(-12, 12), 112 + rng.uniform(-8, 8))
    roll = rng.normal(0, 0.05)
    x, y = grid(SHAPE)
    dx, dy = (x - centre[0]) / scale, (y - centre[1]) / scale
    cos, sin = float(np.cos(roll)), float(np.sin(roll))
    smiling = rng.random() < 0.45
    return Framing(
        u=dx * cos + dy * sin,
        v=dy * cos - dx * sin,
        centre=centre,
        scale=scale,
        roll=roll,
        turn=rng.normal(0, 0.05),
        smile=rng.uniform(0.25, 0.6) if smiling else rng.uniform(-0.05, 0.15),
        open=rng.uniform(0.025, 0.05) if smiling else 0.0,
    )


def bump(view: Framing, u: float, v: float, su: float, sv: float) -> np.ndarray:
    """A Gaussian hill of height 1 at (u, v)."""
    return np.exp(-(((view.u - u) / su) ** 2) - ((view.v - v) / sv) ** 2)


def bumps(view: Framing, u: float, v: float, su: float, sv: float) -> np.ndarray:
    return bump(view, -u, v, su, sv) + bump(view, u, v, su, sv)


def smooth_step(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; reversed if `low` is the larger."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mask_inside(distance: np.ndarray, view: Framing, soft: float = 1.2) -> np.ndarray:
    """A mask from a signed distance in head units, positive inside; edge of `soft` px."""
    return np.clip(distance * view.scale / soft + 0.5, 0, 1).astype(np.float32)


def lay_over(image: np.ndarray, mask: np.ndarray, colour: Any) -> np.ndarray:
    return image + mask[..., None] * (np.asarray(colour, dtype=np.float32) - image)
