"""Pictures of attacks: maps before and after, images that were changed, and what an attack aimed at."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.common import catalogue
from pipeline.present.gallery import Sheet, named
from pipeline.present.pictures import blank, grey_or_colour, resize, signed, unsigned

EXPLANATIONS = "explain/explanations"
BRIGHT = 99  # percentile of a pixel map above which all is equally bright: its few extremes hide the rest
SCORE = "logit_difference"
PUSHED = {SCORE, *(f"{key}towards_{label}" for key in ("", f"{SCORE}_") for label in (0, 1))}
STRIP = 13  # px of a caption at the foot of a tile
WRAP = 13  # characters of a column's name that fit above a tile

Pictures = Mapping[str, np.ndarray]


def sheet(
    pictures: Pictures, images: np.ndarray, names: Sequence[str] | None = None, side: int = 84
) -> Sheet | None:
    """The picture of one attack on one cell; None where the attack leaves nothing to show.

    `pictures` is the content of its pictures.npz, whose keys say what kind of attack it was; `images` the
    originals, uint8 (k, C, S, S), in the same order, of which there may be fewer; `names` what rows call
    them.
    """
    names = names or [f"image {place + 1}" for place in range(len(images))]
    if len(images) == 0:
        return None
    if set(pictures) >= PUSHED:
        return _adversarial(pictures, images, names, side)
    explained = _explanations(pictures)
    if not explained:
        return None
    moved = {f"{key}_{name}" for name in explained for key in ("images", "target")}
    draw = _manipulation if set(pictures) >= moved else _hoax
    return draw(pictures, images, names, side)


def stacked(sheets: Mapping[str, Sheet], gap: int = 10) -> Sheet:
    """Sheets with the same columns below each other, each under its name."""
    widest = max(part.picture.shape[1] for part in sheets.values())
    strips, rows, top = [], [], 0
    for name, part in sheets.items():
        tall, wide = part.picture.shape[:2]
        strips.append(np.full((tall + gap, widest, 3), 255, np.uint8))
        strips[-1][:tall, :wide] = part.picture
        rows += [
            (top + y, f"{name}\n{text}" if place == 0 else text) for place, (y, text) in enumerate(part.rows)
        ]
        top += tall + gap
    return Sheet(np.concatenate(strips)[:-gap], next(iter(sheets.values())).columns, rows)


def _hoax(pictures: Pictures, images: np.ndarray, names: Sequence[str], side: int) -> Sheet:
    """Rows: images, before and after. Columns: the image (below it the target, if any), explanations."""
    target = pictures.get("target")
    explanations = _explanations(pictures)
    rows, labels = [], []
    for place, image in enumerate(images):
        aim = blank(side) if target is None else unsigned(resize(_own_map(target, place), side))
        for when, first in (("before", grey_or_colour(image, side)), ("after", aim)):
            maps = [_map(e, pictures[f"{when}_{e}"][place], side, image) for e in explanations]
            rows.append([first, *maps])
        labels += [f"{names[place]}\nbefore", "after"]
    heads = ["image" if target is None else "image, target", *explanations]
    return named(rows, [(fill(head.replace("_", " "), WRAP), "") for head in heads], labels, side)


def _manipulation(pictures: Pictures, images: np.ndarray, names: Sequence[str], side: int) -> Sheet:
    """Rows: images and explanations. Columns: original, manipulated, their difference, maps, target."""
    rows, labels = [], []
    for place, image in enumerate(images):
        for turn, e in enumerate(_explanations(pictures)):
            changed = pictures[f"images_{e}"][place]
            maps = (_own_map(pictures[f"{step}_{e}"], place) for step in ("before", "after", "target"))
            tiles = [
                grey_or_colour(image, side),
                grey_or_colour(changed, side),
                _change(changed, image, side),
            ]
            rows.append([*tiles, *(_map(e, values, side, image) for values in maps)])
            labels.append(f"{names[place]}\n{e.replace('_', ' ')}" if turn == 0 else e.replace("_", " "))
    heads = ("original", "manipulated", "change", "map before", "map after", "target")
    return named(rows, [(head, "") for head in heads], labels, side)


def _adversarial(pictures: Pictures, images: np.ndarray, names: Sequence[str], side: int) -> Sheet:
    """Rows: images. Columns: original, pushed towards class 0 and 1, each with its change and logits."""
    inner, rows = side - STRIP, []
    for place, image in enumerate(images):
        tiles = [_captioned(grey_or_colour(image, inner), pictures[SCORE][place])]
        for end in ("towards_0", "towards_1"):
            changed = pictures[end][place]
            tiles.append(_captioned(grey_or_colour(changed, inner), pictures[f"{SCORE}_{end}"][place]))
            tiles.append(_captioned(_change(changed, image, inner)))
        rows.append(tiles)
    heads = ("original", "towards 0", "change", "towards 1", "change")
    return named(rows, [(head, "") for head in heads], list(names), side)


def _explanations(pictures: Pictures) -> list[str]:
    """Those with maps before and after, as maps of an unknown attack may be called anything."""
    names = [key.removeprefix("before_") for key in pictures if key.startswith("before_")]
    return [name for name in names if f"after_{name}" in pictures]


def _own_map(maps: np.ndarray, place: int) -> np.ndarray:
    """An image's own map, of maps (k, h, w) or of one (h, w) for all."""
    return maps if maps.ndim == 2 else maps[place]


def _map(explanation: str, values: np.ndarray, side: int, image: np.ndarray) -> np.ndarray:
    """A map as a tile over its own range, pixel maps up to their BRIGHT percentile; some about 0."""
    if _is_shown_about_0(explanation):
        return signed(resize(values, side))
    if values.shape == image.shape[1:]:
        values = np.minimum(values, np.percentile(values, BRIGHT))
    return unsigned(resize(values, side))


def _is_shown_about_0(explanation: str) -> bool:
    """Whether it is a signed map of both classes, whose 0 is where they are equal."""
    known = explanation in catalogue.names(EXPLANATIONS)
    return known and all(catalogue.declared(EXPLANATIONS, explanation, name) for name in ("SIGNED", "PAIR"))


def _change(changed: np.ndarray, image: np.ndarray, side: int) -> np.ndarray:
    """What was added to an image (blue: darker, red: brighter), its channels' mean over its own range."""
    difference = changed.astype(np.float32) - image.astype(np.float32)
    return signed(resize(difference.mean(axis=0), side))


def _captioned(tile: np.ndarray, logit_difference: float | None = None) -> np.ndarray:
    """A tile that is STRIP px larger, with z1 - z0, if given, below the smaller one."""
    inner = len(tile)
    canvas = Image.new("RGB", (inner + STRIP, inner + STRIP), "white")
    canvas.paste(Image.fromarray(tile), (STRIP // 2, 0))
    if logit_difference is not None:
        font, foot = ImageFont.load_default(10), ((inner + STRIP) / 2, inner + STRIP - 1)
        ImageDraw.Draw(canvas).text(foot, f"{logit_difference:+.2f}", fill="black", font=font, anchor="mb")
    return np.asarray(canvas)
