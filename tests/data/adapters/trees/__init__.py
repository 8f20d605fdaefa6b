"""Small invented data sets in the published layouts; ids start with 99 or `inv`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.data.annotations import combine, draw_maps
from pipeline.data.problems import counted
from pipeline.data.samples import Found, Sample
from tests.data.dicom_files import write as write_dicom


def picture(path: Path, size: tuple[int, int] = (64, 48), seed: int = 0) -> Path:
    """A small grey picture, or a colour one for JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(pixels).convert("RGB" if path.suffix == ".jpg" else "L").save(path)
    return path


def text(path: Path, lines: list[str], end: str = "\n", start: str = "") -> Path:
    """A text file; `end` closes each line, `start` may be a byte order mark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((start + "".join(line + end for line in lines)).encode())
    return path


def edit(path: Path, old: str, new: str) -> None:
    """Change a text file that must hold `old`."""
    content = path.read_bytes().decode()
    assert old in content
    path.write_bytes(content.replace(old, new).encode())


def codes(error: UserError) -> set[str]:
    """The codes of all problems."""
    return {line.split()[0] for line in error.problems}


def facts(samples: list[Sample]) -> list[tuple[object, ...]]:
    """What identifies the samples and divides them: id, label, class, subject, group, split, annotations."""
    return [
        (s.native_id, s.label, s.class_name, s.subject_id, s.group_id, s.native_split, len(s.annotations))
        for s in samples
    ]


def left_out(samples: list[Sample]) -> dict[str, str]:
    """Code -> message of what was left out."""
    assert isinstance(samples, Found)
    return {finding.code: finding.message for finding in counted(samples.noticed)}


def refused(read: Callable[[], object]) -> set[str]:
    """The codes with which a reading ends; no line may repeat a secret."""
    with pytest.raises(UserError) as caught:
        read()
    assert "INVSECRET" not in str(caught.value)
    return codes(caught.value)


def film(path: Path, number: int = 0, size: tuple[int, int] = (24, 20)) -> Path:
    """A small DICOM film, different for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.random.default_rng(number).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    return write_dicom(path, stored, bits=8)


def mask(path: Path, box: tuple[int, int, int, int] | None, size: tuple[int, int] = (24, 20)) -> Path:
    """A grey mask that is white in a box x0, y0, x1, y1, or all black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    if box:
        pixels[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(pixels).save(path)
    return path


def draw(sample: Sample, width: int, height: int) -> np.ndarray:
    """The map of a sample's annotations, on the image that they refer to."""
    size = sample.annotation_size or (width, height)
    drawn = combine(draw_maps(sample.annotations, *size), granularity="map", blur=0)
    assert drawn is not None
    return drawn
