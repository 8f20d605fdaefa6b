"""Replay-Attack: face attacks in front of a webcam, as videos (Idiap; Chingovska et al., BIOSIG 2012).

    {train,devel,test}/real/client<n>_session<n>_webcam_authenticate_<light>_<n>.mov
    {train,devel,test}/attack/{fixed,hand}/attack_<device>_client<n>_session<n>_<camera>_<type>_<light>.mov
    face-locations/<the same>.face        per frame `number x y width height`; 0 0 0 0 where there is no face

<device> is print, mobile or highdef, <camera> mobile or highdef, <type> photo or video, <light> controlled
or adverse. A folder of the video's name with its frames is taken too. `enroll/` is not read.

Words and files as in the published interface (bob.db.replay) and in third-party loaders that read names and
.face files; no real file was at hand.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.data.adapters._films import as_region, find_films, name_of, read_numbers, take_frames
from pipeline.data.listing import SPLITS, Listing, existing_root, identifier
from pipeline.data.samples import Sample

FOLDERS = ("train", "devel", "test")
LABELS = {"real": 0, "attack": 1}
NAMES = {
    "real": re.compile(r"(?P<client>client\d{3})_session\d{2}_webcam_authenticate_(?:adverse|controlled)_\d"),
    "attack": re.compile(
        r"attack_(?P<device>print|mobile|highdef)_(?P<client>client\d{3})_session\d{2}_"
        r"(?:mobile|highdef)_(?P<type>photo|video)_(?:adverse|controlled)"
    ),
}


def read(
    root: Path,
    *,
    frames: Annotated[int, Field(ge=1, le=100)] = 5,
    test_only: list[
        Literal["print_photo", "mobile_photo", "mobile_video", "highdef_photo", "highdef_video"]
    ] = [],  # noqa: B006  read as a literal, never changed
) -> list[Sample]:
    """`frames` frames of every video; an attack's source and class are its device and type, as
    `mobile_photo`.

    Attacks of `test_only` are read from the folder `test` alone, so that they can be held out: every client
    of the others is attacked in all ways. The region of a frame is the box of its face; blank where none is
    told.

    Raises UserError: E_LAYOUT, E_PATH_ESCAPE, E_LABEL_ALIAS (folder), E_LABEL_RULE (name against folder),
    E_ENUM (name), E_ROW_SHAPE (.face). Samples of damaged videos carry E_DECODE.
    """
    root = existing_root(root, "train/real")
    listing = Listing(root)
    samples = []
    for folder in FOLDERS:
        for film in find_films(root / folder):
            sample = _read_name(listing, film)
            if sample is not None and (folder == "test" or sample.source not in test_only):
                sample.native_split = SPLITS[folder]
                samples += take_frames(listing, sample, film, frames, _Faces(listing, film))
    return listing.finish(samples)


class _Faces:
    """The box of the face in each frame of a film, as a region."""

    def __init__(self, listing: Listing, film: Path) -> None:
        place = listing.root / "face-locations" / film.relative_to(listing.root)
        self._boxes = read_numbers(listing, place.with_name(f"{name_of(film)}.face"))

    def __call__(self, number: int) -> str:
        x, y, width, height = self._boxes.get(number, (0, 0, 0, 0))
        return as_region(x, y, x + width, y + height) if width or height else ""


def _read_name(listing: Listing, film: Path) -> Sample | None:
    """The sample of a video, without frames; None, a problem noted, if its place or name say nothing."""
    path = film.relative_to(listing.root).as_posix()
    kind = path.split("/")[1]
    if listing.word(LABELS, kind, path) is None:
        return None
    found = {word: pattern.fullmatch(name_of(film)) for word, pattern in NAMES.items()}
    facts = found[kind]
    if facts is None:
        if any(found.values()):
            listing.add("E_LABEL_RULE", path, f"lies in {kind}/, but is none by its name; move it")
        else:
            listing.add("E_ENUM", path, "expected a published name, client... or attack_<device>_client...")
        return None
    name = "live" if kind == "real" else f"{facts['device']}_{facts['type']}"
    own_id = identifier(film.relative_to(listing.root).with_name(name_of(film)).as_posix())
    return Sample(
        native_id=own_id,
        image_path=film,
        label=LABELS[kind],
        class_name=name,
        source=name,
        source_kind="attack_type",
        modality="face",
        subject_id=f"replay_attack:{facts['client']}",
        group_id=f"replay_attack:{own_id}",
        where=path,
    )
