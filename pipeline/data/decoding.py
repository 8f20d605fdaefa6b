"""From a listed sample to the network's square, in expendable processes; each has one image in memory.

What a damaged file can do there, `apart` says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.common import expendable
from pipeline.data import annotations, apart, images, video
from pipeline.data.agreement import agreement
from pipeline.data.picture import Picture
from pipeline.data.picture_file import read_picture, read_size
from pipeline.data.problems import Finding, Problem, UnusableImage
from pipeline.data.samples import Drawn, Sample

ASPECT = 1.01  # how much wider or narrower the image of some marks may be than the one they are put on
SERIAL = 32  # below this many images, starting one more worker costs more than it saves


class Recipe(NamedTuple):
    """How every image of a data set becomes a square."""

    image_size: int
    channels: int
    crop: str
    granularity: str
    blur: float
    max_megapixels: float
    max_megabytes: float
    dicom_frame: int | None = None

    @property
    def limits(self) -> dict[str, Any]:
        """The header budget and the choice of a frame, as `images.load` takes them."""
        return {**self.budget, "dicom_frame": self.dicom_frame}

    @property
    def budget(self) -> dict[str, float]:
        """The header budget, as `picture_file.read_picture` takes it."""
        return {"max_megapixels": self.max_megapixels, "max_megabytes": self.max_megabytes}


@dataclass(frozen=True)
class Decoded:
    """A usable image uint8 (C, S, S), its map uint8 (S, S) with peak 255 or None, its truth masks (S, S).

    `twins` are uint8 (C, S, S), one per name in `sample.twins`. `facts` are the columns of the
    manifest that only the file can tell, `noticed` warnings, to be counted over the data set.
    """

    facts: dict[str, Any]
    image: np.ndarray
    human_map: np.ndarray | None
    truths: dict[str, np.ndarray]
    twins: dict[str, np.ndarray]
    noticed: tuple[Finding, ...] = ()
    agreement: float | None = None  # of several annotators, see `agreement`


def decode_all(samples: Sequence[Sample], recipe: Recipe, workers: int) -> Iterator[Decoded | Problem]:
    """Decode in order, on `workers` processes; what cannot be used comes back as its Problem."""
    limits = apart.limits(recipe.max_megabytes)
    workers = min(workers, 1 + len(samples) // SERIAL)
    answers = expendable.call_all(limits, decode, ((sample, recipe) for sample in samples), workers)
    for sample, answer in zip(samples, answers, strict=True):
        lost = isinstance(answer, expendable.Lost)
        yield apart.tell_lost(sample.image_path, answer) if lost else answer


def load_apart(path: Path, limits: Mapping[str, Any]) -> Picture:
    """`images.load(path, **limits)` in an expendable process; raises what that raises."""
    loaded: Picture = apart.call_apart(path, limits["max_megabytes"], _load, path, limits)
    return loaded


def _load(path: Path, limits: Mapping[str, Any]) -> Picture:
    return images.load(path, **limits)


def decode(sample: Sample, recipe: Recipe) -> Decoded | Problem:
    """Decode one image with its annotations and, for phantoms, its truth and twins."""
    try:
        picture = _read_picture(sample, recipe)
        _check_form(sample, picture)
        square = _crop_picture(picture, sample, recipe)
        size = sample.annotation_size or (picture.width, picture.height)
        maps = annotations.draw_maps(sample.annotations, *size) if sample.is_marked else []
        human_map = _prepare_map(maps, sample, picture, recipe)
        agreed = None if human_map is None else agreement(maps)
        truths, twins = _read_truths(sample, picture, square, recipe) if sample.truth else ({}, {})
    except UnusableImage as error:
        return error.problem
    facts = {
        "file_bytes": sample.image_path.stat().st_size,
        "width": picture.width,
        "height": picture.height,
        "bits": picture.bits,
        "photometric": picture.photometric,
        "phi_flag": picture.phi_flag,
    }
    return Decoded(facts, square, human_map, truths, twins, _compare_aspects(sample, picture), agreed)


def _read_picture(sample: Sample, recipe: Recipe) -> Picture:
    if sample.frame is None:
        return images.load(sample.image_path, **recipe.limits)
    return video.read_frame(sample.image_path, sample.frame, **recipe.budget)


def _check_form(sample: Sample, picture: Picture) -> None:
    """Refuse (E_DIMS) a file of another size or kind of pixels than its data set promises."""
    came = f"{picture.width}x{picture.height} px {picture.photometric}"
    promised = f"{sample.size[0]}x{sample.size[1]} px" if sample.size else ""
    if sample.size not in (None, (picture.width, picture.height)) or (
        sample.photometric not in ("", picture.photometric)
    ):
        expected = " ".join(filter(None, (promised, sample.photometric)))
        message = f"expected {expected}, got {came}; maps and gaze refer to the original, use that"
        raise UnusableImage(Problem("E_DIMS", sample.image_path.name, message))


def _prepare_map(
    maps: list[np.ndarray], sample: Sample, picture: Picture, recipe: Recipe
) -> np.ndarray | None:
    """The annotators' maps as one on the network's square; None if nobody marked anything, never zeros."""
    if not maps:
        return None
    combined = annotations.combine(maps, granularity=recipe.granularity, blur=recipe.blur)
    if combined is not None:
        square = _crop_map(combined, picture.width, picture.height, sample, recipe)
        if square.max() > square.min():
            return np.rint(square / square.max() * 255).astype(np.uint8)
    elif sample.may_be_blank:
        return None
    message = "the map marks nothing or everything of the cropped image; give a map, or none"
    raise UnusableImage(Problem("E_ANN_EMPTY", "annotation", message))


def _compare_aspects(sample: Sample, picture: Picture) -> tuple[Finding, ...]:
    """A warning if marks refer to an image that is wider or narrower than this one by more than ASPECT."""
    resized = [each for each in sample.annotations if isinstance(each, Drawn) and each.resize != "refuse"]
    sizes = [sample.annotation_size] if sample.annotation_size else [read_size(each.path) for each in resized]
    for width, height in sizes:
        if not 1 / ASPECT <= width * picture.height / (height * picture.width) <= ASPECT:
            came = f"marks of {width}x{height} px on an image of {picture.width}x{picture.height}"
            return (Finding("W_MAP_ASPECT", "", f"{came} are squeezed to it"),)
    return ()


def _read_truths(
    sample: Sample, picture: Picture, square: np.ndarray, recipe: Recipe
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The masks of a phantom and its twins, by kind."""
    from pipeline.data.store import TRUTHS, TWINS  # needs pandas, which workers on real images start without

    truths = {kind: _read_truth(sample, kind, recipe) for kind in TRUTHS}
    twins = {
        twin: _read_twin(sample, twin, picture, recipe) if truths[TWINS[twin]].any() else square
        for twin in sample.twins
    }
    return truths, twins


def _read_truth(sample: Sample, kind: str, recipe: Recipe) -> np.ndarray:
    path = Path(sample.truth or "", kind, f"{sample.native_id}.png")
    if not path.is_file():
        message = f"expected the phantom's truth mask {path}; draw the phantoms again"
        raise UnusableImage(Problem("E_LAYOUT", path.name, message))
    mask, _ = read_picture(path, **recipe.budget)
    height, width = mask.shape
    return np.rint(_crop_map(mask, width, height, sample, recipe)).astype(np.uint8)


def _read_twin(sample: Sample, twin: str, picture: Picture, recipe: Recipe) -> np.ndarray:
    """The image as it was drawn without its cause or shortcut, cropped as the image is."""
    path = Path(sample.truth or "", twin, f"{sample.native_id}.png")
    if not path.is_file():
        message = f"expected the phantom's twin {path}; draw the phantoms again"
        raise UnusableImage(Problem("E_LAYOUT", path.name, message))
    drawn = images.load(path, **recipe.limits)
    if drawn.pixels.shape != picture.pixels.shape:
        message = f"{twin}: expected pixels {picture.pixels.shape} as in the image, got {drawn.pixels.shape}"
        raise UnusableImage(Problem("E_DIMS", path.name, message))
    return _crop_picture(drawn, sample, recipe)


def _crop_picture(picture: Picture, sample: Sample, recipe: Recipe) -> np.ndarray:
    """The network's square; a part of a picture that shows nothing is refused like a picture that does."""
    square = images.to_square(
        picture.pixels,
        roi=sample.roi,
        crop=recipe.crop,
        image_size=recipe.image_size,
        channels=recipe.channels,
    )
    if square.min() == square.max():
        code = "E_ROI" if recipe.crop == "roi" and sample.roi else "E_FLAT"
        message = (
            f"all pixels of the part that crop {recipe.crop!r} keeps are equal; mend the region or the crop"
        )
        raise UnusableImage(Problem(code, sample.image_path.name, message))
    return square


def _crop_map(grey: np.ndarray, width: int, height: int, sample: Sample, recipe: Recipe) -> np.ndarray:
    return images.map_to_square(
        grey, width=width, height=height, roi=sample.roi, crop=recipe.crop, image_size=recipe.image_size
    )
