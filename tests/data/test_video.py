"""Frames of videos: exact in any order, evenly spread, refused with the video's name where it is damaged."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import video
from pipeline.data.problems import UnusableImage
from tests.data.videos import film, pictures

LIMITS = {"max_megapixels": 1.0, "max_megabytes": 8.0}
LOSSLESS = pytest.mark.parametrize("suffix", [".avi", ".mov", ".mkv"])


@LOSSLESS
def test_every_frame_is_its_own_in_any_order(tmp_path: Path, suffix: str) -> None:
    frames = pictures(7)
    path = film(tmp_path / f"a{suffix}", frames)
    assert video.count_frames(path) == 7
    for number in (0, 1, 6, 3, 3, 2):
        picture = video.read_frame(path, number, **LIMITS)
        assert np.array_equal(picture.pixels, frames[number] / np.float32(255))
    assert (picture.width, picture.height, picture.bits, picture.photometric) == (32, 24, 8, "RGB")


def test_two_videos_are_read_in_turns(tmp_path: Path) -> None:
    both = {name: pictures(4, seed) for seed, name in enumerate(("a.avi", "b.avi"))}
    for name, frames in both.items():
        film(tmp_path / name, frames)
    for number in range(4):
        for name, frames in both.items():
            assert np.array_equal(video.stored_frame(tmp_path / name, number, **LIMITS), frames[number])


def test_a_video_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", pictures(3))
    video.read_frame(path, 1, **LIMITS)
    path.unlink()
    frames = pictures(3, seed=1)
    film(path, frames)
    assert np.array_equal(video.stored_frame(path, 1, **LIMITS), frames[1])


@given(length=st.integers(1, 400), count=st.integers(1, 60))
def test_spread_numbers_are_different_inside_and_even(length: int, count: int) -> None:
    numbers = video.spread(length, count)
    assert len(numbers) == min(length, count)
    assert numbers[0] >= 0 and numbers[-1] < length
    steps = np.diff(numbers)
    assert steps.size == 0 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)
    assert abs(numbers[0] - (length - 1 - numbers[-1])) <= 1  # as far from the beginning as from the end


def _refusal(path: Path, number: int = 0, **limits: float) -> str:
    with pytest.raises(UnusableImage) as caught:
        video.read_frame(path, number, **(LIMITS | limits))
    return str(caught.value.problem)


def test_a_video_that_breaks_off_keeps_what_comes_before(tmp_path: Path) -> None:
    frames = pictures(30, size=(64, 48))
    path = film(tmp_path / "a.avi", frames)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert np.array_equal(video.stored_frame(path, 3, **LIMITS), frames[3])
    line = _refusal(path, 29)
    told = re.match(r"E_DECODE a.avi frame 29: the video ends, or is damaged, at frame (\d+) of 30", line)
    assert told
    assert _refusal(path, int(told[1])).startswith("E_DECODE")  # never the frame before it, once more
    assert np.array_equal(video.stored_frame(path, 4, **LIMITS), frames[4])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file does not begin as one"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n", "the file does not begin as one"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "the file does not begin as one"),
        (b"RIFF\0\0\0\0AVI " + bytes(200), "not a whole video"),
        (b"\0\0\0\x14ftypqt  " + bytes(200), "not a whole video"),
    ],
)
def test_what_is_no_video_is_refused_and_never_followed(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "inv.mov"
    path.write_bytes(content)
    with pytest.raises(UnusableImage, match=told) as caught:
        video.count_frames(path)
    assert caught.value.problem.code == "E_DECODE"
    assert caught.value.problem.where == "inv.mov"


def test_a_damaged_video_is_told_in_one_line_alone(tmp_path: Path) -> None:
    """FFmpeg and OpenCV would add lines of their own, without the video's name."""
    path = tmp_path / "inv.mov"
    path.write_bytes(b"\0\0\0\x14ftypqt  " + bytes(200))
    code = (
        f"from pathlib import Path; from pipeline.data import video; video.count_frames(Path({str(path)!r}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    lines = run.stderr.splitlines()
    assert lines[0].startswith("Traceback")
    assert "inv.mov: not a whole video" in lines[-1]
    assert not [line for line in lines if line.startswith("[")]


def test_limits_are_those_of_images(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", pictures(2))
    assert "header says 32x24 px in 3 band(s)" in _refusal(path, max_megapixels=0.0007)
    assert "E_DECODE" in _refusal(path, max_megabytes=0.009)
    assert video.read_frame(path, 0, max_megapixels=0.00077, max_megabytes=0.0093).width == 32


def test_absent_and_flat(tmp_path: Path) -> None:
    assert _refusal(tmp_path / "a.avi").startswith("E_IMAGE_MISSING a.avi: ")
    path = film(tmp_path / "b.avi", [np.full((24, 32, 3), 7, np.uint8)] * 2)
    assert _refusal(path, 1).startswith("E_FLAT b.avi frame 1: ")


def test_a_header_with_too_many_frames_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.avi", pictures(3))
    monkeypatch.setattr(video, "MAX_FRAMES", 2)
    with pytest.raises(UnusableImage, match="its header says 3 frames of 32x24 px, expected 1 to 2"):
        video.count_frames(path)
