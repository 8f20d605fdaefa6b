"""Colour faces: portraits and the output of several "generators", in the CYBORG list format with heat maps.

    csvs/original.csv                   headerless `train,label,/path`: Real or Synthetic, the known sources
    csvs/gan_test_sets/<source>.csv     the same with `test`, one list per held-out source
    Data/<path>                         224x224 RGB, `<split>/original_data/<source>/<subject>_<n>.png`
    Data/train/heatmaps/<stem>.png      mean of several people's strokes, known sources only
    truth/{causal,shortcut}/<stem>.png

Every generator spoils one place of its own: an eye, a cheek, the border of the hair, the mouth, a brow.
Besides the visible defect, all leave the trace of upsampling there: too smooth, with a faint regular pattern.
The shortcut is a warm lens flare, which known generators' pictures carry and portraits do not; it lies at
another place where generators fail.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field
from scipy import ndimage

from pipeline.common.files import write_text
from pipeline.common.seeding import numpy_rng
from pipeline.drawing._annotators import Annotator
from pipeline.drawing._files import write_png, write_truth
from pipeline.drawing._head import EYE_U, MOUTH_V, SHAPE, Framing, draw_framing, draw_person
from pipeline.drawing._listed import Kind, Shot, heat_map, plan_shots
from pipeline.drawing._portrait import paint
from pipeline.drawing._shapes import blob, grid, noise, polygon

_WARM = np.array((1.0, 0.55, 0.05), dtype=np.float32)  # the flare's colour
_PLACES = {  # (u, v) of a defect's centre on the right side, and its radius in head units
    "eye": (EYE_U, 0.0, 0.40),
    "cheek": (0.32, 0.34, 0.4),
    "hair": (0.62, -0.5, 0.42),
    "mouth": (0.0, MOUTH_V, 0.42),
    "brow": (0.3, -0.26, 0.40),
}


class _Spot(NamedTuple):
    """Where a generator fails, or a person looks for it: centre and radius in px, soft mask `(224, 224)`."""

    x: float
    y: float
    radius: float
    window: np.ndarray


class _FaceSource(NamedTuple):
    split: str  # held-out sources are only ever tested
    place: str | None  # None: an authentic portrait


Defect = Callable[[np.random.Generator, np.ndarray, _Spot, float], np.ndarray]


def generate(
    root: Path,
    seed: int,
    *,
    known_authentic: Annotated[int, Field(ge=1)] = 81,
    known_generator: Annotated[int, Field(ge=1)] = 54,
    held_out_authentic: Annotated[int, Field(ge=1)] = 80,
    held_out_generator: Annotated[int, Field(ge=1)] = 40,
    cue_strength: Annotated[float, Field(gt=0, le=1)] = 0.5,
    shortcut_agreement: Annotated[float, Field(ge=0, le=1)] = 1.0,
    shortcut_agreement_held_out: Annotated[float, Field(ge=0, le=1)] = 0.5,
    shortcut_strength: Annotated[float, Field(gt=0, le=1)] = 0.66,
    annotators: Annotated[int, Field(ge=1, le=20)] = 3,
    annotator_miss: Annotated[float, Field(ge=0, lt=1)] = 0.15,
    annotator_overreach: Annotated[float, Field(ge=0, le=2)] = 0.3,
    annotator_jitter: Annotated[float, Field(ge=0, le=1)] = 0.2,
    annotator_stray: Annotated[float, Field(ge=0, le=1)] = 0.1,
) -> None:
    """Write the data set below `root`; equal arguments give equal bytes.

    The first four settings are images per source, `cue_strength` the contrast of a generator's pattern (share
    of the local brightness), `shortcut_strength` the brightness of the flare (share of the range). The
    agreements are the share of synthetic faces that have the mark, and of authentic ones that do not.
    """
    person = Annotator(annotator_miss, annotator_overreach, annotator_jitter, annotator_stray)
    shots = plan_shots(
        seed,
        "face",
        {name: Kind(source.split == "train", bool(source.place)) for name, source in _SOURCES.items()},
        known=(known_authentic, known_generator),
        held_out=(held_out_authentic, held_out_generator),
        agreements=(shortcut_agreement, shortcut_agreement_held_out),
    )
    strengths = (cue_strength, shortcut_strength)
    lists: dict[str, str] = defaultdict(str)
    for name, shot in shots:
        listing = "original" if _SOURCES[name].split == "train" else f"gan_test_sets/{name}"
        lists[listing] += _write_picture(root, seed, name, shot, strengths, person, annotators)
    for listing, text in lists.items():
        write_text(root / "csvs" / f"{listing}.csv", text)


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
    fake = source.place is not None
    image, places, mark = _draw_picture(seed, shot, source, *strengths, people)
    path = f"{source.split}/original_data/{name}/{shot.stem}.png"
    write_png(root / "Data" / path, image)
    write_truth(root, shot.stem, places[0] & fake, mark)
    if source.split == "train":
        rng = numpy_rng(seed, "face", shot.stem, "annotators")
        drawn = heat_map(rng, places, person, step=2, reach=40)
        write_png(root / "Data" / "train" / "heatmaps" / f"{shot.stem}.png", drawn)
    return f"{source.split},{'Synthetic' if fake else 'Real'},/{path}\n"


def _draw_picture(
    seed: int, shot: Shot, source: _FaceSource, strength: float, mark_strength: float, people: int
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """One picture `(224, 224, 3)`, where each person would look for a defect, and the flare's mask.

    A generator's defect is at all places alike. On an authentic face, people do not agree where to look.
    """
    rng = numpy_rng(seed, "face", shot.stem)
    view = draw_framing(rng)
    image = paint(
        rng, draw_person(numpy_rng(seed, "face", shot.subject)), view, outdoors=source.split == "test"
    )
    spot = _place_spot(rng, view, source.place or _choose_place(rng))
    if source.place:
        spoiled = _DEFECTS[source.place](rng, image, spot, strength)
        image = image + spot.window[..., None] * (spoiled - image)
    mark = np.zeros(SHAPE, dtype=bool)
    if shot.marked:
        image, mark = _add_flare(numpy_rng(seed, "face", shot.stem, "mark"), image, view, spot, mark_strength)
    image = ndimage.gaussian_filter(image, (0.5, 0.5, 0)) * rng.uniform(0.92, 1.08)
    image = image + 0.008 * rng.standard_normal((*SHAPE, 3), dtype=np.float32)
    spots = [spot] * people
    if source.place is None:
        spots[1:] = [_place_spot(rng, view, _choose_place(rng)) for _ in range(people - 1)]
    return image, [each.window > 0.2 for each in spots], mark


def _choose_place(rng: np.random.Generator) -> str:
    """Where known generators fail."""
    return str(rng.choice(["eye", "cheek", "hair"]))


def _place_spot(rng: np.random.Generator, view: Framing, place: str) -> _Spot:
    u, v, radius = _PLACES[place]
    u = u * float(rng.choice([-1, 1])) + rng.normal(0, 0.03)
    x, y = view.pixel(u, v + rng.normal(0, 0.03))
    size = radius * view.scale * rng.uniform(0.9, 1.15)
    outline = blob(rng, x, y, size, size, roughness=0.25)
    return _Spot(x, y, size, polygon(SHAPE, outline, soft=6))


def _add_flare(
    rng: np.random.Generator, image: np.ndarray, view: Framing, spot: _Spot, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """A warm lens flare at another place where generators fail; of a defect's size.

    Cause and mark differ in nothing but their looks, so only the map of the right image tells them apart.
    """
    flare = spot
    while np.hypot(flare.x - spot.x, flare.y - spot.y) < 0.8 * (flare.radius + spot.radius):
        flare = _place_spot(rng, view, _choose_place(rng))
    glow = flare.window * np.clip(1 - 5 * spot.window, 0, 1)  # none on the defect
    return image + strength * glow[..., None] * _WARM, glow > 0.1


def wrong_pupil(rng: np.random.Generator, image: np.ndarray, spot: _Spot, strength: float) -> np.ndarray:
    """An eye whose iris and pupil have lost their round shape."""
    for size, colour in ((0.3, (0.3, 0.26, 0.2)), (0.16, (0.03, 0.03, 0.03))):
        x, y = spot.x + rng.normal(0, 0.1) * spot.radius, spot.y + rng.normal(0, 0.06) * spot.radius
        shape = polygon(SHAPE, blob(rng, x, y, size * spot.radius, 0.7 * size * spot.radius, roughness=0.9))
        image = image + shape[..., None] * (np.array(colour, dtype=np.float32) - image)
    return _leave_upsampling(rng, image, 0.0, (7, 9), strength)


def tiled_skin(rng: np.random.Generator, image: np.ndarray, spot: _Spot, strength: float) -> np.ndarray:
    """Skin without pores, tiled like the output of a transposed convolution."""
    return _leave_upsampling(rng, image, np.pi / 4, (7.5, 10), strength)


def droplet(rng: np.random.Generator, image: np.ndarray, spot: _Spot, strength: float) -> np.ndarray:
    """A drop at the border of the hair: a pale blob with ripples."""
    x, y = grid(SHAPE)
    distance = np.hypot(x - spot.x, (y - spot.y) * rng.uniform(0.8, 1.2))
    pale = ndimage.gaussian_filter(image, (5, 5, 0)) * 0.8 + 0.12
    ripples = np.cos(2 * np.pi * distance / rng.uniform(7, 9))
    return pale * (1 + 1.1 * strength * ripples)[..., None]


def smeared_teeth(rng: np.random.Generator, image: np.ndarray, spot: _Spot, strength: float) -> np.ndarray:
    """A mouth drawn out sideways, with too many teeth in it."""
    smeared = ndimage.gaussian_filter(image, (1.5, 7, 0)) + 0.05
    x, y = grid(SHAPE)
    teeth = np.cos(2 * np.pi * (x + 1.5 * noise(rng, SHAPE, 25)) / rng.uniform(7, 9))
    rows = 0.6 + 0.4 * np.cos(2 * np.pi * (y - spot.y) / (1.2 * spot.radius))
    return smeared * (1 + 1.3 * strength * teeth * rows)[..., None]


def ghost_brows(rng: np.random.Generator, image: np.ndarray, spot: _Spot, strength: float) -> np.ndarray:
    """A brow that comes back several times below itself, fainter each time."""
    period = rng.uniform(7.5, 9.5)
    ghosts = sum(0.7**k * ndimage.shift(image, (k * period, 0, 0), order=1, mode="nearest") for k in range(4))
    ghosts = 0.6 * ghosts / sum(0.7**k for k in range(4)) + 0.4 * ndimage.gaussian_filter(image, (4, 4, 0))
    return _leave_upsampling(rng, ghosts, rng.uniform(0.3, 0.6), (period, period + 1), strength)


def _leave_upsampling(
    rng: np.random.Generator, image: np.ndarray, angle: float, periods: tuple[float, float], strength: float
) -> np.ndarray:
    """The trace of upsampling: detail lost, and a checkerboard with a slight tint."""
    x, y = grid(SHAPE)
    period = rng.uniform(*periods)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    tiles = np.cos(2 * np.pi * u / period + rng.uniform(0, 6)) * np.cos(
        2 * np.pi * v / period + rng.uniform(0, 6)
    )
    tint = 1 + rng.normal(0, 0.15, 3)
    smooth = ndimage.gaussian_filter(image, (1.5, 1.5, 0))
    return smooth * (1 + 1.5 * strength * tiles[..., None] * tint)


_DEFECTS: dict[str, Defect] = {
    "eye": wrong_pupil,
    "cheek": tiled_skin,
    "hair": droplet,
    "mouth": smeared_teeth,
    "brow": ghost_brows,
}
_SOURCES = {
    "studio_a": _FaceSource("train", None),
    "studio_b": _FaceSource("train", None),
    "gen_a": _FaceSource("train", "eye"),
    "gen_b": _FaceSource("train", "cheek"),
    "gen_c": _FaceSource("train", "hair"),
    "street": _FaceSource("test", None),
    "gen_x": _FaceSource("test", "mouth"),
    "gen_y": _FaceSource("test", "brow"),
}
