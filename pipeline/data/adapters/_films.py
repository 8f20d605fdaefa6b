"""Videos, or folders of their frames, as samples: some frames of each, evenly spaced, always the same."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipeline.data import video
from pipeline.data.apart import call_apart
from pipeline.data.listing import Listing
from pipeline.data.problems import UnusableImage
from pipeline.data.samples import Sample

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
NUMBER = re.compile(r"(\d+)$")  # of a frame, at the end of its file's name
NUMBERS = 5  # of a line about one frame: its number and four more
SEPARATORS = re.compile(r"[,\s]+")


def find_films(folder: Path) -> list[Path]:
    """Everything below a folder that is a video: files by their suffix, and folders that hold pictures."""
    found = set()
    for path in folder.rglob("[!.]*"):  # macOS leaves a hidden `._<name>` beside each file that it copies
        if path.suffix.lower() in video.SUFFIXES:
            found.add(path)
        elif path.suffix.lower() in PICTURES:
            found.add(path.parent)
    return sorted(found - {folder})


def name_of(film: Path) -> str:
    """The name of a video without its extension; that of a folder, which may hold dots."""
    return film.stem if film.suffix.lower() in video.SUFFIXES else film.name


def take_frames(
    listing: Listing, sample: Sample, film: Path, frames: int, region: Callable[[int], str]
) -> list[Sample]:
    """`frames` samples of a film, or all of its frames if it has fewer, as copies of `sample`.

    Their ids are `<native_id>:<number of the frame>`; `region` gives the region of a frame, by its number
    from 0. A video that cannot be opened gives one sample with its problem (E_DECODE). Pictures without
    numbers (E_LAYOUT), the same number twice (E_JOIN) and files that lie elsewhere (E_PATH_ESCAPE) are
    noted in the listing.
    """
    if film.suffix.lower() not in video.SUFFIXES:
        pictures = number_pictures(listing, film)
        numbers = sorted(pictures)
        chosen = [numbers[place] for place in video.spread(len(numbers), frames)]
        return [_one(sample, pictures[number], None, number, region) for number in chosen]
    path = listing.file(film.relative_to(listing.root).as_posix(), sample.where)
    if path is None:
        return []
    try:
        chosen = video.spread(call_apart(path, 0, video.count_frames, path), frames)
    except UnusableImage as error:
        where = f"{path.relative_to(listing.root).as_posix()} ({sample.where})"
        problem = replace(error.problem, where=where)
        return [replace(_one(sample, path, 0, 0, region), problem=problem)]
    return [_one(sample, path, number, number, region) for number in chosen]


def _one(sample: Sample, path: Path, frame: int | None, number: int, region: Callable[[int], str]) -> Sample:
    native_id = f"{sample.native_id}:{number:05d}"
    return replace(sample, native_id=native_id, image_path=path, frame=frame, roi=region(number))


def number_pictures(listing: Listing, folder: Path) -> dict[int, Path]:
    """The pictures of a folder by the number at the end of their names."""
    pictures: dict[int, Path] = {}
    where = folder.relative_to(listing.root).as_posix()
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix.lower() not in PICTURES:
            continue
        told = NUMBER.search(path.stem)
        found = listing.file(path.relative_to(listing.root).as_posix(), where)
        if told is None:
            message = f"{path.name}: expected the number of the frame at the end of the name; rename the file"
            listing.add("E_LAYOUT", where, message)
        elif int(told.group()) in pictures:
            other = pictures[int(told.group())].name
            listing.add("E_JOIN", where, f"{path.name} and {other} are the same frame; drop one")
        elif found is not None:
            pictures[int(told.group())] = found
    return pictures


def read_numbers(listing: Listing, path: Path) -> dict[int, tuple[float, float, float, float]]:
    """Four numbers per frame: lines of five numbers, the frame's first, between commas or spaces.

    No file: none. The first line that is no such thing is noted in the listing (E_ROW_SHAPE).
    """
    told = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        cells = SEPARATORS.split(line.strip())
        if cells == [""]:
            continue
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            values = []
        if len(values) != NUMBERS or not all(map(math.isfinite, values)):
            where = f"{path.relative_to(listing.root).as_posix()} line {number}"
            listing.add("E_ROW_SHAPE", where, "expected the number of a frame and four more numbers")
            break
        told[int(values[0])] = (values[1], values[2], values[3], values[4])
    return told


def as_region(x0: float, y0: float, x1: float, y1: float) -> str:
    """A rectangle as a sample's region, in whole px.

    >>> as_region(1.6, 2, 30, 40)
    '2,2,30,40'
    """
    return ",".join(str(round(value)) for value in (x0, y0, x1, y1))


def missing_film(listing: Listing, name: str, where: str) -> None:
    """Note that a list names a video of which there is neither a file nor a folder."""
    kinds = ", ".join(video.SUFFIXES)
    message = f"{name!r} is neither a video ({kinds}) nor a folder of frames below {listing.root}"
    listing.add("E_IMAGE_MISSING", where, f"{message}; add it or drop the line")
