"""Mask files beside their images, where an all-black mask means that nothing is marked."""

from pathlib import Path

from pipeline.data.listing import Listing
from pipeline.data.mask_file import marks_nothing
from pipeline.data.problems import Problem, UnusableImage
from pipeline.data.samples import Drawn, Sample


def add_mask(sample: Sample, mask: Path) -> None:
    """Give an image its mask, if any pixel of it is marked.

    A mask that cannot be read (E_DECODE) or that marks an image of label 0 (E_LABEL_CONFLICT) sets it aside.
    """
    try:
        marked = not marks_nothing(mask)
    except UnusableImage as error:
        sample.problem = error.problem
        return
    if marked:
        sample.annotations = [Drawn(mask)]
    if marked and sample.label == 0:
        message = f"{mask.name} marks a finding, but the label is 0; correct the wrong one or drop the image"
        sample.problem = Problem("E_LABEL_CONFLICT", sample.where, message)


def image_names(listing: Listing, folder: str) -> list[str]:
    """Paths of the PNG files of a folder below the root, sorted; none if it does not exist."""
    place = listing.root / folder
    names = (path.name for path in place.iterdir() if path.suffix.lower() == ".png") if place.is_dir() else ()
    return sorted(f"{folder}/{name}" for name in names)
