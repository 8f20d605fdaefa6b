"""Chest X-rays with COVID-19, with other pneumonias and without, and masks of the infection: COVID-QU-Ex.

    Infection Segmentation Data/Infection Segmentation Data/{Train,Val,Test}/{COVID-19,Non-COVID,Normal}/
        images/*.png    infection masks/*.png    lung masks/*.png
    Lung Segmentation Data/Lung Segmentation Data/{Train,Val,Test}/{COVID-19,Non-COVID,Normal}/
        images/*.png    lung masks/*.png

Folders, spelling and numbers were read in code and documents of people who use it; that masks have the
names and sizes of their images too. Only COVID-19 is outlined: the infection masks of Normal are all black
because there is nothing, those of Non-COVID because nobody looked, and both mean that nothing is marked.
Lung masks show an organ, not a finding, and are never used. Images come from several public collections and
no file says from which, so patients and sites are not known: a model can learn the collection, and other
data sets may hold the same films. That masks are grey with 8 bits is not known for sure.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline.data.adapters._chest import film
from pipeline.data.adapters._masks import add_mask, image_names
from pipeline.data.listing import Listing, existing_root, slug
from pipeline.data.problems import Problem, refuse
from pipeline.data.samples import Sample

SPLITS = {"Train": "train", "Val": "val", "Test": "test"}
CLASSES = ("COVID-19", "Non-COVID", "Normal")


def read(
    root: Path,
    *,
    part: Literal["infection", "lung"] = "infection",
    abnormal: list[Literal["COVID-19", "Non-COVID"]] = ["COVID-19", "Non-COVID"],  # noqa: B006  a literal
) -> list[Sample]:
    """One sample per image; the folders of `abnormal` are label 1.

    `part` is the smaller set with masks of infections, or the whole, which has none.

    Raises UserError: E_LAYOUT, E_PATH_ESCAPE, E_ANN_MISSING (COVID-19 without a mask), E_JOIN (a mask without
    an image). Some samples carry E_DECODE (mask) or E_LABEL_CONFLICT.
    """
    name = f"{part.capitalize()} Segmentation Data"
    root = existing_root(root, name)
    listing = Listing(root)
    folder = f"{name}/{name}" if (root / name / name).is_dir() else name
    missing = [split for split in SPLITS if not (root / folder / split).is_dir()]
    refuse([Problem("E_LAYOUT", str(root / folder), f"expected a folder {split}") for split in missing])
    samples = []
    for split in SPLITS:
        for told in CLASSES:
            place = f"{folder}/{split}/{told}"
            found = _read_folder(listing, place, told, SPLITS[split], int(told in abnormal))
            if part == "infection":
                _add_masks(listing, found, place, told)
            samples += found
    return listing.finish(samples)


def _read_folder(listing: Listing, place: str, told: str, split: str, label: int) -> list[Sample]:
    """The images of one class and split; the ids keep both, since files are numbered anew in each."""
    samples = []
    for listed in image_names(listing, f"{place}/images"):
        image = listing.file(listed, listed)
        if image is not None:
            native_id = "/".join((*PurePosixPath(place).parts[-2:], image.stem))
            sample = film(native_id, image, listed, "covid_qu_ex", (label, slug(told)), native_split=split)
            samples.append(sample)
    return samples


def _add_masks(listing: Listing, samples: list[Sample], place: str, told: str) -> None:
    """Masks of one class and split; only COVID-19 must have them."""
    folder = f"{place}/infection masks"
    masks = {PurePosixPath(mask).name for mask in image_names(listing, folder)}
    for sample in samples:
        if sample.image_path.name in masks or told == "COVID-19":
            mask = listing.file(f"{folder}/{sample.image_path.name}", sample.where, "E_ANN_MISSING")
            if mask is not None:
                add_mask(sample, mask)
    for name in sorted(
        masks - {PurePosixPath(image).name for image in image_names(listing, f"{place}/images")}
    ):
        listing.add(
            "E_JOIN", f"{folder}/{name}", "a mask without an image of its name; add it or drop the mask"
        )
