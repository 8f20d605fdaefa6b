"""Newer marks of some images in place of those that their adapter reads, whatever that adapter is.

The setting `annotations.replace` of a data set names the export of an annotation tool and its hash. Images of
which it says something have its marks, one annotation per person; all others keep theirs.
"""

from collections.abc import Sequence
from dataclasses import replace as changed
from pathlib import Path

from pipeline.common.data_settings import Replacement
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file
from pipeline.data.listing import Listing
from pipeline.data.marks import coco, cvat, label_studio, tool_files, via
from pipeline.data.problems import Problem
from pipeline.data.samples import Found, Sample

PARSERS = {"coco": coco.parse, "cvat": cvat.parse, "label_studio": label_studio.parse, "via": via.parse}


def replace(samples: Found, root: Path, setting: Replacement) -> None:
    """Give the samples that the file tells of its marks; what must be known of it is noted with them.

    Raises UserError: E_ANN_MISSING (no such file), E_ANN_FILE (not the file that was imported, or not of its
    tool), E_JOIN (it tells of none of the images).
    """
    path = Path(setting.file)
    if not path.is_file():
        message = "expected the imported annotations; restore the file or drop annotations.replace"
        raise UserError(str(Problem("E_ANN_MISSING", setting.file, message)))
    if sha256_file(path) != setting.sha256:
        raise tool_files.refused(path, "was changed since its import; import it again")
    found = marked_anew(samples, root, setting.kind, path)
    samples.noticed += found.noticed
    for sample, new in zip(samples, found, strict=True):
        if new.annotations or new.problem:
            sample.annotations, sample.annotation_size = new.annotations, new.annotation_size
            sample.annotators, sample.problem = None, sample.problem or new.problem


def marked_anew(samples: Sequence[Sample], root: Path, kind: str, path: Path) -> Found:
    """The samples with the marks of a file alone, in the same order; for errors see `replace`."""
    new = [
        changed(sample, annotations=[], annotation_size=None, annotators=None, problem=None)
        for sample in samples
    ]
    listing = Listing(root)
    tool_files.give(listing, [(sample, {}) for sample in new], PARSERS[kind](path), {"file": path.name})
    return listing.finish(new)
