"""Chest X-rays with COVID-19 and masks of the infection: QaTa-COV19, version 2.

    Train Set/Images/<name>.png     Train Set/Ground-truths/mask_<name>.png
    Test Set/Images/<name>.png      Test Set/Ground-truths/mask_<name>.png

Folders and names were read in code of people who use it (7,145 training and 2,113 test images). All images
are of COVID-19, so a second adapter has to bring normal ones: a model that then tells the data sets apart
has learnt nothing, so hold out sources of both labels. An all-black mask means that nothing is marked. The
same masks are part of COVID-QU-Ex. Patients are not published; that masks are grey with 8 bits is not known
for sure.
"""

from pathlib import Path, PurePosixPath

from pipeline.data.adapters._chest import film
from pipeline.data.adapters._masks import add_mask, image_names
from pipeline.data.listing import Listing, existing_root
from pipeline.data.samples import Sample

SPLITS = {"Train Set": "train", "Test Set": "test"}


def read(root: Path) -> list[Sample]:
    """One sample per image, label 1; the folder that is read holds `Train Set`.

    Raises UserError: E_LAYOUT, E_PATH_ESCAPE, E_ANN_MISSING, E_JOIN (a mask without an image). Some samples
    carry E_DECODE (mask).
    """
    root = existing_root(root, "Train Set/Images")
    listing = Listing(root)
    samples = []
    for folder, split in SPLITS.items():
        masks = {PurePosixPath(mask).name: mask for mask in image_names(listing, f"{folder}/Ground-truths")}
        for listed in image_names(listing, f"{folder}/Images"):
            image = listing.file(listed, listed)
            name = f"mask_{PurePosixPath(listed).name}"
            told = masks.pop(name, f"{folder}/Ground-truths/{name}")
            mask = listing.file(told, listed, "E_ANN_MISSING")
            if image is not None and mask is not None:
                native_id = f"{split}/{image.stem}"
                sample = film(native_id, image, listed, "qata_cov19", (1, "covid_19"), native_split=split)
                add_mask(sample, mask)
                samples.append(sample)
        for told in masks.values():
            listing.add("E_JOIN", told, "a mask without an image of its name; add it or drop the mask")
    return listing.finish(samples)
