"""Kinds of human maps that the setting `maps` of image_table can name, one file each.

A file has `NEEDED` and `ALLOWED`, the names of its settings beside `kind`, and

    def read(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None

which appends to the samples what people marked on them, one annotation per annotator. A wrong setting raises
UserError; what is wrong with the files is noted in the listing, or set as the problem of one sample. Which
image a key means is for `matching` to say, so that all kinds read keys alike. Every kind may have
`reference: [width, height]`, the size in px of the image that positions and map files refer to, where that
is not the image as stored.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from pipeline.common.errors import UserError, nearest
from pipeline.data.listing import Listing
from pipeline.data.marks import (
    boxes,
    coco,
    cvat,
    dicom_seg,
    drawn,
    fixations,
    label_studio,
    labelme,
    nifti,
    pasted,
    via,
)
from pipeline.data.marks.matching import Marked

COMMON = ("reference",)  # settings that every kind has
LISTS = ("corners", "keep", "reference")  # settings that are lists


class MarkKind(NamedTuple):
    """Who reads a kind of maps, and its settings: those needed, and those allowed beyond them."""

    read: Callable[[Listing, Marked, dict[str, Any]], None]
    needed: tuple[str, ...]
    allowed: tuple[str, ...]


KINDS = {
    "coco": MarkKind(coco.read, coco.NEEDED, coco.ALLOWED),
    "cvat": MarkKind(cvat.read, cvat.NEEDED, cvat.ALLOWED),
    "dicom_seg": MarkKind(dicom_seg.read, dicom_seg.NEEDED, dicom_seg.ALLOWED),
    "fixations": MarkKind(fixations.read, fixations.NEEDED, fixations.ALLOWED),
    "label_studio": MarkKind(label_studio.read, label_studio.NEEDED, label_studio.ALLOWED),
    "labelme": MarkKind(labelme.read, labelme.NEEDED, labelme.ALLOWED),
    "nifti": MarkKind(nifti.read, nifti.NEEDED, nifti.ALLOWED),
    "via": MarkKind(via.read, via.NEEDED, via.ALLOWED),
    "drawn": MarkKind(drawn.read, drawn.NEEDED, drawn.ALLOWED),
    "pasted": MarkKind(pasted.read, pasted.NEEDED, pasted.ALLOWED),
    "xywh": MarkKind(boxes.read, boxes.NEEDED, boxes.ALLOWED),
    "xyxy": MarkKind(boxes.read, boxes.NEEDED, boxes.ALLOWED),
}


def annotate(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    """Give each sample (with its row of the image table) the annotations that `maps` tells of.

    Raises UserError: settings that do not fit the kind, and what its reader raises.
    """
    kind = KINDS.get(maps.get("kind", ""))
    if kind is None:
        known = nearest(str(maps.get("kind")), KINDS)
        raise UserError(f"image_table: maps.kind {maps.get('kind')!r} is not known; {known}")
    if problems := _find_problems(kind, maps):
        raise UserError([f"image_table: {problem}" for problem in problems])
    kind.read(listing, samples, maps)
    if "reference" in maps:
        width, height = maps["reference"]
        for sample, _ in samples:
            sample.annotation_size = (width, height) if sample.annotations else None


def _find_problems(kind: MarkKind, maps: dict[str, Any]) -> list[str]:
    """Settings that are absent, unknown, or of another type."""
    which = f"maps of kind {maps['kind']}"
    problems = [f"{which} need {key!r}" for key in kind.needed if key not in maps]
    known = (*kind.needed, *kind.allowed, *COMMON)
    problems += [
        f"{which} have no {key!r}; {nearest(key, known)}" for key in sorted(set(maps) - {"kind", *known})
    ]
    problems += [
        f"maps.{key} must be {'no list' if isinstance(value, list) else 'a list'}"
        for key, value in maps.items()
        if isinstance(value, list) != (key in LISTS)
    ]
    size = maps.get("reference", [1, 1])
    if not (len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)):
        problems.append(f"maps.reference must be [width, height] in px, got {size!r}")
    return problems
