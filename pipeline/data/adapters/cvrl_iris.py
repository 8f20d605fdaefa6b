"""Iris presentation attacks in the CVRL list format (`formats.md` section 2.1).

    <lists>                     headerless `split,label,path`, one or more files
    <path>                      640x480 grey images; one leading slash in the list is dropped
    <maps>/<same stem>.png      grey maps of where people saw the decision, for some images

The published lists name neither source nor subject nor type of attack: they are taken from the listed path
by regular expressions with the groups `source`, `subject` and `type`. By default the source is the image's
folder and the subject what precedes the last underscore of its name, without the eye (`L`, `R`). A path that
does not match has an unknown subject, and its class as source.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.data import listing as tables
from pipeline.data.adapters import _lists
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
    source_pattern: str = r"(?:^|/)(?P<source>[^/]+)/[^/]+$",
    subject_pattern: str = r"(?:^|/)(?P<subject>[^/]+?)[LR]?_[^/_]+$",
    type_pattern: str | None = None,
    source_kind: Literal["attack_type", "sensor", "site"] = "attack_type",
) -> list[Sample]:
    """The samples of all lists (paths or glob patterns below `root`).

    `maps` is the maps' folder below `root`, or null; each map merges `annotators` people. Without
    `type_pattern` an attack's type is its source where that is a known type, else `attack`.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS (label), E_ENUM (split, type),
    E_JOIN and the codes of `tables.read`.
    """
    root = tables.existing_root(root, lists[0])
    listing = tables.Listing(root)
    sources = tables.pattern("source_pattern", source_pattern)
    subjects = tables.pattern("subject_pattern", subject_pattern)
    types = tables.pattern("type_pattern", type_pattern or source_pattern)
    samples = []
    for entry in _lists.read(listing, lists, LABELS, images="", maps=maps):
        source = tables.slug(tables.named(sources, "source", entry.listed))
        subject = tables.named(subjects, "subject", entry.listed)
        class_name = "live"
        if entry.label == 1 and type_pattern is None:
            class_name = ATTACK_TYPES.get(source, "attack")
        elif entry.label == 1:
            native = tables.slug(tables.named(types, "type", entry.listed))
            class_name = listing.word(ATTACK_TYPES, native, entry.where, "E_ENUM") or "attack"
        samples.append(
            entry.sample(
                annotators,
                class_name=class_name,
                source=source or class_name,
                source_kind=source_kind,
                modality="iris_nir",
                subject_id=f"cvrl_iris:{subject}" if subject else "",
            )
        )
    return listing.finish(samples)
