"""Near-infrared irises: live eyes and presentation attacks, in the CVRL list format with drawn maps.

    iris.csv                        headerless `split,label,path`: train or test, Live or Spoof
    images/<source>/<stem>.png      640x480, 8-bit grey; stem is `<subject>_<n>`
    heatmaps/<stem>.png             mean of several people's strokes, known sources only
    truth/                          exact masks and twins (`_scene.write_scene`)

An attack shows in a window on the iris, a different part of it in each image: printed dots, halftone, a pixel
grid, painted strokes, folds of a clouded cornea. What they share is that they repeat. A live iris has crypts
and freckles there, which are as dark and as bright, but do not repeat. The shortcut is a lamp's glare on
another part of the iris, which known attacks have and live eyes have not.
"""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.common.files import write_text
from pipeline.common.limits import Count, Fraction
from pipeline.common.seeding import numpy_rng
from pipeline.drawing._annotators import Annotator
from pipeline.drawing._eye import (
    SHAPE,
    Pose,
    Subject,
    add_highlights,
    cover,
    draw_pose,
    draw_subject,
    open_shutter,
    paint_eyeball,
)
from pipeline.drawing._files import write_png
from pipeline.drawing._listed import Kind, Shot, heat_map, plan_shots
from pipeline.drawing._scene import Scene, Strengths, draw_shortcut, write_scene
from pipeline.drawing._shapes import bound, noise
from pipeline.drawing._textures import INSIDE, Cue, clear, draw_textures

_SENSORS = {  # optics and electronics of the known and of the unseen camera
    "train": {"blur": 0.9, "gamma": 0.95, "grain": 0.005},
    "test": {"blur": 1.4, "gamma": 0.85, "grain": 0.006},
}


class _IrisSource(NamedTuple):
    split: str  # held-out sources are only ever tested
    attack: bool
    cue: Cue  # a live eye's irregular textures are made from the same families


def generate(
    root: Path,
    *,
    seed: int = 0,
    known_live: Count = 150,
    known_attack: Count = 50,
    held_out_live: Count = 80,
    held_out_attack: Count = 60,
    cue_strength: Fraction = 0.5,
    shortcut: Literal["local", "global"] = "local",
    shortcut_agreement: Fraction = 1.0,
    shortcut_agreement_held_out: Fraction = 0.5,
    shortcut_strength: Fraction = 0.5,
    annotators: Annotated[int, Field(ge=1, le=20)] = 3,
    annotator_miss: Annotated[float, Field(ge=0, lt=1)] = 0.15,
    annotator_overreach: Annotated[float, Field(ge=0, le=2)] = 0.3,
    annotator_jitter: Fraction = 0.2,
    annotator_stray: Fraction = 0.1,
) -> None:
    """Write the data set below `root`; equal arguments give equal bytes.

    The settings after `seed` are images per source; `cue_strength` is the contrast of textures and
    `shortcut_strength` the brightness of the glare, shares of the grey range. The agreements are the share
    of attacks that have the mark, and of live eyes that do not.
    """
    person = Annotator(annotator_miss, annotator_overreach, annotator_jitter, annotator_stray)
    kinds = {name: Kind(source.split == "train", source.attack) for name, source in _SOURCES.items()}
    counts = {"known": (known_live, known_attack), "held_out": (held_out_live, held_out_attack)}
    agreements = (shortcut_agreement, shortcut_agreement_held_out)
    strengths = Strengths(cue_strength, shortcut_strength, shortcut)
    shots = plan_shots(seed, "iris", kinds, **counts, agreements=agreements)
    lines = [_write_picture(root, seed, *shot, strengths, person, annotators) for shot in shots]
    write_text(root / "iris.csv", "".join(lines))


def _write_picture(
    root: Path, seed: int, name: str, shot: Shot, strengths: Strengths, person: Annotator, people: int
) -> str:
    """Save one image of a source with its truth and, where the source is known, its map; gives its line."""
    source, path = _SOURCES[name], f"images/{name}/{shot.stem}.png"
    scene = _set_scene(seed, shot, source, strengths)
    write_png(root / path, write_scene(root, shot.stem, scene, cause=source.attack, marked=shot.marked))
    if source.split == "train":
        rng = numpy_rng(seed, "iris", shot.stem, "annotators")
        drawn = heat_map(rng, scene.window > INSIDE, person, people, step=4, reach=64)
        write_png(root / f"heatmaps/{shot.stem}.png", drawn)
    return f"{source.split},{'Spoof' if source.attack else 'Live'},{path}\n"


def _set_scene(seed: int, shot: Shot, source: _IrisSource, strengths: Strengths) -> Scene:
    """An eye, the part of the iris that decides, and another part for the glare, `(480, 640)`."""
    subject = _recall_subject(seed, shot.subject)
    rng = numpy_rng(seed, "iris", shot.stem)
    pose = draw_pose(rng, subject)
    window, other = (_open_window(rng, pose, angle) for angle in _choose_angles(rng))
    eye = cover(rng, add_highlights(rng, paint_eyeball(rng, subject, pose), pose), subject, pose)
    return Scene(
        clear(eye, window),
        window,
        draw_textures(rng, window, source.cue).scaled(strengths.cue * rng.uniform(0.8, 1.25)),
        *draw_shortcut(rng, other, window, strengths),
        open_shutter(rng, **_SENSORS[source.split]),
    )


@lru_cache(maxsize=1)
def _recall_subject(seed: int, name: str) -> Subject:
    """The eye of several images in a row, drawn once."""
    return draw_subject(numpy_rng(seed, "iris", name))


def _choose_angles(rng: np.random.Generator) -> np.ndarray:
    """Two angles on the iris that the upper lid leaves free, far apart; neither is special."""
    while True:
        angles = rng.uniform(-0.17 * np.pi, 1.17 * np.pi, 2)
        if abs(angles[0] - angles[1]) > 0.62 * np.pi:
            return angles


def _open_window(rng: np.random.Generator, pose: Pose, angle: float) -> np.ndarray:
    """The visible part of the iris about `angle`, in [0, 1]."""
    box = bound(pose.iris > 0)
    turn = np.abs(pose.theta[box] - angle)
    turn = np.minimum(turn, np.abs(2 * np.pi - turn))
    half = rng.uniform(0.26, 0.40) * np.pi + 0.12 * noise(rng, turn.shape, 60)
    window = np.zeros(SHAPE, dtype=np.float32)
    window[box] = np.clip((half - turn) * pose.radius * 0.7 / 12 + 0.5, 0, 1)
    return window * pose.iris * pose.opening


_KNOWN = ("dots", "lattice", "checks", "stripes")
_SOURCES = {
    "live_a": _IrisSource("train", False, Cue(_KNOWN, (0.042, 0.094))),
    "textured_contact": _IrisSource("train", True, Cue(("dots", "lattice"), (0.042, 0.075))),
    "print": _IrisSource("train", True, Cue(("checks", "stripes"), (0.050, 0.094))),
    "electronic_display": _IrisSource("train", True, Cue(("lattice", "stripes"), (0.042, 0.085))),
    "live_b": _IrisSource("test", False, Cue((*_KNOWN, "waves", "rings"), (0.045, 0.090))),
    "glass_prosthesis": _IrisSource("test", True, Cue(("stripes", "dots"), (0.050, 0.090))),
    "postmortem": _IrisSource("test", True, Cue(("waves", "rings"), (0.045, 0.090))),  # new families
}
