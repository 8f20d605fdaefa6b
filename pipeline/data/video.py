"""Frames of videos, read where they lie: nothing is extracted, and one frame is in memory at a time.

OpenCV decodes (FFmpeg inside). A frame is reached by decoding all that precede it, never by seeking, which is
not exact in every file; a video stays open, so that frames that are asked for in order cost one pass.
"""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipeline.data.picture import Picture, check_budget, check_pixels
from pipeline.data.problems import Problem, UnusableImage

SUFFIXES = (".avi", ".mp4", ".mov", ".m4v", ".mkv", ".webm")
MAX_FRAMES = 100_000  # an hour at 25 frames per second; a header that says more is damaged
MAX_NUMBER = 1e9  # what a header may say of sizes and counts; also false for NaN
MARKS = (  # (offset, bytes) of AVI, QuickTime and MP4, Matroska and WebM files
    (8, b"AVI "),
    *((4, kind) for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")),
    (0, b"\x1a\x45\xdf\xa3"),
)


def count_frames(path: Path) -> int:
    """How many frames a video has, by its header.

    Raises UnusableImage: E_IMAGE_MISSING, E_DECODE (damaged, no video, no or too many frames).
    """
    return _Film(path).length


def spread(length: int, count: int) -> list[int]:
    """`count` of `length` numbers from 0, evenly spaced: the middles of as many equal parts; all if too few.

    >>> spread(10, 3), spread(2, 5), spread(5, 1)
    ([1, 5, 8], [0, 1], [2])
    """
    return sorted({(2 * part + 1) * length // (2 * count) for part in range(count)})


def read_frame(path: Path, number: int, *, max_megapixels: float, max_megabytes: float) -> Picture:
    """Frame `number` (from 0) of a video, upright: float32 (H, W, 3) in [0, 1].

    Raises UnusableImage: E_IMAGE_MISSING, E_DECODE (damaged, no video, ends earlier, over budget), E_FLAT.
    """
    pixels = stored_frame(path, number, max_megapixels=max_megapixels, max_megabytes=max_megabytes)
    check_pixels(_place(path, number), pixels)
    return Picture(pixels / np.float32(255), bits=8, photometric="RGB")


def stored_frame(path: Path, number: int, *, max_megapixels: float, max_megabytes: float) -> np.ndarray:
    """The same as it is stored, uint8 (H, W, 3); it may be of one colour."""
    film = _keep_open(path.absolute(), path.stat().st_mtime_ns if path.is_file() else 0)
    check_budget(path.name, *film.size, 3, max_megapixels=max_megapixels, max_megabytes=max_megabytes)
    return film.read(number)


@lru_cache(maxsize=2)  # frames of one video follow each other, and so do those of its masks
def _keep_open(path: Path, changed: int) -> "_Film":
    return _Film(path)


class _Film:
    """An open video that is read forwards; a frame that has passed by opens it again."""

    def __init__(self, path: Path) -> None:
        import cv2  # here, since only videos need it

        self._path = path
        self._open()
        facts = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT)
        width, height, self.length = (_whole(self._capture.get(fact)) for fact in facts)
        self.size = (width, height)
        if not 0 < self.length <= MAX_FRAMES or width < 1 or height < 1:
            came = f"its header says {self.length} frames of {width}x{height} px"
            raise _as_damaged(path.name, f"{came}, expected 1 to {MAX_FRAMES}")

    def _open(self) -> None:
        import cv2

        _check_kind(self._path)
        self._next = 0
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # its own lines name no file
        log = cv2.utils.logging
        level = log.getLogLevel()
        log.setLogLevel(log.LOG_LEVEL_SILENT)
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        log.setLogLevel(level)
        if not self._capture.isOpened():
            raise _as_damaged(self._path.name, "not a whole video that can be decoded")

    def read(self, number: int) -> np.ndarray:
        """One frame as RGB, uint8 (H, W, 3)."""
        if number < self._next:
            self._open()
        while self._next <= number:
            self._next += 1
            if not self._capture.grab():
                message = f"the video ends, or is damaged, at frame {self._next - 1} of {self.length}"
                raise _as_damaged(_place(self._path, number), message)
        found, frame = self._capture.retrieve()
        if not found:
            raise _as_damaged(_place(self._path, number), "the frame cannot be decoded")
        return np.ascontiguousarray(frame[:, :, ::-1])


def _check_kind(path: Path) -> None:
    """Only containers that hold their own frames: FFmpeg would also follow playlists to other places."""
    if not path.is_file():
        raise UnusableImage(Problem("E_IMAGE_MISSING", path.name, "expected a video file, there is none"))
    with path.open("rb") as file:
        start = file.read(12)
    if not any(start[offset:].startswith(mark) for offset, mark in MARKS):
        raise _as_damaged(
            path.name, "expected an AVI, MOV, MP4 or Matroska video, the file does not begin as one"
        )


def _whole(value: float) -> int:
    """A number of a header; 0 for what is none."""
    return int(value) if abs(value) < MAX_NUMBER else 0


def _place(path: Path, number: int) -> str:
    return f"{path.name} frame {number}"


def _as_damaged(where: str, message: str) -> UnusableImage:
    return UnusableImage(Problem("E_DECODE", where, f"{message}; replace or drop the file"))
