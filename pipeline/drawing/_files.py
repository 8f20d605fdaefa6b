"""Pictures and masks as files with fixed bytes."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Save float [0, 1] or uint8 pixels `(h, w)` or `(h, w, 3)` as 8-bit PNG; booleans become 0 and 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype != np.uint8:
        pixels = np.clip(np.round(pixels * 255), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, format="PNG", compress_level=1)  # more would take most of the time
