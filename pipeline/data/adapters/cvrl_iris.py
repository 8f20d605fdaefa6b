"""Iris presentation attacks in the CVRL list format (docs/formats.md).

    <lists>                     headerless `split,label,path`, one or more files
    <path>                      grey images of one size; one leading slash in the list is dropped
    <maps>/<same stem>.png      grey maps of where people saw the decision, for some images

The published lists name neither source nor subject nor type of attack: they are taken from the listed path
by regular expressions with the groups `source`, `subject` and `type`. By default the source is the image's
folder and the subject what precedes the last underscore of its name, without the eye (`L`, `R`). A path that
does not match has an unknown subject, and its class as source.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.data.adapters._lists import read_lists
from pipeline.data.listing import Listing, existing_root, named, pattern, slug
from pipeline.data.samples import Sample

LABELS = {
    **dict.fromkeys(("live", "real", "bonafide", "bona fide", "notcl", "0"), 0),
    **dict.fromkeys(("spoof", "attack", "fake", "tcl", "1"), 1),
}
ATTACK_TYPES = {  # published words as slugs -> canonical
    "artificial": "artificial",
    "contact_print": "contact_print",
    "contacts": "textured_contact",
    "contacts_print": "contact_print",
    "disease": "diseased",
    "diseased": "diseased",
    "doll": "doll",
    "electronic_display": "electronic_display",
    "glass_prosthesis": "glass_prosthesis",
    "high_quality": "textured_high_quality",
    "morph": "morph",
    "pixelated": "textured_pixelated",
    "post_mortem": "postmortem",
    "postmortem": "postmortem",
    "print": "print",
    "printout": "print",
    "synthetic": "synthetic",
    "textured_contact": "textured_contact",
    "textured_high_quality": "textured_high_quality",
    "textured_pixelated": "textured_pixelated",
}


def read(
    root: Path,
    *,
    lists: Annotated[list[str], Field(min_length=1)] = ["*.csv"],  # noqa: B006  read as a literal, never changed
    maps: str | None = "heatmaps",
    annotators: Annotated[int, Field(ge=1)] = 1,
    size: Annotated[list[int], Field(min_length=2, max_length=2)] | None = [640, 480],  # noqa: B006
    source_pattern: str = r"(?:^|/)(?P<source>[^/]+)/[^/]+$",
    subject_pattern: str = r"(?:^|/)(?P<subject>[^/]+?)[LR]?_[^/_]+$",
    type_pattern: str | None = None,
    source_kind: Literal["attack_type", "sensor", "site"] = "attack_type",
) -> list[Sample]:
    """The samples of all lists (paths or glob patterns below `root`).

    `maps` is the maps' folder below `root`, or null; each map merges `annotators` people. Every image must be
    grey and of `size` (width, height in px); null: any size, grey or colour. Without `type_pattern` an
    attack's type is its source where that is a known type, else `attack`.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS (label), E_ENUM (split, type),
    E_JOIN and the codes of `listing.read_table`.
    """
    root = existing_root(root, lists[0])
    listing = Listing(root)
    sources, subjects = pattern("source_pattern", source_pattern), pattern("subject_pattern", subject_pattern)
    types = pattern("type_pattern", type_pattern) if type_pattern else None
    samples = []
    for line in read_lists(listing, lists, LABELS, images="", maps=maps, annotators=annotators):
        sample, source = line.sample, slug(named(sources, "source", line.listed))
        sample.class_name = _find_class(listing, sample, source, line.listed, types)
        sample.source, sample.source_kind = source or sample.class_name, source_kind
        subject = named(subjects, "subject", line.listed)
        sample.subject_id = f"cvrl_iris:{subject}" if subject else ""
        sample.modality = "iris_nir"
        if size is not None:
            sample.size, sample.photometric = (size[0], size[1]), "L"
        samples.append(sample)
    return listing.finish(samples)


def _find_class(
    listing: Listing, sample: Sample, source: str, listed: str, types: re.Pattern[str] | None
) -> str:
    """`live`, or the type of an attack; an unknown type in the path is noted in the listing."""
    if sample.label == 0:
        return "live"
    if types is None:
        return ATTACK_TYPES.get(source, "attack")
    native = slug(named(types, "type", listed))
    return listing.word(ATTACK_TYPES, native, sample.where, "E_ENUM") or "attack"
