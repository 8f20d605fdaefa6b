"""What `predict` draws: one picture per image, and all of them on a page that opens from disk."""

import base64
import io
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.common.files import atomic, write_text
from pipeline.data import images
from pipeline.data.decoding import Recipe, load_apart
from pipeline.present import pictures
from pipeline.present.page import template

SIDES = (320, 1024)  # px of a picture's longer side, at least and at most
BAR, TEXT, GAP = 14, 15, 10  # px: height of the colour key, of letters at least, between parts
WIDTH = 420  # px of a picture on the page
INK = (28, 33, 38)


class Key(NamedTuple):
    """What the colours of an overlay mean: its limit, and what speaks at either end."""

    limit: float
    negative: str
    positive: str


def names(files: Sequence[Path]) -> dict[Path, Path]:
    """Where each file's overlay lies below the files' folder: `x.overlay.png`.

    Of files that differ in their suffix alone `x.jpg.overlay.png` and `x.png.overlay.png`.
    """
    places = {path: path.parent.resolve() / path.name for path in files}
    above = os.path.commonpath([place.parent for place in places.values()])
    stems = Counter(place.with_suffix("") for place in places.values())
    return {
        path: Path(f"{(stem if stems[stem] == 1 else place).relative_to(above)}.overlay.png")
        for path, place in places.items()
        for stem in [place.with_suffix("")]
    }


def shown(path: Path, recipe: Recipe) -> np.ndarray:
    """What of a file the model sees as RGB (H, W, 3), in the file's resolution as far as SIDES allow."""
    picture = load_apart(path, recipe.limits)
    whole, least = (picture.width, picture.height), min(picture.width, picture.height)
    width, height = whole if recipe.crop == "none" else (least, least)
    longer = int(np.clip(max(width, height), *SIDES))
    square = images.to_square(
        picture.pixels, roi="", crop=recipe.crop, image_size=longer, channels=recipe.channels
    )
    size = (round(longer * width / max(width, height)), round(longer * height / max(width, height)))
    return np.asarray(Image.fromarray(pictures.grey_or_colour(square, longer)).resize(size))


def overlay(image: np.ndarray, salience: np.ndarray, key: Key, lines: Sequence[str]) -> np.ndarray:
    """An image RGB (H, W, 3) beside itself under a signed map (h, w), and below them lines and the key."""
    height, width = image.shape[:2]
    values = Image.fromarray(salience.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    over = pictures.overlay(image, np.asarray(values), key.limit)
    both = np.hstack([image, np.full((height, GAP, 3), 255, np.uint8), over])
    return np.vstack([both, _legend(both.shape[1], key, lines)])


def _legend(width: int, key: Key, lines: Sequence[str]) -> np.ndarray:
    """The lines, then a bar of all colours with its ends named; its letters grow with the picture."""
    text = max(TEXT, width // 60)
    step = text + 4
    bar = GAP + step * len(lines)
    canvas = Image.new("RGB", (width, bar + BAR + step + GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(text)
    for place, line in enumerate(lines):
        draw.text((0, GAP + place * step), line, INK, font)
    ramp = pictures.signed(np.linspace(-1, 1, width)[None].repeat(BAR, axis=0), 1.0)
    canvas.paste(Image.fromarray(ramp), (0, bar))
    draw.text((0, bar + BAR + 2), f"speaks for {key.negative}: -{key.limit:.3g}", INK, font)
    draw.text((width, bar + BAR + 2), f"{key.limit:.3g}: for {key.positive}", INK, font, anchor="ra")
    return np.asarray(canvas)


def save(picture: np.ndarray, path: Path) -> None:
    """Write a picture as PNG, whole or not at all."""
    with atomic(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def embedded(picture: np.ndarray) -> str:
    """A picture in page width as an address that holds it."""
    small = Image.fromarray(picture)
    small.thumbnail((2 * WIDTH, 2 * WIDTH))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def write(path: Path, title: str, notes: Sequence[str], rows: Sequence[dict[str, object]]) -> None:
    """Write the page: a card per image with its `picture`, `file` and whatever else is known of it."""
    text = template("sheet.html.j2").render(title=title, notes=notes, rows=rows, width=WIDTH)
    write_text(path, text)
