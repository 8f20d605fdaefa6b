"""Chest X-rays with and without tuberculosis, with boxes: TBX11K.

    annotations/json/TBX11K_train.json, TBX11K_val.json     COCO: images, annotations, categories
    imgs/{health,sick,tb}/*.png                             512x512; `file_name` of the lists starts here

Folders, names of lists and categories were read in public code. The folder is the class: tuberculosis
(`tb`), another disease (`sick`), neither (`health`). Boxes tell active from obsolete (latent) tuberculosis;
of an image in `tb` without any box nobody knows which it is, so it is left out and counted (W_UNLABELLED):
tb1199.png is the one that is known. The test images have no labels, those in `extra` come from other
collections (from memory): neither is read. Patients and hospitals are not published.
"""

from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from pipeline.data.adapters._chest import film, set_marks
from pipeline.data.listing import SHOWN, Listing, existing_root, read_json
from pipeline.data.problems import Problem, refuse
from pipeline.data.samples import Boxes, Sample

MARK = "annotations/json/TBX11K_*.json"
LISTS = {"train": "TBX11K_train.json", "val": "TBX11K_val.json"}
FOLDERS = {"health": "normal", "sick": "sick_without_tb", "tb": "tb"}
CATEGORIES = {
    "ActiveTuberculosis": "active_tb",
    "ObsoletePulmonaryTuberculosis": "latent_tb",
    "PulmonaryTuberculosis": "tb",
}
KINDS = {name.casefold(): kind for name, kind in CATEGORIES.items()}


def read(
    root: Path,
    *,
    sets: list[Literal["train", "val"]] = ["train", "val"],  # noqa: B006  read as a literal, never changed
    negatives: list[Literal["health", "sick"]] = ["health", "sick"],  # noqa: B006
) -> list[Sample]:
    """One sample per image of the lists, label 1 for tuberculosis, with the boxes of one annotator.

    `negatives` are the folders of label 0 that are read.

    Raises UserError: E_LAYOUT, E_IMAGE_MISSING, E_PATH_ESCAPE, E_LABEL_ALIAS (folder or category),
    E_ROW_SHAPE (no COCO), E_JOIN (a box on an unknown image). Some samples carry E_BOX or E_LABEL_CONFLICT.
    """
    root = existing_root(root, "annotations/json")
    listing = Listing(root)
    samples = []
    for part in sets:
        images, boxes, names = _read_list(root / "annotations/json" / LISTS[part])
        unknown = boxes.keys() - {image["id"] for image in images}
        if unknown:
            message = f"{len(unknown)} images with boxes are not among the images; mend the list"
            listing.add("E_JOIN", LISTS[part], message)
        for image in images:
            sample = _read_image(listing, image, boxes.get(image["id"], []), names, negatives, part)
            if sample is not None:
                samples.append(sample)
    return listing.finish(samples)


def _read_list(path: Path) -> tuple[list[dict[str, Any]], dict[int, list[dict[str, Any]]], dict[int, str]]:
    """Images, boxes by id of their image, and names of categories by id; E_ROW_SHAPE if it is no COCO."""
    content = read_json(path)
    parts = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id", "bbox"),
             "categories": ("id", "name")}  # fmt: skip
    for part, keys in parts.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(_has_keys(entry, keys) for entry in entries):
            message = f"expected a list {part!r} of entries with {', '.join(keys)}, ids being whole numbers"
            refuse([Problem("E_ROW_SHAPE", path.name, message)])
    boxes: dict[int, list[dict[str, Any]]] = {}
    for entry in content["annotations"]:
        boxes.setdefault(entry["image_id"], []).append(entry)
    return content["images"], boxes, {entry["id"]: str(entry["name"]) for entry in content["categories"]}


def _has_keys(entry: Any, keys: tuple[str, ...]) -> bool:
    ids = [key for key in keys if key.endswith("id")]
    return isinstance(entry, dict) and set(keys) <= set(entry) and all(type(entry[key]) is int for key in ids)


def _read_image(
    listing: Listing,
    image: dict[str, Any],
    boxes: list[dict[str, Any]],
    names: dict[int, str],
    negatives: list[Literal["health", "sick"]],
    part: str,
) -> Sample | None:
    """One image with its boxes; None if it is not wanted, left out, or something is wrong with it."""
    listed = str(image["file_name"])
    where = f"{LISTS[part]} {listed[:SHOWN]}"
    folder = PurePosixPath(listed).parts[0] if listed else ""
    path = listing.file(listed, where, folder="imgs")
    told = listing.word(FOLDERS, folder, where)
    kinds = {listing.word(KINDS, names.get(box["category_id"], ""), where) for box in boxes}
    if path is None or told is None or None in kinds or folder not in ("tb", *negatives):
        return None
    if folder == "tb" and not boxes:
        listing.add("W_UNLABELLED", where, "image in the folder tb without a box, left out")
        return None
    kind = "_and_".join(sorted(filter(None, kinds))) if folder == "tb" else told
    verdict = (int(folder == "tb"), kind)
    sample = film(f"{folder}/{path.stem}", path, where, "tbx11k", verdict, native_split=part)
    try:
        corners = np.array([box["bbox"] for box in boxes], dtype=float).reshape(-1, 4)
    except (TypeError, ValueError):
        sample.problem = Problem("E_BOX", where, "expected four numbers x, y, width, height in each bbox")
        return sample
    corners[:, 2:] += corners[:, :2]
    set_marks(sample, [Boxes(corners)] if boxes else [])
    return sample
