"""Brings a prepared store up to date, and does no more for it than what changed asks for.

Two keys stand in `store.json`. `decoding` covers what makes the arrays: the files, the adapters and their
settings, the size and crop, and the code of these; `all` covers split, protocol and audit as well. A store
is kept while its files are as they were sealed and `all` is the same; where only `decoding` is, its arrays
are taken over, be it from the store of another data set beside it, as folds are. Made anew, taken over or
kept: the bytes are the same. What an exception says counts for neither key, so a message in `quarantine.csv`
may be older than the code.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.common import catalogue
from pipeline.common.code import code_hash
from pipeline.common.data_settings import Dataset, Prepare
from pipeline.common.errors import UserError
from pipeline.common.files import building, canonical_json, sha256_file, sha256_text, write_json, write_text
from pipeline.common.tree import hash_tree
from pipeline.data import agreement, auditing, intake, manifest, protocol, replacing, splits, store
from pipeline.data.codes import CODES
from pipeline.data.decoding import Recipe
from pipeline.data.duplicates import near_duplicates
from pipeline.data.listing import Listed
from pipeline.data.problems import Finding, Problem, counted, refuse

ADAPTERS = "data/adapters"


class Keys(NamedTuple):
    """What a store was made of, as two hashes; see the module's head."""

    decoding: str
    all: str


def prepare_store(folder: Path, name: str, dataset: Dataset, settings: Prepare, workers: int) -> None:
    """Make `folder` the prepared data set `name`, or leave it if it is that already.

    Raises UserError with every problem of a kind; the old folder then stays as it was.
    """
    root = Path(dataset.root)
    if not root.is_dir() or not any(root.iterdir()):
        came = "the folder is empty" if root.is_dir() else "there is no such folder"
        message = f"expected the data set here, but {came}; put or link it there"
        raise UserError(str(Problem("E_LAYOUT", str(root), message)))
    files = hash_tree(root)
    keys = find_keys(name, dataset, settings, files)
    old = (store.intact(folder) or {}).get("keys", {})
    if old == keys._asdict():
        return
    same = folder if old.get("decoding") == keys.decoding else _find_sibling(folder, keys.decoding)
    with building(folder) as new:
        taken = _take_over(same, new) if same else _decode(new, dataset, settings, files, workers)
        arrange(new, taken, files, dataset, settings)
        store.seal(new, {**_describe(name, dataset, settings, len(taken.frame)), "keys": keys._asdict()})


def find_keys(name: str, dataset: Dataset, settings: Prepare, files: Mapping[str, str]) -> Keys:
    """The keys of a data set with these settings and these files (hashes by path below its root)."""
    entries = [catalogue.entry(ADAPTERS, choice["name"]) for choice in dataset.adapters]
    reading = [f"pipeline.data.intake:{step}" for step in ("list_samples", "hash_images", "decode_into")]
    adapters = [[choice.get("root", "."), catalogue.filled(ADAPTERS, choice)] for choice in dataset.adapters]
    decoding = {
        "root": dataset.root,  # stands in the places that the quarantine tells
        "adapters": adapters,
        "phantom": dataset.phantom,
        "recipe": make_recipe(dataset, settings)._asdict(),
        "files": files,
        "code": code_hash(*reading, *entries),
    }
    if dataset.annotations.replace:
        decoding["replaced"] = dataset.annotations.replace.model_dump()
        decoding["replacing"] = code_hash("pipeline.data.replacing:replace")
    decoding_key = sha256_text(canonical_json(decoding))
    whole = {
        "decoding": decoding_key,
        "store": _describe(name, dataset, settings, 0),
        "split": dataset.split.model_dump(),
        "protocol": dataset.protocol.model_dump(),
        "prepare": settings.model_dump(),
        "code": code_hash("pipeline.data.preparation:arrange"),
    }
    return Keys(decoding_key, sha256_text(canonical_json(whole)))


def make_recipe(dataset: Dataset, settings: Prepare) -> Recipe:
    """How the images of a data set become squares."""
    return Recipe(
        image_size=settings.image_size,
        channels=dataset.channels,
        crop=dataset.crop,
        granularity=dataset.annotations.granularity,
        blur=dataset.annotations.blur,
        max_megapixels=settings.max_megapixels,
        max_megabytes=settings.max_megabytes,
    )


def _describe(name: str, dataset: Dataset, settings: Prepare, n: int) -> dict[str, Any]:
    """What `store.json` says of a store of `n` rows, besides its keys and hashes."""
    recipe = make_recipe(dataset, settings)._asdict()
    shown = ("image_size", "channels", "crop", "max_megapixels", "max_megabytes")
    return {
        "dataset": name,
        "title": dataset.title,
        "notice": dataset.notice,
        "phantom": dataset.phantom,
        "task": dataset.task,
        "n": n,
        "preprocessing": {setting: recipe[setting] for setting in shown},
    }


def _decode(
    folder: Path, dataset: Dataset, settings: Prepare, files: Mapping[str, str], workers: int
) -> intake.Taken:
    """Fill the arrays from the data set's files."""
    root = Path(dataset.root)
    samples = list_samples(dataset)
    if dataset.annotations.replace:
        replacing.replace(samples, root, dataset.annotations.replace)
    listed = manifest.table(manifest.listed(sample, root) for sample in samples)
    open_set = protocol.build(dataset.protocol.model_dump(), dataset.split.by)
    refuse(protocol.source_problems(listed, open_set))  # before hours of decoding
    hashes = intake.hash_images(samples, root, files)
    return intake.decode_into(folder, root, samples, hashes, make_recipe(dataset, settings), workers)


def list_samples(dataset: Dataset) -> Listed:
    """What the adapters of a data set find, by sample_id; UserError with every problem of the lists."""
    root = Path(dataset.root)
    adapters = [
        intake.Adapter(choice["name"], root / choice.get("root", "."), catalogue.make(ADAPTERS, choice))
        for choice in dataset.adapters
    ]
    return intake.list_samples(root, adapters, dataset.phantom)


def _find_sibling(folder: Path, decoding: str) -> Path | None:
    """Another prepared data set with the same arrays, such as another fold of one; None if there is none."""
    for path in sorted(folder.parent.glob("[!.]*/store.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        if told.get("keys", {}).get("decoding") == decoding and store.intact(path.parent):
            return path.parent
    return None


def _take_over(old: Path, new: Path) -> intake.Taken:
    """Copy the arrays of a store; gives the rest as `_decode` gave it."""
    for array in (*old.rglob("*.npy"), *old.glob(agreement.FILE)):
        copied = new / array.relative_to(old)
        copied.parent.mkdir(exist_ok=True)
        shutil.copyfile(array, copied)
    beside = [
        pd.read_csv(old / name, dtype="str", keep_default_na=False)
        for name in ("quarantine.csv", "noticed.csv")
    ]
    return intake.Taken(manifest.read(old / "manifest.csv").assign(split=""), *beside)


def arrange(
    folder: Path,
    taken: intake.Taken,
    files: Mapping[str, str],
    dataset: Dataset,
    settings: Prepare,
) -> None:
    """Divide the decoded rows and write everything beside the arrays; the frame gets its splits.

    Raises UserError: more unusable images than allowed, every broken rule of the manifest, every leak and
    every fault of the protocol.
    """
    frame, unusable, noticed = taken
    _refuse_unusable(unusable, settings.max_quarantined)
    open_set = protocol.build(dataset.protocol.model_dump(), dataset.split.by)
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    near = near_duplicates(images, settings.near_duplicate_bits)
    unit = splits.units(frame, near)
    shares = dataset.split.model_dump()
    frame["split"] = splits.assign(frame, open_set, unit, **shares, seed=settings.seed)
    leaks = splits.leaks(frame, open_set, near)
    refuse([*manifest.problems(frame), *leaks, *protocol.problems(frame, open_set)])
    manifest.write(folder / "manifest.csv", frame)
    open_set["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", open_set)
    listed = [*frame["image_path"], *unusable["image_path"]]
    findings = auditing.warnings(
        frame, open_set, near=near, unit=unit, extra_files=auditing.unlisted(files, listed)
    )
    findings += counted(Finding(*row) for row in noticed.to_numpy())
    audited = {
        "findings": [found._asdict() | {"remedy": CODES[found.code].remedy} for found in findings],
        "counts": auditing.counts(frame, open_set),
        "agreement": agreement.summarise(folder),
        "quarantined": len(unusable),
    }
    write_json(folder / "audit.json", audited)
    for name, table in (("quarantine.csv", unusable), ("noticed.csv", noticed)):
        write_text(folder / name, table.to_csv(index=False, lineterminator="\n"))


def _refuse_unusable(unusable: pd.DataFrame, limit: int) -> None:
    if len(unusable) > limit:
        message = f"{len(unusable)} unusable images, at most {limit} allowed; mend them or raise the limit"
        found = [Problem(*row) for row in unusable[["code", "where", "message"]].to_numpy()]
        refuse([Problem("E_QUARANTINE", "prepare.max_quarantined", message), *found])
