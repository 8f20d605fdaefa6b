"""From a listed sample to the network's square, in worker processes; one image is in memory at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed

from pipeline.data import annotations, images
from pipeline.data.manifest import Facts, has_shapes
from pipeline.data.samples import Problem, Sample
from pipeline.data.store import TRUTHS

CHUNK = 8  # images per task of a worker: bounds what waits for the parent
SERIAL = 32  # below this many images, starting workers costs more than it saves


class Recipe(NamedTuple):
    """How every image of a data set becomes a square."""

    image_size: int
    channels: int
    crop: str
    granularity: str
    blur: float
    max_megapixels: float
    max_megabytes: float


class Job(NamedTuple):
    """One file to decode; `truth` is the folder of a phantom's truth masks."""

    sample: Sample
    truth: Path | None


@dataclass(frozen=True)
class Decoded:
    """A usable image uint8 (C, S, S), its map uint8 (S, S) with peak 255 or None, its truth masks (S, S)."""

    facts: Facts
    image: np.ndarray
    human_map: np.ndarray | None
    truths: dict[str, np.ndarray]


def decode_all(jobs: Sequence[Job], recipe: Recipe, workers: int) -> Iterator[Decoded | Problem]:
    """Decode in order, on `workers` processes; what cannot be used comes back as its Problem."""
    if workers == 1 or len(jobs) < SERIAL:
        yield from (decode(job, recipe) for job in jobs)
        return
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    parallel = Parallel(n_jobs=workers, return_as="generator", batch_size=1)
    for results in parallel(delayed(_decode_chunk)(chunk, recipe) for chunk in chunks):
        yield from results


def _decode_chunk(jobs: Sequence[Job], recipe: Recipe) -> list[Decoded | Problem]:
    return [decode(job, recipe) for job in jobs]


def decode(job: Job, recipe: Recipe) -> Decoded | Problem:
    """Decode one image with its annotations and, for phantoms, its truth."""
    sample = job.sample
    try:
        limits = {"max_megapixels": recipe.max_megapixels, "max_megabytes": recipe.max_megabytes}
        loaded = images.load(sample.image_path, **limits)
        square = images.to_square(
            loaded.pixels,
            roi=sample.roi,
            crop=recipe.crop,
            image_size=recipe.image_size,
            channels=recipe.channels,
        )
        human_map = _human_map(sample, loaded.width, loaded.height, recipe)
        truths = {}
        if job.truth is not None:
            truths = {kind: _truth(job.truth / kind, sample, recipe) for kind in TRUTHS}
    except images.UnusableImage as error:
        return error.problem
    cropped = "file" if sample.roi else "center" if recipe.crop == "roi" else ""
    facts = Facts(
        file_bytes=sample.image_path.stat().st_size,
        width=loaded.width,
        height=loaded.height,
        bits=loaded.bits,
        photometric=loaded.photometric,
        spacing_row_mm=loaded.spacing_row_mm,
        spacing_col_mm=loaded.spacing_col_mm,
        spacing_kind=loaded.spacing_kind,
        roi=sample.roi,
        roi_source=cropped,
        phi_flag=loaded.phi_flag,
    )
    return Decoded(facts, square, human_map, truths)


def _human_map(sample: Sample, width: int, height: int, recipe: Recipe) -> np.ndarray | None:
    """The combined map on the network's square; None if nobody marked anything, never zeros."""
    if not has_shapes(sample):
        return None
    combined = annotations.combine(
        sample.annotations, width, height, granularity=recipe.granularity, blur=recipe.blur
    )
    if combined is not None:
        square = images.map_to_square(
            combined,
            width=width,
            height=height,
            roi=sample.roi,
            crop=recipe.crop,
            image_size=recipe.image_size,
        )
        if square.max() > square.min():
            return np.rint(square / square.max() * 255).astype(np.uint8)
    message = "the map marks nothing or everything of the cropped image; give a map, or none"
    raise images.UnusableImage(Problem("E_ANN_EMPTY", "annotation", message))


def _truth(folder: Path, sample: Sample, recipe: Recipe) -> np.ndarray:
    path = folder / f"{sample.native_id}.png"
    if not path.is_file():
        message = f"expected the phantom's truth mask {path}; draw the phantoms again"
        raise images.UnusableImage(Problem("E_LAYOUT", path.name, message))
    limits = {"max_megapixels": recipe.max_megapixels, "max_megabytes": recipe.max_megabytes}
    mask, _ = images.read_picture(path, **limits)
    height, width = mask.shape
    square = images.map_to_square(
        mask, width=width, height=height, roi=sample.roi, crop=recipe.crop, image_size=recipe.image_size
    )
    return np.rint(square).astype(np.uint8)
