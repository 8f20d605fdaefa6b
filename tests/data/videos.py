"""Small invented videos."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

CODECS = {".avi": "FFV1", ".mov": "png ", ".mkv": "FFV1", ".mp4": "mp4v"}  # all but the last are lossless


def pictures(count: int, seed: int = 0, size: tuple[int, int] = (32, 24)) -> list[np.ndarray]:
    """`count` RGB frames of `size` (width, height): coarse blocks that differ from frame to frame."""
    blocks = np.random.default_rng(seed).integers(
        0, 256, (count, size[1] // 8, size[0] // 8, 3), dtype=np.uint8
    )
    return list(blocks.repeat(8, axis=1).repeat(8, axis=2))


def film(path: Path, frames: Sequence[np.ndarray]) -> Path:
    """Write RGB frames uint8 (H, W, 3) as a video, by the codec of its suffix."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 25, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    return path
