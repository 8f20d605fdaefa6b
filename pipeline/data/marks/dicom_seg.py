"""Segments of DICOM Segmentation objects: the images are told by the SOP instances that the frames refer to.

    {kind: dicom_seg, file: segmentations/*.dcm}

A file is one annotator's; the label of a mark, for `keep`, is its segment's. Images that are no DICOM files
are found by their name where that is the UID. A cell of a fractional segment counts from a half on.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from pipeline.data.listing import Listing
from pipeline.data.marks import tool_files
from pipeline.data.marks.geometry import as_runs
from pipeline.data.marks.matching import Marked
from pipeline.data.marks.tool_files import MOST_PIXELS, Marking
from pipeline.data.samples import Sample

NEEDED, ALLOWED = tool_files.NEEDED, tool_files.ALLOWED
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"  # SOP class
TYPES = ("BINARY", "FRACTIONAL")
BROKEN = (
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read(listing: Listing, samples: Marked, maps: dict[str, Any]) -> None:
    """Append one annotation per file to each sample; see `tool_files` for what is refused."""
    files = tool_files.find(listing, maps["file"])
    images = {}
    for sample, _ in samples:
        if uid := _find_uid(sample):
            images[uid] = sample.image_path.relative_to(listing.root).as_posix()
    tool_files.give(listing, samples, [found for path in files for found in parse(path, images)], maps)


def parse(path: Path, images: Mapping[str, str]) -> Iterator[Marking]:
    """What a file marks on each image that it refers to; `images` are their paths by UID.

    Raises UserError (E_ANN_FILE): it is no Segmentation object, or does not say what its frames refer to.
    """
    try:
        found = _read_frames(pydicom.dcmread(path))
    except (InvalidDicomError, *BROKEN) as error:
        message = f"no DICOM Segmentation that can be read: {' '.join(str(error).split())[:160]}"
        raise tool_files.refused(path, message) from None
    for uid, frames in found.items():
        shapes = [(label, partial(as_runs, frame)) for label, frame in frames]
        yield Marking(images.get(uid, uid), path.name, path.as_posix(), None, shapes)


def _read_frames(told: pydicom.Dataset) -> dict[str, list[tuple[str, np.ndarray]]]:
    """By the UID of the image: the label and mask (h, w) of each frame; ValueError says what is wrong."""
    if told.SOPClassUID != SEGMENTATION or told.SegmentationType not in TYPES:
        raise ValueError(f"expected a Segmentation that is {' or '.join(TYPES)}")
    if told.Rows * told.Columns * int(told.NumberOfFrames) > MOST_PIXELS:
        raise ValueError(
            f"{told.NumberOfFrames} frames of {told.Columns}x{told.Rows}, at most {MOST_PIXELS} px"
        )
    labels = {int(each.SegmentNumber): str(each.SegmentLabel) for each in told.SegmentSequence}
    least = 1 if told.SegmentationType == "BINARY" else (int(told.MaximumFractionalValue) + 1) // 2
    pixels = told.pixel_array.reshape(-1, told.Rows, told.Columns)
    shared = told.SharedFunctionalGroupsSequence[0]  # what is the same for all frames may stand here
    found: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for frame, group in zip(pixels, told.PerFrameFunctionalGroupsSequence, strict=True):
        identified = group if "SegmentIdentificationSequence" in group else shared
        number = int(identified.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        for uid in _sources(group) or _sources(shared) or _only_instance(told):
            found[uid].append((labels[number], frame >= least))
    return found


def _sources(group: pydicom.Dataset) -> list[str]:
    """The SOP instances that a frame was derived from."""
    derived = group.get("DerivationImageSequence") or []
    sources = [source for each in derived for source in each.get("SourceImageSequence") or []]
    return [str(source.ReferencedSOPInstanceUID) for source in sources]


def _only_instance(told: pydicom.Dataset) -> list[str]:
    """The one SOP instance that the whole object refers to."""
    series = told.get("ReferencedSeriesSequence") or []
    instances = [each for one in series for each in one.get("ReferencedInstanceSequence") or []]
    if len(instances) != 1:
        raise ValueError(f"frames name no source image, and the object refers to {len(instances)}")
    return [str(instances[0].ReferencedSOPInstanceUID)]


def _find_uid(sample: Sample) -> str:
    """The UID in the head of a sample's file; blank where it is no DICOM file."""
    try:
        head = pydicom.dcmread(sample.image_path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
        return str(head.SOPInstanceUID)
    except (InvalidDicomError, *BROKEN):
        return ""
