"""Synthetic faces in the CYBORG layout (`formats.md` section 5.1).

    csvs/original.csv                   headerless `split,label,path`; its `test` is the validation set
    csvs/gan_test_sets/<name>.csv       further test sets
    Data/<path>                         aligned faces, PNG and JPEG mixed; the path starts with a slash
    Data/train/heatmaps/<stem>.png      mean of several people's correct annotations, training images only

Source and subject come from the path: by the published file names where they say it, else the image's folder
and what precedes the last underscore of its name; where there is no folder, the class is the source. How many
people a heat map merges is not published.
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.data import listing as tables
from pipeline.data.adapters import _lists
from pipeline.data.samples import Sample

LABELS = {"real": 0, "authentic": 0, "synthetic": 1, "fake": 1}
VALIDATION_LISTS = ("original", "large_dataset_7x")  # here `test` chose the epoch
PUBLISHED = (  # (what a path looks like, its source if the path does not spell it); the first match counts
    (re.compile(r"(?:^|/)(?P<source>[^/]+)_aligned/"), ""),
    (re.compile(r"(?:^|/)synth_face_\d+"), "stylegan2"),
    (re.compile(r"(?:^|/)(?:MW|FW|MA|FA)\d+_\d+d\d+"), "srefi"),
    (re.compile(r"(?:^|/)(?P<subject>\d{5})d\d+"), "frgc"),
    (re.compile(r"(?:^|/)p1_\d+_real"), "frgc"),
    (re.compile(r"(?:^|/)p1_\d+_fake"), "srefi_or_stylegan2"),
    (re.compile(r"(?:^|/)(?P<source>[^/]+)/(?P<subject>[^/]+)_[^/_]+$"), ""),
    (re.compile(r"(?:^|/)(?P<source>[^/]+)/[^/]+$"), ""),
)

SOURCES = {"stargan": "starganv2", "stylegan_ada": "stylegan2_ada"}  # published words as slugs -> canonical


def read(
    root: Path,
    *,
    lists: Annotated[list[str], Field(min_length=1)] = ["csvs/original.csv", "csvs/gan_test_sets/*.csv"],  # noqa: B006  a literal
    images: str = "Data",
    maps: str | None = "Data/train/heatmaps",
    annotators: Annotated[int, Field(ge=1)] = 1,
    source_pattern: str | None = None,
    subject_pattern: str | None = None,
) -> list[Sample]:
    """The samples of all lists (paths or glob patterns below `root`).

    `images` is the folder that listed paths start from, `maps` that of the heat maps or null, `annotators`
    the people that each heat map merges. The patterns, with groups `source` and `subject`, replace the
    published names.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS, E_ENUM, E_JOIN and the codes
    of `tables.read`.
    """
    root = tables.existing_root(root, lists[0])
    listing = tables.Listing(root)
    sources = tables.pattern("source_pattern", source_pattern) if source_pattern else None
    subjects = tables.pattern("subject_pattern", subject_pattern) if subject_pattern else None
    samples = []
    for entry in _lists.read(listing, lists, LABELS, images=images, maps=maps):
        source, subject = published(entry.listed)
        source = tables.slug(tables.named(sources, "source", entry.listed) if sources else source)
        subject = tables.named(subjects, "subject", entry.listed) if subjects else subject
        class_name = "synthetic" if entry.label else "authentic"
        is_validation = entry.split == "test" and entry.list_name in VALIDATION_LISTS
        samples.append(
            entry.sample(
                annotators,
                class_name=class_name,
                source=SOURCES.get(source, source) or class_name,
                source_kind="generator",
                modality="face",
                subject_id=f"{'frgc' if source == 'frgc' else 'cyborg'}:{subject}" if subject else "",
                split="val" if is_validation else entry.split,
            )
        )
    return listing.finish(samples)


def published(path: str) -> tuple[str, str]:
    """Source and subject that a published path tells, blank where it does not.

    >>> published("/train/original_data/1_fake/p1_1_fake.png"), published("/val/0_real/02463d1254.jpg")
    (('srefi_or_stylegan2', ''), ('frgc', '02463'))
    >>> published("/gen_a/anna_3.png")
    ('gen_a', 'anna')
    """
    for expression, source in PUBLISHED:
        if expression.search(path):
            found = tables.named(expression, "source", path), tables.named(expression, "subject", path)
            return source or found[0], found[1]
    return "", ""
