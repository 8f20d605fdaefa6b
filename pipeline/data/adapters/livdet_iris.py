"""LivDet-Iris 2017: the lists of its four sites, each with a training, a known and an unknown test set.

    notre_dame   livdet-train.txt, livdet-test.txt, livdet-unknown_test.txt: `<stem> <0|1>`, no header; .tiff
    warsaw       train.txt, test.txt, unknown_test.txt: `<path>,<0|1>` below a header
    iiitd_wvu    trainset.csv, testset.csv (all of it unknown): `<row>,<path>,<0|1>` below a header
    clarkson     name the lists by the setting `lists`

1 is an attack. The unknown test sets hold other lenses, papers or sensors, so their sources end in
`_unknown`: hold those out. The later contests (2020, 2023, 2025) published no lists of this kind:
docs/layouts/iris.md.

File names, columns, separators and headers of the first three were read in third-party loaders; those of
Clarkson are not known. What the numbers in front of `d` in Notre Dame's names mean is from memory. No real
file was at hand.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from pipeline.common.errors import UserError
from pipeline.data.adapters.cvrl_iris import ATTACK_TYPES
from pipeline.data.listing import (
    Listing,
    TableRow,
    existing_root,
    identifier,
    named,
    pattern,
    read_table,
    slug,
)
from pipeline.data.problems import Problem
from pipeline.data.samples import Sample

LABELS = {"0": 0, "1": 1, "live": 0, "spoof": 1}
SPLITS = {"train": "train", "test": "test", "unknown_test": "test"}
PICTURES = (".tiff", ".tif", ".png", ".bmp", ".jpg", ".jpeg")


class LivdetSite(NamedTuple):
    """How one site wrote its lists, and what its attacks are where no pattern tells it."""

    lists: dict[str, str]
    delimiter: str
    header: bool
    columns: tuple[str, ...]
    attack: str
    subject: str


SITES = {
    "notre_dame": LivdetSite(
        {"train": "livdet-train.txt", "test": "livdet-test.txt", "unknown_test": "livdet-unknown_test.txt"},
        " ",
        False,
        ("path", "label"),
        "textured_contact",
        r"(?:^|/)(?P<subject>\d{5})d\d+",
    ),
    "warsaw": LivdetSite(
        {"train": "train.txt", "test": "test.txt", "unknown_test": "unknown_test.txt"},
        ",",
        True,
        ("path", "label"),
        "print",
        "",
    ),
    "iiitd_wvu": LivdetSite(
        {"train": "trainset.csv", "unknown_test": "testset.csv"},
        ",",
        True,
        ("row", "path", "label"),
        "attack",
        "",
    ),
    "clarkson": LivdetSite({}, ",", True, ("path", "label"), "attack", ""),
}


def read(
    root: Path,
    *,
    site: Literal["notre_dame", "warsaw", "iiitd_wvu", "clarkson"],
    lists: dict[Literal["train", "test", "unknown_test"], str] | None = None,
    images: str = "",
    size: Annotated[list[int], Field(min_length=2, max_length=2)] | None = [640, 480],  # noqa: B006  a literal
    subject_pattern: str | None = None,
    type_pattern: str | None = None,
) -> list[Sample]:
    """The samples of one site; `lists` (paths below the root) replaces the published names.

    `images` is the folder of the images. A path without extension is looked for by its name, in all folders
    below. Every image must be grey and of `size` (width, height in px); null: any. The patterns are
    searched in the listed path, with groups `subject` and `type` (a published word for the kind of attack).

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS, E_ENUM (type), E_JOIN (several
    images of one name) and the codes of `listing.read_table`.
    """
    told = SITES[site]
    names = {str(part): name for part, name in (lists or told.lists).items()}
    if not names:
        raise UserError(f"livdet_iris: the lists of {site} have no published names; give `lists`")
    root = existing_root(root, next(iter(names.values())))
    listing, stems = Listing(root), _index(root / images)
    subject = pattern("subject_pattern", told.subject if subject_pattern is None else subject_pattern)
    kinds = pattern("type_pattern", type_pattern) if type_pattern else None
    samples = []
    for part, name in names.items():
        for row in _read_rows(root / name, told):
            sample = _read_row(listing, row, images, stems)
            if sample is not None:
                kind = _find_kind(listing, sample, row.cells["path"], kinds, told.attack)
                person = named(subject, "subject", row.cells["path"])
                sample.class_name, sample.native_split = kind, SPLITS[part]
                sample.source = f"{site}_{kind}{'_unknown' if part == 'unknown_test' else ''}"
                sample.subject_id = f"{site}:{person}" if person else ""
                sample.size, sample.photometric = ((size[0], size[1]), "L") if size else (None, "")
                samples.append(sample)
    return listing.finish(samples)


def _index(folder: Path) -> dict[str, list[Path]]:
    """All pictures below a folder by their names without extension."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURES:
            found[path.stem].append(path)
    return found


def _read_rows(path: Path, site: LivdetSite) -> list[TableRow]:
    rows = read_table(path, names=list(site.columns), delimiter=site.delimiter)
    if site.header and rows and rows[0].cells["label"].casefold() in LABELS:
        message = "expected a header, which the first line is not; give the list as it was published"
        raise UserError(str(Problem("E_HEADER", rows[0].where, message)))
    return rows[1:] if site.header else rows


def _read_row(listing: Listing, row: TableRow, images: str, stems: dict[str, list[Path]]) -> Sample | None:
    """The sample of a row, still without class, source and split; None, a problem noted, if there is none."""
    listed, where = row.cells["path"], row.where
    label = listing.word(LABELS, row.cells["label"], where)
    if Path(listed).suffix.lower() not in PICTURES and len(found := stems.get(listed, [])) > 0:
        inside = [path.relative_to(listing.root).as_posix() for path in found]
        if len(inside) > 1:
            listing.add(
                "E_JOIN", where, f"{listed!r} is the name of {' and '.join(inside)}; keep one of them"
            )
        image = listing.file(inside[0], where)
    else:
        image = listing.file(listed, where, folder=images)
    if label is None or image is None:
        return None
    return Sample(
        native_id=identifier(re.sub(r"\.\w+$", "", listed.lstrip("/"))),
        image_path=image,
        label=label,
        class_name="",
        source="",
        source_kind="attack_type",
        modality="iris_nir",
        where=where,
    )


def _find_kind(
    listing: Listing, sample: Sample, path: str, kinds: re.Pattern[str] | None, attack: str
) -> str:
    if sample.label == 0:
        return "live"
    if kinds is None:
        return attack
    return listing.word(ATTACK_TYPES, slug(named(kinds, "type", path)), sample.where, "E_ENUM") or attack
