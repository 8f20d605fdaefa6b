"""Near-infrared irises: live eyes and presentation attacks, in the CVRL list format with drawn maps.

    iris.csv                        headerless `split,label,path`: train or test, Live or Spoof
    images/<source>/<stem>.png      640x480, 8-bit grey; stem is `<subject>_<n>`
    heatmaps/<stem>.png             mean of several people's strokes, known sources only
    truth/{causal,shortcut}/<stem>.png

The cause of every attack lies in a window on the iris, a different part of it in each image: printed dots,
halftone, a pixel grid, painted strokes, folds of a clouded cornea. What they share is a regular pattern where
a live iris has none. The shortcut is a lamp's glare on another part of the iris, which known attacks
have and live eyes have not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field
from scipy import ndimage

from pipeline.common.files import write_text
from pipeline.common.seeding import numpy_rng
from pipeline.drawing._annotators import Annotator
from pipeline.drawing._eye import (
    SHAPE,
    Pose,
    add_highlights,
    cover,
    draw_pose,
    draw_subject,
    paint_eyeball,
    photograph,
)
from pipeline.drawing._files import write_png, write_truth
from pipeline.drawing._listed import Kind, Shot, heat_map, plan_shots
from pipeline.drawing._shapes import band_noise, ellipse, grid, noise

Attack = Callable[[np.random.Generator, np.ndarray, Pose, float], np.ndarray]
_SENSORS = {  # optics and electronics of the known and of the unseen camera
    "train": {"blur": 0.9, "gamma": 0.95, "grain": 0.005},
    "test": {"blur": 1.4, "gamma": 0.85, "grain": 0.006},
}


class _IrisSource(NamedTuple):
    split: str  # held-out sources are only ever tested
    attack: Attack | None


def generate(
    root: Path,
    seed: int,
    *,
    known_live: Annotated[int, Field(ge=1)] = 150,
    known_attack: Annotated[int, Field(ge=1)] = 50,
    held_out_live: Annotated[int, Field(ge=1)] = 80,
    held_out_attack: Annotated[int, Field(ge=1)] = 40,
    cue_strength: Annotated[float, Field(gt=0, le=1)] = 0.2,
    shortcut_agreement: Annotated[float, Field(ge=0, le=1)] = 1.0,
    shortcut_agreement_held_out: Annotated[float, Field(ge=0, le=1)] = 0.5,
    shortcut_strength: Annotated[float, Field(gt=0, le=1)] = 0.6,
    annotators: Annotated[int, Field(ge=1, le=20)] = 3,
    annotator_miss: Annotated[float, Field(ge=0, lt=1)] = 0.15,
    annotator_overreach: Annotated[float, Field(ge=0, le=2)] = 0.3,
    annotator_jitter: Annotated[float, Field(ge=0, le=1)] = 0.2,
    annotator_stray: Annotated[float, Field(ge=0, le=1)] = 0.1,
) -> None:
    """Write the data set below `root`; equal arguments give equal bytes.

    The first four settings are images per source, `cue_strength` the contrast of an attack's pattern (share
    of the grey range), `shortcut_strength` the brightness of the glare (same). The agreements are the share
    of attacks that have the mark, and of live eyes that do not.
    """
    person = Annotator(annotator_miss, annotator_overreach, annotator_jitter, annotator_stray)
    shots = plan_shots(
        seed,
        "iris",
        {name: Kind(source.split == "train", bool(source.attack)) for name, source in _SOURCES.items()},
        known=(known_live, known_attack),
        held_out=(held_out_live, held_out_attack),
        agreements=(shortcut_agreement, shortcut_agreement_held_out),
    )
    strengths = (cue_strength, shortcut_strength)
    lines = [_write_picture(root, seed, name, shot, strengths, person, annotators) for name, shot in shots]
    write_text(root / "iris.csv", "".join(lines))


def _write_picture(
    root: Path,
    seed: int,
    name: str,
    shot: Shot,
    strengths: tuple[float, float],
    person: Annotator,
    people: int,
) -> str:
    """Save one image of a source with its truth and, where the source is known, its map; gives its line."""
    source = _SOURCES[name]
    spoof = source.attack is not None
    image, places, mark = _draw_picture(seed, shot, source, *strengths, people)
    path = f"images/{name}/{shot.stem}.png"
    write_png(root / path, image)
    write_truth(root, shot.stem, places[0] & spoof, mark)
    if source.split == "train":
        rng = numpy_rng(seed, "iris", shot.stem, "annotators")
        write_png(root / f"heatmaps/{shot.stem}.png", heat_map(rng, places, person, step=4, reach=64))
    return f"{source.split},{'Spoof' if spoof else 'Live'},{path}\n"


def _draw_picture(
    seed: int, shot: Shot, source: _IrisSource, strength: float, mark_strength: float, people: int
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """One picture, where each person would look for a cause, and the mark: all `(480, 640)`.

    The cause of an attack is at all places alike. On a live eye, people do not agree where to look.
    """
    subject = draw_subject(numpy_rng(seed, "iris", shot.subject))
    rng = numpy_rng(seed, "iris", shot.stem)
    pose = draw_pose(rng, subject, droop=0.12 if source.attack is postmortem else 0.0)
    angle = _choose_angle(rng)
    window = _open_window(rng, pose, angle)
    ball = paint_eyeball(rng, subject, pose)
    if source.attack:
        ball += window * (source.attack(rng, ball, pose, strength) - ball)
    image = cover(rng, add_highlights(rng, ball, pose), subject, pose)
    mark = np.zeros(SHAPE, dtype=bool)
    if shot.marked:
        image, mark = _add_glare(
            numpy_rng(seed, "iris", shot.stem, "mark"), image, pose, angle, window, mark_strength
        )
    picture = photograph(rng, image, **_SENSORS[source.split])
    windows = [window] * people
    if source.attack is None:
        windows[1:] = [_open_window(rng, pose, _choose_angle(rng)) for _ in range(people - 1)]
    return picture, [(place * pose.opening) > 0.2 for place in windows], mark


def _choose_angle(rng: np.random.Generator) -> float:
    """An angle on the iris that the upper lid leaves free."""
    return float(rng.uniform(-0.17, 1.17) * np.pi)


def _open_window(rng: np.random.Generator, pose: Pose, angle: float) -> np.ndarray:
    """The part of the iris about `angle` where an attack shows, or would show, in [0, 1]."""
    turn = np.abs((pose.theta - angle + np.pi) % (2 * np.pi) - np.pi)
    half = rng.uniform(0.32, 0.42) * np.pi + 0.12 * noise(rng, SHAPE, 60)
    return (np.clip((half - turn) * pose.radius * 0.7 / 12 + 0.5, 0, 1) * pose.iris).astype(np.float32)


def _add_glare(
    rng: np.random.Generator,
    image: np.ndarray,
    pose: Pose,
    angle: float,
    window: np.ndarray,
    strength: float,
) -> tuple[np.ndarray, np.ndarray]:
    """A lamp's glare on the iris, away from the `window` at `angle`; of a window's size and whereabouts.

    Cause and mark differ in nothing but their looks, so only the map of the right image tells them apart.
    """
    turn = angle
    while abs(turn - angle) < 0.62 * np.pi:
        turn = _choose_angle(rng)
    glow = _open_window(rng, pose, turn) * pose.opening * np.clip(1 - 5 * window, 0, 1)  # none on the cause
    mark = glow > 0.1
    return image + strength * glow * mark, mark


def textured_contact(rng: np.random.Generator, ball: np.ndarray, pose: Pose, strength: float) -> np.ndarray:
    """A cosmetic lens: round opaque dots on a hexagonal lattice."""
    u, v, period = _lay_lattice(rng, rng.uniform(0, np.pi), (13.5, 16.5))
    waves = sum(
        np.cos(2 * np.pi / period * (u * np.cos(a) + v * np.sin(a))) for a in np.pi / 3 * np.arange(3)
    )
    dots = np.clip(waves / 1.5, -0.6, 1)
    return ball - strength * dots


def print_attack(rng: np.random.Generator, ball: np.ndarray, pose: Pose, strength: float) -> np.ndarray:
    """A photograph on paper: fibres lost, grey of the paper, halftone dots that grow where it is dark."""
    u, v, period = _lay_lattice(rng, np.pi / 4 + rng.normal(0, 0.08), (12.5, 15.5))
    paper = 0.5 * ndimage.gaussian_filter(ball, 5) + 0.26 + 0.03 * band_noise(rng, SHAPE, 3, 12)
    screen = np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period)
    dots = np.clip((screen + 1.2 * (0.5 - paper)) * 2, -1, 1)
    return paper - 0.8 * strength * dots


def electronic_display(rng: np.random.Generator, ball: np.ndarray, pose: Pose, strength: float) -> np.ndarray:
    """A screen: dark gaps between bright pixels, with the slow bands of moire."""
    u, v, period = _lay_lattice(rng, rng.normal(0, 0.12), (12.5, 15.5))
    gaps = np.maximum(np.cos(2 * np.pi * u / period), np.cos(2 * np.pi * v / period))
    moire = 0.06 * np.cos(2 * np.pi * (0.8 * u + 0.6 * v) / rng.uniform(60, 90))
    return ball + 0.06 + moire - 1.1 * strength * (gaps - 0.35)


def glass_prosthesis(rng: np.random.Generator, ball: np.ndarray, pose: Pose, strength: float) -> np.ndarray:
    """A painted glass eye: a flat base with evenly spaced brush strokes and a broad highlight."""
    base = float(np.median(ball[pose.iris > 0.9])) + 0.05
    count = round(2 * np.pi * 0.72 * pose.radius / rng.uniform(12.5, 16))
    rows = 2 * np.pi * rng.uniform(1.6, 2.2) * pose.rho + rng.uniform(0, 7)
    strokes = np.cos(count * pose.theta + rng.uniform(0, 7) + 1.5 * (np.cos(rows) > 0))
    strokes *= 0.75 + 0.25 * np.cos(2 * rows)
    gloss = ellipse(SHAPE, pose.cx, pose.cy, 0.9 * pose.radius, 0.62 * pose.radius, soft=20)
    return base + 1.1 * strength * strokes + 0.05 * gloss


def postmortem(rng: np.random.Generator, ball: np.ndarray, pose: Pose, strength: float) -> np.ndarray:
    """A dead eye: clouded cornea, and folds that run side by side over it."""
    u, _, period = _lay_lattice(rng, rng.uniform(0, np.pi), (13, 17))
    bent = u + 0.35 * period * noise(rng, SHAPE, 70)
    folds = np.cos(2 * np.pi * bent / period) * np.clip(0.8 + 0.4 * noise(rng, SHAPE, 45), 0.2, 1.2)
    cloudy = 0.55 * ndimage.gaussian_filter(ball, 4) + 0.22 + 0.03 * noise(rng, SHAPE, 30)
    return cloudy + 1.1 * strength * folds


def _lay_lattice(
    rng: np.random.Generator, angle: float, periods: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Turned and shifted coordinates u, v, and a period, in px."""
    x, y = grid(SHAPE)
    u = x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, 50)
    v = y * np.cos(angle) - x * np.sin(angle) + rng.uniform(0, 50)
    return u, v, rng.uniform(*periods)


_SOURCES = {
    "live_a": _IrisSource("train", None),
    "textured_contact": _IrisSource("train", textured_contact),
    "print": _IrisSource("train", print_attack),
    "electronic_display": _IrisSource("train", electronic_display),
    "live_b": _IrisSource("test", None),
    "glass_prosthesis": _IrisSource("test", glass_prosthesis),
    "postmortem": _IrisSource("test", postmortem),
}
