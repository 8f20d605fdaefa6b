"""FaceForensics++: manipulated faces in videos, with masks (Roessler et al., ICCV 2019;
docs/layouts/face.md).

    original_sequences/youtube/<c>/videos/<id>.mp4              <id> three digits; <c> raw, c23 or c40
    manipulated_sequences/<method>/<c>/videos/<id>_<id>.mp4     target and source of one pair
    manipulated_sequences/<method>/masks/videos/<the same>      what was manipulated, frame by frame
    splits/{train,val,test}.json                                lists of pairs, from the official repository

Instead of `videos/`, `images/<the same>/<frame>.png` as its extractor writes them, frames counted from 0. The
four videos and more of a pair are never parted.

Folders, frames and splits were read in the official repository (ondyari/FaceForensics), the place of the
masks in third-party loaders. From memory: masks are videos that compression blurred, and FaceShifter has
none. The actors' videos (DeepFakeDetection) are not read: their pairs join all actors. No real file was at
hand.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from pipeline.common.errors import UserError, nearest
from pipeline.data.adapters._films import find_films, name_of, number_pictures, take_frames
from pipeline.data.listing import Listing, existing_root, slug
from pipeline.data.problems import Problem, refuse
from pipeline.data.samples import Masked, Sample

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
WITHOUT_MASKS = ("FaceShifter",)
ORIGINAL = "original_sequences/youtube"
SPLITS = ("train", "val", "test")
ID = re.compile(r"\d{3}")
KINDS = ("videos", "images")  # the first of these folders that is there is read


class Pair(NamedTuple):
    """Two originals whose faces were exchanged, and the split of everything that shows them."""

    name: str
    split: str


def read(
    root: Path,
    *,
    compression: Literal["raw", "c23", "c40"] = "c23",
    methods: list[str] = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"],  # noqa: B006  a literal
    frames: Annotated[int, Field(ge=1, le=100)] = 5,
    splits: str = "splits",
    masks: bool = True,
    test_only: list[str] = [],  # noqa: B006  a literal
) -> list[Sample]:
    """`frames` frames of every video that is there; its source and class are its method (METHODS).

    `splits` is the folder of the official lists below the root. With `masks` every manipulated frame needs
    one. Methods of `test_only` are read for the pairs of the test alone, so that they can be held out: every
    pair is manipulated in all ways.

    Raises UserError: E_LAYOUT, E_ROW_SHAPE (a list of splits), E_JOIN (a video in no pair or in two), E_ENUM
    (name of a video), E_ANN_MISSING, E_PATH_ESCAPE. Samples of damaged videos carry E_DECODE.
    """
    if unknown := [method for method in (*methods, *test_only) if method not in METHODS]:
        raise UserError(f"faceforensics: {unknown[0]!r} is no method; {nearest(unknown[0], METHODS)}")
    root = existing_root(root, "original_sequences")
    listing = Listing(root)
    masked = [method for method in methods if masks and method not in WITHOUT_MASKS]
    places = {"": f"{ORIGINAL}/{compression}"}
    places |= {method: f"manipulated_sequences/{method}/{compression}" for method in methods}
    wanted = {f"{method} masks": f"manipulated_sequences/{method}/masks" for method in masked}
    folders, pairs = _find_folders(root, places | wanted), _read_pairs(listing, root / splits)
    samples = []
    for method in places:
        for film in find_films(folders[method]):
            sample = _read_name(listing, film, method, pairs)
            if sample is None or (method in test_only and sample.native_split != "test"):
                continue
            taken = take_frames(listing, sample, film, frames, lambda number: "")
            if f"{method} masks" in folders:
                _add_masks(listing, taken, film, folders[f"{method} masks"])
            samples += taken
    return listing.finish(samples)


def _find_folders(root: Path, places: dict[str, str]) -> dict[str, Path]:
    """Where the videos or images of each place lie; E_LAYOUT with all places that have neither."""
    found = {
        name: next((root / place / kind for kind in KINDS if (root / place / kind).is_dir()), None)
        for name, place in places.items()
    }
    message = "expected a folder videos or images in it; download it, or mend methods, compression and masks"
    refuse([Problem("E_LAYOUT", str(root / places[name]), message) for name in found if found[name] is None])
    return {name: folder for name, folder in found.items() if folder is not None}


def _read_pairs(listing: Listing, folder: Path) -> dict[str, Pair]:
    """The pair of each original by its id."""
    pairs: dict[str, Pair] = {}
    paths = {split: folder / f"{split}.json" for split in SPLITS}
    message = "expected this official list of pairs; copy it from dataset/splits of ondyari/FaceForensics"
    refuse([Problem("E_LAYOUT", str(path), message) for path in paths.values() if not path.is_file()])
    for split, path in paths.items():
        for pair in _read_list(listing, path):
            for each in pair:
                if each in pairs:
                    listing.add("E_JOIN", path.name, f"{each} is in two pairs; use the official lists")
                pairs[each] = Pair("_".join(sorted(pair)), split)
    return pairs


def _read_list(listing: Listing, path: Path) -> list[list[str]]:
    try:
        content: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        content = None
    right = isinstance(content, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(each, str) and ID.fullmatch(each) for each in pair)
        for pair in content
    )
    if not right:
        listing.add("E_ROW_SHAPE", path.name, 'expected a JSON list of pairs such as ["720", "672"]')
    return content if right else []


def _read_name(listing: Listing, film: Path, method: str, pairs: dict[str, Pair]) -> Sample | None:
    """The sample of a video, without frames; None, a problem noted, if its name fits no pair."""
    path, name = film.relative_to(listing.root).as_posix(), name_of(film)
    ids = name.split("_")
    if len(ids) != (2 if method else 1) or not all(map(ID.fullmatch, ids)):
        listing.add("E_ENUM", path, f"expected {'<id>_<id>' if method else '<id>'} of three digits each")
        return None
    found = {pairs.get(each) for each in ids}
    pair = found.pop()
    if pair is None or found:
        listing.add("E_JOIN", path, "its originals are no pair of the split lists; use the official lists")
        return None
    kind = slug(method) or "original"
    return Sample(
        native_id=f"{kind}:{name}",
        image_path=film,
        label=int(bool(method)),
        class_name=slug(method) or "authentic",
        source=kind,
        source_kind="generator",
        modality="face",
        group_id=f"faceforensics:{pair.name}",
        native_split=pair.split,
        where=path,
    )


def _add_masks(listing: Listing, samples: list[Sample], film: Path, folder: Path) -> None:
    """Give each frame of a film its mask, from the video or the folder of the same name."""
    masks = [path for path in sorted(folder.glob(f"{name_of(film)}*")) if name_of(path) == name_of(film)]
    if not masks:
        where = film.relative_to(listing.root).as_posix()
        listing.add(
            "E_ANN_MISSING", where, f"expected its masks in {folder}; download them, or set masks: false"
        )
        return
    if masks[0].is_dir():
        pictures = number_pictures(listing, masks[0])
        found = {number: Masked(path) for number, path in pictures.items()}
    else:
        path = listing.file(masks[0].relative_to(listing.root).as_posix(), film.name, "E_ANN_MISSING")
        numbers = [_number(sample) for sample in samples]
        found = {number: Masked(path, number) for number in numbers} if path else {}
    for sample in samples:
        if _number(sample) in found:
            sample.annotations = [found[_number(sample)]]
        elif masks[0].is_dir():
            message = f"frame {_number(sample)} has no mask in {masks[0]}"
            listing.add("E_ANN_MISSING", sample.where, message)


def _number(sample: Sample) -> int:
    return int(sample.native_id.rpartition(":")[2])
