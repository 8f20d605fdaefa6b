"""OULU-NPU: face attacks on phones, as videos (Boulkenafet et al., FG 2017; docs/layouts/face.md).

    Protocols/Protocol_<n>/{Train,Dev,Test}[_<k>].txt   no header; `+1,<video>` real, -1 or -2 attack
    {Train,Dev,Test}_files/<video>.avi                  or a folder <video>/ of frames; anywhere
    <the same>.txt                                      per frame `number,x,y,x,y`: the two eyes

<video> is <phone 1-6>_<session 1-3>_<user>_<file>, with hyphens in some copies; file 1 is real, 2 and 3 are
prints, 4 and 5 replays. `+ 1` with a space occurs. Protocols 3 and 4 have six folds <k>.

The layout and the protocols were read in third-party loaders (BarretoR/test for the eyes, several for the
lists); that the five numbers are the eyes is the official word from memory, and -2 for replays is from
memory too. No real file was at hand.
"""

import re
from collections.abc import Callable
from math import copysign, hypot
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.common.errors import UserError
from pipeline.data.adapters._films import (
    as_region,
    find_films,
    missing_film,
    name_of,
    read_numbers,
    take_frames,
)
from pipeline.data.listing import Listing, TableRow, existing_root, read_table
from pipeline.data.samples import Sample

LABELS = {"+1": 0, "1": 0, "-1": 1, "-2": 1}
LISTS = {"Train": "train", "Dev": "val", "Test": "test"}
KINDS = {"1": "live", "2": "print1", "3": "print2", "4": "replay1", "5": "replay2"}
NAME = re.compile(r"(?P<phone>[1-6])_(?P<session>[1-3])_(?P<user>\d{2})_(?P<file>[1-5])")
FOLDED = (3, 4)  # protocols with six folds
SOURCE_KINDS = {"attack_type": "attack_type", "phone": "sensor", "session": "site"}
SIDE, ABOVE = 2.5, 0.875  # of the face's square, and of what lies above the eyes: times their distance


def read(
    root: Path,
    *,
    protocol: Literal[1, 2, 3, 4] = 1,
    fold: Annotated[int, Field(ge=1, le=6)] | None = None,
    frames: Annotated[int, Field(ge=1, le=100)] = 5,
    source: Literal["attack_type", "phone", "session"] = "attack_type",
) -> list[Sample]:
    """`frames` frames of every video that the lists of one protocol name; protocols 3 and 4 need a `fold`.

    A source is the kind of attack (`live` for real faces), the phone or the session: what a protocol holds
    out. The region of a frame is a square around the face, from its eyes; blank where they are not told.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS, E_LABEL_RULE (label against
    name), E_ENUM (name of a video), E_JOIN (two videos of one name), and the codes of `listing.read_table`.
    Samples of damaged videos carry E_DECODE.
    """
    if (fold is None) == (protocol in FOLDED):
        raise UserError(
            f"oulu_npu: protocol {protocol} {'needs a' if fold is None else 'has no'} fold (1 to 6)"
        )
    folder = f"Protocol_{protocol}"
    names = {f"{word}.txt" if fold is None else f"{word}_{fold}.txt": split for word, split in LISTS.items()}
    root = existing_root(root, f"**/{folder}/{next(iter(names))}")
    listing = Listing(root)
    films = _index_films(listing)
    place = min(root.glob(f"**/{folder}"))
    samples = []
    for name, split in names.items():
        for row in read_table(place / name, names=["label", "video"]):
            sample = _read_row(listing, row, split, source)
            film = films.get(sample.native_id) if sample else None
            if sample is not None and film is None:
                missing_film(listing, row.cells["video"], row.where)
            elif sample is not None and film is not None:
                samples += take_frames(listing, sample, film, frames, _find_faces(listing, film))
    return listing.finish(samples)


def _index_films(listing: Listing) -> dict[str, Path]:
    films: dict[str, Path] = {}
    for film in find_films(listing.root):
        name = name_of(film).replace("-", "_")
        if NAME.fullmatch(name) and name in films:
            both = " and ".join(each.relative_to(listing.root).as_posix() for each in (films[name], film))
            listing.add("E_JOIN", name, f"{both} have one name; keep one of them below the root")
        films.setdefault(name, film)
    return films


def _read_row(listing: Listing, row: TableRow, split: str, source: str) -> Sample | None:
    """The sample of a video, without frames; None, a problem noted, if label or name say nothing."""
    name = row.cells["video"].replace("-", "_")
    label = listing.word(LABELS, row.cells["label"].replace(" ", ""), row.where)
    facts = NAME.fullmatch(name)
    if facts is None:
        expected = "expected <phone 1-6>_<session 1-3>_<user, two digits>_<file 1-5>"
        listing.add("E_ENUM", row.where, f"video {row.cells['video'][:40]!r}: {expected}")
        return None
    kind = KINDS[facts["file"]]
    if label is None:
        return None
    if (label == 0) != (kind == "live"):
        listing.add("E_LABEL_RULE", row.where, f"{name} is {kind} by its name, the list says otherwise")
        return None
    return Sample(
        native_id=name,
        image_path=listing.root,
        label=label,
        class_name=kind,
        source=kind if source == "attack_type" else f"{source}_{facts[source]}",
        source_kind=SOURCE_KINDS[source],
        modality="face",
        subject_id=f"oulu_npu:{facts['user']}",
        group_id=f"oulu_npu:{name}",
        native_split=split,
        where=row.where,
    )


def _find_faces(listing: Listing, film: Path) -> Callable[[int], str]:
    """The region of each frame of a film."""
    eyes = read_numbers(listing, film.with_name(f"{name_of(film)}.txt"))
    return lambda number: face_square(*eyes[number]) if any(eyes.get(number, ())) else ""


def face_square(x0: float, y0: float, x1: float, y1: float) -> str:
    """A square 2.5 times as wide as the eyes are apart, which lie at 35 % of its height; px.

    Eyes in the wrong order, or in one place, give no area, which is refused where it is used.

    >>> face_square(40, 50, 80, 50)
    '10,15,110,115'
    """
    apart = copysign(hypot(x1 - x0, y1 - y0), x1 - x0)
    left, top = (x0 + x1 - SIDE * apart) / 2, (y0 + y1) / 2 - ABOVE * apart
    return as_region(left, top, left + SIDE * apart, top + SIDE * apart)
