"""Segments of DICOM Segmentation objects: the images are told by the SOP instances that the frames refer to.

    {kind: dicom_seg, file: segmentations/*.dcm}

A file is one annotator's; the label of a mark, for `keep`, is its segment's. Images that are no DICOM files
are found by their name where that is the UID. A cell of a fractional segment counts from a half on.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pydicom

from pipeline.common.errors import UserError
from pipeline.data import dicom
from pipeline.data.apart import call_apart
from pipeline.data.dicom_pixels import silenced
from pipeline.data.listing import Listing
from pipeline.data.marks import tool_files
from pipeline.data.marks.geometry import as_runs
from pipeline.data.marks.matching import Marked
from pipeline.data.marks.tool_files import MOST_PIXELS, Marking
from pipeline.data.mask_file import BUDGET
from pipeline.data.problems import UnusableImage
from pipeline.data.samples import Runs, Sample

NEEDED, ALLOWED = tool_files.NEEDED, tool_files.ALLOWED
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"  # SOP class
TYPES = ("BINARY", "FRACTIONAL")
Segments = dict[str, list[tuple[str, Runs]]]  # label and mask of each frame, by the UID of its image


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

    Read in an expendable process. Raises UserError (E_ANN_FILE): it is no Segmentation object, or does not
    say what its frames refer to.
    """
    try:
        found = call_apart(path, BUDGET["max_megabytes"], _read_file, path)
    except UnusableImage as error:
        raise tool_files.refused(path, error.problem.message) from None
    for uid, frames in found.items():
        shapes = [(label, partial(_keep, runs)) for label, runs in frames]
        yield Marking(images.get(uid, uid), path.name, path.as_posix(), None, shapes)


def _keep(runs: Runs) -> Runs:
    return runs


def _read_file(path: Path) -> Segments:
    """As `_read_frames`; texts of pydicom, which may quote what a file tells of a patient, are not shown."""
    with silenced():
        try:
            return _read_frames(pydicom.dcmread(path), path)
        except UserError:
            raise
        except Exception as error:
            message = f"no DICOM Segmentation that can be read ({type(error).__name__})"
            raise tool_files.refused(path, message) from None


def _read_frames(told: pydicom.Dataset, path: Path) -> Segments:
    if told.SOPClassUID != SEGMENTATION or told.SegmentationType not in TYPES:
        raise tool_files.refused(path, f"expected a Segmentation that is {' or '.join(TYPES)}")
    if told.Rows * told.Columns * int(told.NumberOfFrames) > MOST_PIXELS:
        message = f"{told.NumberOfFrames} frames of {told.Columns}x{told.Rows}, at most {MOST_PIXELS} px"
        raise tool_files.refused(path, message)
    labels = {int(each.SegmentNumber): str(each.SegmentLabel) for each in told.SegmentSequence}
    least = 1 if told.SegmentationType == "BINARY" else (int(told.MaximumFractionalValue) + 1) // 2
    pixels = told.pixel_array.reshape(-1, told.Rows, told.Columns)
    shared = told.SharedFunctionalGroupsSequence[0]  # what is the same for all frames may stand here
    found: Segments = {}
    for frame, group in zip(pixels, told.PerFrameFunctionalGroupsSequence, strict=True):
        identified = group if "SegmentIdentificationSequence" in group else shared
        number = int(identified.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        runs = as_runs(frame >= least)
        for uid in _sources(group) or _sources(shared) or _only_instance(told, path):
            found.setdefault(uid, []).append((labels[number], runs))
    return found


def _sources(group: pydicom.Dataset) -> list[str]:
    """The SOP instances that a frame was derived from."""
    derived = group.get("DerivationImageSequence") or []
    sources = [source for each in derived for source in each.get("SourceImageSequence") or []]
    return [str(source.ReferencedSOPInstanceUID) for source in sources]


def _only_instance(told: pydicom.Dataset, path: Path) -> list[str]:
    """The one SOP instance that the whole object refers to."""
    series = told.get("ReferencedSeriesSequence") or []
    instances = [each for one in series for each in one.get("ReferencedInstanceSequence") or []]
    if len(instances) != 1:
        message = f"frames name no source image, and the object refers to {len(instances)}"
        raise tool_files.refused(path, message)
    return [str(instances[0].ReferencedSOPInstanceUID)]


def _find_uid(sample: Sample) -> str:
    """The UID in the head of a sample's file; blank where it is no DICOM file."""
    try:
        if not dicom.is_dicom(sample.image_path):
            return ""
        header = dicom.read_header(sample.image_path, ["SOPInstanceUID"])
    except UnusableImage:
        return ""
    return str(header.get("SOPInstanceUID", ""))
