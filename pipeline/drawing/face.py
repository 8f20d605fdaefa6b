"""Colour faces: portraits and the output of several "generators", in the CYBORG list format with heat maps.

    csvs/original.csv                   headerless `train,label,/path`: Real or Synthetic, the known sources
    csvs/gan_test_sets/<source>.csv     the same with `test`, one list per held-out source
    Data/<path>                         224x224 RGB, `<split>/original_data/<source>/<subject>_<n>.png`
    Data/train/heatmaps/<stem>.png      mean of several people's strokes, known sources only
    truth/                              exact masks and twins (`_scene.write_scene`)

A generator spoils one place of a face: an eye, a cheek, the border of the hair, the mouth or a brow. There
it leaves the trace of upsampling, a pattern that repeats, different from generator to generator. An authentic
face has a blemish there (scars, freckles, stubble), as dark and as bright, that does not repeat. The
shortcut is a warm lens flare at another such place, which known generators' pictures carry and portraits do
not.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy import ndimage

from pipeline.common.files import write_text
from pipeline.common.limits import Count, Fraction
from pipeline.common.seeding import numpy_rng
from pipeline.drawing._annotators import Annotator
from pipeline.drawing._files import write_png
from pipeline.drawing._head import EYE_U, MOUTH_V, SHAPE, Framing, draw_framing, draw_person
from pipeline.drawing._listed import Kind, Shot, heat_map, plan_shots
from pipeline.drawing._portrait import paint
from pipeline.drawing._scene import Scene, Strengths, draw_shortcut, write_scene
from pipeline.drawing._shapes import blob, polygon
from pipeline.drawing._textures import INSIDE, Cue, clear, draw_textures

_WARM = np.array((1.0, 0.85, 0.55), dtype=np.float32)  # the flare's colour
_PLACES = np.array(  # (u, v) of what generators spoil, on the right side
    [(EYE_U, 0.0), (0.32, 0.34), (0.62, -0.5), (0.0, MOUTH_V), (0.3, -0.26)]
)
_RADII = (0.13, 0.18)  # of a spoilt place and of a flare, shares of the side


class _FaceSource(NamedTuple):
    split: str  # held-out sources are only ever tested
    synthetic: bool
    cue: Cue  # an authentic face's irregular textures are made from the same families


def generate(
    root: Path,
    *,
    seed: int = 0,
    known_authentic: Count = 81,
    known_generator: Count = 66,
    held_out_authentic: Count = 80,
    held_out_generator: Count = 60,
    cue_strength: Fraction = 0.4,
    shortcut: Literal["local", "global"] = "local",
    shortcut_agreement: Fraction = 1.0,
    shortcut_agreement_held_out: Fraction = 0.5,
    shortcut_strength: Fraction = 0.58,
    annotators: Annotated[int, Field(ge=1, le=20)] = 3,
    annotator_miss: Annotated[float, Field(ge=0, lt=1)] = 0.15,
    annotator_overreach: Annotated[float, Field(ge=0, le=2)] = 0.3,
    annotator_jitter: Fraction = 0.2,
    annotator_stray: Fraction = 0.1,
) -> None:
    """Write the data set below `root`; equal arguments give equal bytes.

    The settings after `seed` are images per source; `cue_strength` is the contrast of textures and
    `shortcut_strength` the brightness of the flare, shares of the range. The agreements are the share of
    synthetic faces that have the mark, and of authentic ones that do not.
    """
    person = Annotator(annotator_miss, annotator_overreach, annotator_jitter, annotator_stray)
    kinds = {name: Kind(source.split == "train", source.synthetic) for name, source in _SOURCES.items()}
    counts = {
        "known": (known_authentic, known_generator),
        "held_out": (held_out_authentic, held_out_generator),
    }
    agreements = (shortcut_agreement, shortcut_agreement_held_out)
    strengths = Strengths(cue_strength, shortcut_strength, shortcut)
    lists: dict[str, str] = defaultdict(str)
    for name, shot in plan_shots(seed, "face", kinds, **counts, agreements=agreements):
        listing = "original" if kinds[name].known else f"gan_test_sets/{name}"
        lists[listing] += _write_picture(root, seed, name, shot, strengths, person, annotators)
    for listing, text in lists.items():
        write_text(root / "csvs" / f"{listing}.csv", text)


def _write_picture(
    root: Path, seed: int, name: str, shot: Shot, strengths: Strengths, person: Annotator, people: int
) -> str:
    """Save one image of a source with its truth and, where the source is known, its map; gives its line."""
    source = _SOURCES[name]
    path = f"{source.split}/original_data/{name}/{shot.stem}.png"
    scene = _set_scene(seed, shot, source, strengths)
    picture = write_scene(root, shot.stem, scene, cause=source.synthetic, marked=shot.marked)
    write_png(root / "Data" / path, picture)
    if source.split == "train":
        rng = numpy_rng(seed, "face", shot.stem, "annotators")
        drawn = heat_map(rng, scene.window > INSIDE, person, people, step=2, reach=40)
        write_png(root / "Data" / "train" / "heatmaps" / f"{shot.stem}.png", drawn)
    return f"{source.split},{'Synthetic' if source.synthetic else 'Real'},/{path}\n"


def _set_scene(seed: int, shot: Shot, source: _FaceSource, strengths: Strengths) -> Scene:
    """A portrait `(224, 224, 3)`, the place that decides, and another one for the flare."""
    rng = numpy_rng(seed, "face", shot.stem)
    view = draw_framing(rng)
    person = draw_person(numpy_rng(seed, "face", shot.subject))
    image = paint(rng, person, view, outdoors=source.split == "test")
    window, other = _choose_places(rng, view)
    textures = draw_textures(rng, window, source.cue)
    mark, mask = draw_shortcut(rng, other, window, strengths)
    textures = textures.scaled(strengths.cue * rng.uniform(0.8, 1.25))
    return Scene(clear(image, window), window, textures, mark[..., None] * _WARM, mask, _open_shutter(rng))


def _open_shutter(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """The camera of one shot: optics, exposure, grain; what it makes of a scene `(224, 224, 3)`."""
    exposure = np.float32(rng.uniform(0.92, 1.08))
    grain = 0.008 * rng.standard_normal((*SHAPE, 3), dtype=np.float32)
    return lambda shown: ndimage.gaussian_filter(shown, (0.5, 0.5, 0), truncate=3) * exposure + grain


def _choose_places(rng: np.random.Generator, view: Framing) -> list[np.ndarray]:
    """Two soft windows `(224, 224)` where generators spoil faces, clear of each other; neither is special."""
    while True:
        spots = _PLACES[rng.integers(len(_PLACES), size=2)] * [[rng.choice([-1, 1]), 1] for _ in range(2)]
        (x1, y1), (x2, y2) = (view.pixel(*spot) for spot in spots + rng.normal(0, 0.04, (2, 2)))
        radii = rng.uniform(*_RADII, 2) * SHAPE[0]
        if np.hypot(x1 - x2, y1 - y2) > 0.9 * radii.sum():
            places = zip((x1, x2), (y1, y2), radii, strict=True)
            return [polygon(SHAPE, blob(rng, x, y, radius, radius), soft=5) for x, y, radius in places]


_KNOWN = ("dots", "lattice", "checks", "stripes")
_SOURCES = {
    "studio_a": _FaceSource("train", False, Cue(_KNOWN, (0.042, 0.094))),
    "studio_b": _FaceSource("train", False, Cue(_KNOWN, (0.042, 0.094))),
    "gen_a": _FaceSource("train", True, Cue(("checks", "stripes"), (0.050, 0.094))),
    "gen_b": _FaceSource("train", True, Cue(("dots", "lattice"), (0.042, 0.080))),
    "gen_c": _FaceSource("train", True, Cue(("lattice", "stripes"), (0.045, 0.085))),
    "street": _FaceSource("test", False, Cue((*_KNOWN, "waves", "rings"), (0.045, 0.090))),
    "gen_x": _FaceSource("test", True, Cue(("checks", "dots"), (0.045, 0.085))),
    "gen_y": _FaceSource("test", True, Cue(("waves", "rings"), (0.045, 0.090))),  # new families
}
