"""Copies are found whatever was done to them, and nothing else is taken for one."""

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from scipy import ndimage

from pipeline.common.seeding import numpy_rng
from pipeline.data import duplicates
from pipeline.data.aligning import align
from pipeline.data.duplicates import Copy, find_copies
from pipeline.data.likeness import TURNS, propose, textures, turned

SIDE = 64


def pictures(n: int) -> np.ndarray:
    """Random pictures uint8 (n, 1, 64, 64) with as much power at every scale as films have."""
    rough = numpy_rng(0, "pictures").normal(size=(n, SIDE, SIDE))
    radius = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    smooth = np.fft.irfft2(np.fft.rfft2(rough) / np.maximum(radius, 1 / SIDE) ** 1.5, s=(SIDE, SIDE))
    low, high = smooth.min(axis=(1, 2), keepdims=True), smooth.max(axis=(1, 2), keepdims=True)
    return ((smooth - low) / (high - low) * 255).astype(np.uint8)[:, None]


def found(images: np.ndarray) -> list[Copy]:
    names = np.array([str(row) for row in range(len(images))])
    return find_copies(images, names, names)


def _recompress(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.resize((60, 60), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
    return Image.open(buffer).resize(image.size, Image.Resampling.LANCZOS)


def _crop(image: Image.Image) -> Image.Image:
    return image.crop((3, 3, 61, 61)).resize(image.size, Image.Resampling.BILINEAR)


def _write_on(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).copy()
    pixels[4:10, 6:40] = 255
    return Image.fromarray(pixels)


EDITS: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    "recompressed": (_recompress, "re-encoded"),
    "brighter": (lambda image: image.point(lambda value: min(255, value + 30)), "retouched"),
    "text": (_write_on, "retouched"),
    "equalised": (ImageOps.equalize, "retouched"),
    "cropped": (_crop, "cropped or framed"),
    "framed": (lambda image: ImageOps.expand(image, 3).resize(image.size), "cropped or framed"),
    "tilted": (lambda image: image.rotate(3, Image.Resampling.BILINEAR), "tilted"),
    "mirrored": (ImageOps.mirror, "flipped"),
    "upside down": (ImageOps.flip, "flipped"),
    "turned": (lambda image: image.transpose(Image.Transpose.ROTATE_90), "rotated 90"),
    "negative": (ImageOps.invert, "negative"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_copy_is_found_and_named(name: str) -> None:
    edit, kind = EDITS[name]
    images = pictures(24)
    images[17, 0] = np.asarray(edit(Image.fromarray(images[5, 0])))
    ((one, two, told, likeness),) = found(images)
    assert (one, two, told) == (5, 17, kind)
    assert 0.85 < likeness <= 1


def test_strangers_are_no_copies() -> None:
    assert found(pictures(40)) == []


def test_equal_pictures_are_paired_with_the_first() -> None:
    images = pictures(8)
    images[[3, 6]] = images[1]
    assert found(images) == [Copy(1, 3, "equal", 1.0), Copy(1, 6, "equal", 1.0)]


def test_pictures_of_one_subject_must_be_nearly_equal() -> None:
    images = pictures(24)
    noisy = images[5, 0] + numpy_rng(0, "noise").normal(0, 12, (SIDE, SIDE))
    images[17, 0] = noisy.clip(0, 255)
    subject = np.array([str(row) for row in range(24)])
    assert [copy[:2] for copy in find_copies(images, subject, subject)] == [(5, 17)]
    subject[17] = subject[5]
    assert find_copies(images, subject, subject) == []


def test_a_thousand_black_pictures_are_one_chain() -> None:
    copies = found(np.zeros((1000, 1, 16, 16), np.uint8))
    assert [(copy.one, copy.two) for copy in copies] == [(0, row) for row in range(1, 1000)]


def test_one_picture_or_none_has_no_copy() -> None:
    assert found(pictures(1)) == [] and found(pictures(1)[:0]) == []


def test_pairs_to_compare_grow_with_the_pictures_and_not_with_their_square() -> None:
    frame = pictures(1)[0, 0].astype(float)
    video = frame + numpy_rng(0, "noise").normal(0, 2, (300, SIDE, SIDE))
    pairs = propose(textures(video.clip(0, 255).astype(np.uint8)[:, None]))
    assert len(pairs) <= 2 * 300 and (pairs[:, 0] < pairs[:, 1]).all()


def test_every_turn_is_found_back() -> None:
    """The turn that alignment tells is the one that was made."""
    whole = textures(pictures(10)).astype(np.float32)
    for turn in range(TURNS):
        both = np.concatenate([whole, turned(whole[:1], turn)])
        fit = align(both, np.array([[0, 10]]))
        assert (fit.turn[0], bool(fit.negative[0])) == (turn, False) and fit.likeness[0] > 0.99


def test_a_shift_is_measured() -> None:
    """Two px of 64 to the right: a place in the second lies 2 / 32 half sides further left in the first."""
    image = pictures(1)[0, 0].astype(float)
    moved = ndimage.shift(image, (0, 2), order=1, mode="nearest")
    fit = align(textures(np.stack([image, moved])[:, None].astype(np.uint8)), np.array([[0, 1]]))
    np.testing.assert_allclose(fit.place[0, :2, 2], [-2 / 32, 0], atol=0.01)


def _rows(**columns: list[str]) -> pd.DataFrame:
    plain = {
        "sample_id": list("abc"),
        "subject_id": list("xyz"),
        "group_id": list("123"),
        "label": list("010"),
    }
    more = {"image_path": ["a.png", "b.png", "c.png"], "source": ["s"] * 3, "split": ["train"] * 3}
    return pd.DataFrame(plain | more | columns)


def test_a_copy_with_the_other_label_is_a_conflict_of_both() -> None:
    copy, rows = Copy(0, 1, "flipped", 0.97), _rows()
    conflicts = duplicates.conflicts([copy, Copy(0, 2, "equal", 1.0)], rows)
    assert list(conflicts) == ["a", "b"]
    assert str(conflicts["a"]).startswith("E_LABEL_CONFLICT a.png: copy (flipped, likeness 0.97) of b.png")
    assert duplicates.conflicts([copy], _rows(group_id=["1", "1", "3"])) == {}


def test_the_table_of_pairs() -> None:
    told = duplicates.table([Copy(0, 2, "negative", 0.9)], _rows())
    one = {"image_path": "a.png", "subject_id": "x", "label": "0", "source": "s", "split": "train"}
    other = {"image_path": "c.png", "subject_id": "z", "label": "0", "source": "s", "split": "train"}
    expected = one | {f"other_{name}": value for name, value in other.items()}
    assert told.iloc[0].to_dict() == {"kind": "negative", "likeness": 0.9} | expected
    assert duplicates.table([], _rows()).columns.tolist() == told.columns.tolist()
