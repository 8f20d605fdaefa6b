"""Small invented data sets in the published layouts; ids start with 99 or `inv`."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.common.errors import UserError


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
