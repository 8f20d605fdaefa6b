"""Synthetic faces in the CYBORG layout (docs/formats.md).

    csvs/original.csv                   headerless `split,label,path`; its `test` is the validation set
    csvs/gan_test_sets/<name>.csv       further test sets
    Data/<path>                         aligned faces, PNG and JPEG mixed; the path starts with a slash
    Data/train/heatmaps/<stem>.png      mean of several people's correct annotations, training images only

Source and subject come from the path: by the published file names where they say it, else the image's folder
and what precedes the last underscore of its name; where there is no folder, the class is the source. How many
people a heat map merges is not published. A face of FFHQ is one group with that of its number elsewhere.
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.data.adapters._lists import read_lists
from pipeline.data.listing import Listing, existing_root, named, pattern, slug
from pipeline.data.samples import Sample

MARK = "csvs/original.csv"
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

SOURCES = {  # published words as slugs -> canonical
    "celeba_hq_real": "celeba_hq",
    "stargan": "starganv2",
    "stylegan_ada": "stylegan2_ada",
}


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
    of `listing.read_table`.
    """
    root = existing_root(root, lists[0])
    listing = Listing(root)
    sources = pattern("source_pattern", source_pattern) if source_pattern else None
    subjects = pattern("subject_pattern", subject_pattern) if subject_pattern else None
    samples = []
    for line in read_lists(listing, lists, LABELS, images=images, maps=maps, annotators=annotators):
        sample = line.sample
        source, subject = published(line.listed)
        source = slug(named(sources, "source", line.listed) if sources else source)
        subject = named(subjects, "subject", line.listed) if subjects else subject
        sample.class_name = "synthetic" if sample.label else "authentic"
        sample.source, sample.source_kind = SOURCES.get(source, source) or sample.class_name, "generator"
        sample.subject_id = f"{'frgc' if source == 'frgc' else 'cyborg'}:{subject}" if subject else ""
        sample.group_id = f"ffhq:{sample.image_path.stem}" if sample.source == "ffhq" else ""
        sample.modality = "face"
        if sample.native_split == "test" and line.list_name in VALIDATION_LISTS:
            sample.native_split = "val"
        samples.append(sample)
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
            found = named(expression, "source", path), named(expression, "subject", path)
            return source or found[0], found[1]
    return "", ""
