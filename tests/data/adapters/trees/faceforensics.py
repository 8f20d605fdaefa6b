"""FaceForensics++: two pairs of originals, two methods, masks as a video and as pictures, official lists."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.data.adapters.trees import text
from tests.data.videos import film, pictures

PAIRS = {"train": [["033", "097"]], "val": [["720", "672"]], "test": []}


def mask(shade: int = 255) -> np.ndarray:
    """A bright square at the top left of 32x24 px."""
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[:8, :16] = shade
    return pixels


def build(root: Path) -> dict[str, Any]:
    """Deepfakes are videos of ten frames with mask videos; FaceSwap is pictures of frames 0 and 7."""
    for split, pairs in PAIRS.items():
        text(root / "splits" / f"{split}.json", [json.dumps(pairs)])
    for seed, name in enumerate(("033", "097", "720", "672")):
        film(root / "original_sequences" / "youtube" / "c23" / "videos" / f"{name}.mp4", pictures(10, seed))
    methods = root / "manipulated_sequences"
    for seed, name in enumerate(("033_097", "097_033"), start=4):
        film(methods / "Deepfakes" / "c23" / "videos" / f"{name}.mp4", pictures(10, seed))
        film(methods / "Deepfakes" / "masks" / "videos" / f"{name}.mp4", [mask()] * 10)
    for frame in (0, 7):
        for place, pixels in (("c23", pictures(1, 6 + frame)[0]), ("masks", mask())):
            path = methods / "FaceSwap" / place / "images" / "720_672" / f"{frame:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return {"methods": ["Deepfakes", "FaceSwap"], "frames": 2}
