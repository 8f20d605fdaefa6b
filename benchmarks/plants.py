"""Copies and marks as they come about, made of a grey picture."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

BILINEAR = Image.Resampling.BILINEAR
Picture = Image.Image
Rng = np.random.Generator


def _reencode(picture: Picture, rng: Rng) -> Picture:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


def _crop(picture: Picture, share: float) -> Picture:
    width, height = picture.size
    x, y = round(share * width), round(share * height)
    return picture.crop((x, y, width - x, height - y))


def _shift(picture: Picture, rng: Rng) -> Picture:
    """3 % along both axes; what enters is black."""
    x, y = (
        float(sign) * 0.03 * side for sign, side in zip(rng.choice([-1, 1], 2), picture.size, strict=True)
    )
    return picture.transform(picture.size, Image.Transform.AFFINE, (1, 0, x, 0, 1, y), BILINEAR)


def _add_noise(picture: Picture, rng: Rng) -> Picture:
    values = np.asarray(picture, dtype=float)
    return Image.fromarray((values + rng.normal(0, 12, values.shape)).clip(0, 255).astype(np.uint8))


def _frame(picture: Picture, rng: Rng) -> Picture:
    return ImageOps.expand(picture, round(0.05 * max(picture.size)), fill=int(rng.choice([0, 255])))


def _write(picture: Picture, lines: list[tuple[float, float, str]], size: int) -> Picture:
    written, (width, height) = picture.copy(), picture.size
    font = ImageFont.load_default(size=max(7, height // size))
    for x, y, text in lines:
        ImageDraw.Draw(written).text((x * width, y * height), text, fill=255, font=font)
    return written


COPIES: dict[str, Callable[[Picture, Rng], Picture]] = {
    "identical": lambda picture, rng: picture,
    "re-encoded (JPEG, quality 60)": _reencode,
    "resized to 60 %": lambda picture, rng: picture.resize(tuple(int(0.6 * side) for side in picture.size)),
    "brightness ± 30 %": lambda picture, rng: ImageEnhance.Brightness(picture).enhance(
        rng.choice([0.7, 1.3])
    ),
    "contrast ± 40 %": lambda picture, rng: ImageEnhance.Contrast(picture).enhance(rng.choice([0.6, 1.4])),
    "noise, sigma 12 of 255": _add_noise,
    "crop 2 %": lambda picture, rng: _crop(picture, 0.02),
    "crop 5 %": lambda picture, rng: _crop(picture, 0.05),
    "shift 3 %": _shift,
    "rotation 3°": lambda picture, rng: picture.rotate(float(rng.choice([-3, 3])), BILINEAR),
    "rotation 90°": lambda picture, rng: picture.transpose(Image.Transpose.ROTATE_90),
    "flip, left to right": lambda picture, rng: ImageOps.mirror(picture),
    "flip, top to bottom": lambda picture, rng: ImageOps.flip(picture),
    "negative": lambda picture, rng: ImageOps.invert(picture),
    "equalised": lambda picture, rng: ImageOps.equalize(picture),
    "border 5 %": _frame,
    "burnt-in text": lambda picture, rng: _write(
        picture, [(0.05, 0.04, "PORTABLE AP"), (0.6, 0.85, "L 12:45")], 12
    ),
}


def _blacken_border(picture: Picture) -> Picture:
    width = max(1, round(0.03 * min(picture.size)))
    return ImageOps.expand(ImageOps.crop(picture, width), width)


MARKS: dict[str, Callable[[Picture], Picture]] = {
    "border": _blacken_border,
    "text": lambda picture: _write(picture, [(0.04, 0.03, "L 12")], 14),
    "brightness": lambda picture: ImageEnhance.Brightness(picture).enhance(1.2),
    "blur": lambda picture: picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 150)),
}
