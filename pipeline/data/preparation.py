"""Brings a prepared store up to date, and does no more for it than what changed asks for.

Two keys stand in `store.json`. `decoding` covers what makes the arrays: the files, the adapters and their
settings, the size and crop, and the code of these; `all` covers split, protocol and audit as well. A store
is kept while its files are as they were sealed and `all` is the same; where only `decoding` is, its arrays
are taken over. Made anew, taken over or kept: the bytes are the same. What an exception says counts for
neither key, so a message in `quarantine.csv` may be older than the code.

Names are hidden last (`pseudonyms`): splits are drawn by the real ones, and messages that stop `prepare` tell
them. Hidden rows stand in the order of their files' hashes: that of ids would tell who they are to whoever
has the list, that of pseudonyms would make trainings depend on the key.
"""

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
from pipeline.common.paths import NAMES
from pipeline.common.tree import hash_tree
from pipeline.data import auditing, intake, manifest, protocol, pseudonyms, splits, store
from pipeline.data.codes import CODES
from pipeline.data.decoding import Recipe
from pipeline.data.duplicates import near_duplicates
from pipeline.data.problems import Finding, Problem, refuse

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
    named = pseudonyms.of(NAMES, name, hidden=pseudonyms.wanted(dataset, settings))
    keys = find_keys(name, dataset, settings, files, named.fingerprint)
    old = (store.intact(folder) or {}).get("keys", {})
    decoded = old.get("decoding") == keys.decoding and named.knows(*_read_tables(folder))
    if decoded and old == keys._asdict():
        return
    with building(folder) as new:
        if decoded:
            frame, unusable = _take_over(folder, new, named)
        else:
            frame, unusable = _decode(new, dataset, settings, files, workers)
        arrange(new, frame, unusable, files, dataset, settings, named)
        store.seal(new, {**_describe(name, dataset, settings, len(frame)), "keys": keys._asdict()})
    named.save()


def find_keys(
    name: str, dataset: Dataset, settings: Prepare, files: Mapping[str, str], hidden_by: str
) -> Keys:
    """The keys of a data set with these settings and these files (hashes by path below its root).

    hidden_by: fingerprint of the key of its pseudonyms, blank without.
    """
    entries = [catalogue.entry(ADAPTERS, choice["name"]) for choice in dataset.adapters]
    reading = [f"pipeline.data.intake:{step}" for step in ("list_samples", "hash_images", "decode_into")]
    adapters = [[choice.get("root", "."), catalogue.filled(ADAPTERS, choice)] for choice in dataset.adapters]
    decoding = {
        "root": dataset.root,  # stands in the places that the quarantine tells
        "adapters": adapters,
        "phantom": dataset.phantom,
        "recipe": _make_recipe(dataset, settings)._asdict(),
        "files": files,
        "order": "files" if hidden_by else "ids",
        "code": code_hash(*reading, *entries),
    }
    decoding_key = sha256_text(canonical_json(decoding))
    whole = {
        "decoding": decoding_key,
        "store": _describe(name, dataset, settings, 0),
        "split": dataset.split.model_dump(),
        "protocol": dataset.protocol.model_dump(),
        "prepare": settings.model_dump(),
        "hidden_by": hidden_by,
        "code": code_hash("pipeline.data.preparation:arrange"),
    }
    return Keys(decoding_key, sha256_text(canonical_json(whole)))


def _make_recipe(dataset: Dataset, settings: Prepare) -> Recipe:
    return Recipe(
        image_size=settings.image_size,
        channels=dataset.channels,
        crop=dataset.crop,
        granularity=dataset.annotations.granularity,
        blur=dataset.annotations.blur,
        max_megapixels=settings.max_megapixels,
        max_megabytes=settings.max_megabytes,
        dicom_frame=settings.dicom_frame,
    )


def _describe(name: str, dataset: Dataset, settings: Prepare, n: int) -> dict[str, Any]:
    """What `store.json` says of a store of `n` rows, besides its keys and hashes."""
    recipe = _make_recipe(dataset, settings)._asdict()
    shown = ("image_size", "channels", "crop", "max_megapixels", "max_megabytes", "dicom_frame")
    return {
        "dataset": name,
        "title": dataset.title,
        "notice": dataset.notice,
        "phantom": dataset.phantom,
        "task": dataset.task,
        "n": n,
        "preprocessing": {setting: recipe[setting] for setting in shown if recipe[setting] is not None},
    }


def _decode(
    folder: Path, dataset: Dataset, settings: Prepare, files: Mapping[str, str], workers: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill the arrays from the data set's files; gives the manifest, unsplit, and the quarantine."""
    root = Path(dataset.root)
    adapters = [
        intake.Adapter(choice["name"], root / choice.get("root", "."), catalogue.make(ADAPTERS, choice))
        for choice in dataset.adapters
    ]
    samples = intake.list_samples(root, adapters, dataset.phantom)
    listed = manifest.table(manifest.listed(sample, root) for sample in samples)
    open_set = protocol.build(dataset.protocol.model_dump(), dataset.split.by)
    refuse(protocol.source_problems(listed, open_set))  # before hours of decoding
    hashes = intake.hash_images(samples, root, files)
    if pseudonyms.wanted(dataset, settings):
        samples.sort(key=lambda sample: hashes[sample.sample_id])
    return intake.decode_into(folder, root, samples, hashes, _make_recipe(dataset, settings), workers)


def _take_over(old: Path, new: Path, named: pseudonyms.Names) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Copy the arrays of a store; gives its manifest and quarantine as `_decode` gave them."""
    for array in old.rglob("*.npy"):
        copied = new / array.relative_to(old)
        copied.parent.mkdir(exist_ok=True)
        shutil.copyfile(array, copied)
    frame, unusable = _read_tables(old)
    return named.restore(frame).assign(split=""), named.restore(unusable)


def _read_tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest and the quarantine of a store, as they were written."""
    quarantine = pd.read_csv(folder / "quarantine.csv", dtype="str", keep_default_na=False)
    return manifest.read(folder / "manifest.csv"), quarantine


def arrange(
    folder: Path,
    frame: pd.DataFrame,
    unusable: pd.DataFrame,
    files: Mapping[str, str],
    dataset: Dataset,
    settings: Prepare,
    named: pseudonyms.Names,
) -> None:
    """Divide the decoded rows and write everything beside the arrays; `frame` gets its splits.

    What is written of either table is what `named` makes of it, warnings as well: they see hidden rows only.

    Raises UserError: more unusable images than allowed, every broken rule of the manifest, every leak and
    every fault of the protocol.
    """
    images_set_aside = unusable[unusable["image_path"] != ""]
    left_out = unusable[unusable["image_path"] == ""]
    _refuse_unusable(images_set_aside, settings.max_quarantined)
    open_set = protocol.build(dataset.protocol.model_dump(), dataset.split.by)
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    near = near_duplicates(images, settings.near_duplicate_bits)
    unit = splits.units(frame, near)
    shares = dataset.split.model_dump()
    frame["split"] = splits.assign(frame, open_set, unit, **shares, seed=settings.seed)
    leaks = splits.leaks(frame, open_set, near)
    refuse([*manifest.problems(frame), *leaks, *protocol.problems(frame, open_set)])
    shown = named.hide(frame)
    manifest.write(folder / "manifest.csv", shown)
    open_set["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", open_set)
    extra = auditing.unlisted(files, [*frame["image_path"], *images_set_aside["image_path"]])
    extra = {named.hide_path(place): count for place, count in extra.items()}
    findings = auditing.warnings(shown, open_set, near=near, unit=unit, extra_files=extra)
    places = named.hide(left_out)["where"]  # what was left out is told in an adapter's own words
    findings += map(Finding, left_out["code"], places, left_out["message"])
    audited = {
        "findings": [found._asdict() | {"remedy": CODES[found.code].remedy} for found in findings],
        "counts": auditing.counts(shown, open_set),
        "quarantined": len(images_set_aside),
    }
    write_json(folder / "audit.json", audited)
    write_text(folder / "quarantine.csv", named.hide(unusable).to_csv(index=False, lineterminator="\n"))


def _refuse_unusable(unusable: pd.DataFrame, limit: int) -> None:
    if len(unusable) > limit:
        message = f"{len(unusable)} unusable images, at most {limit} allowed; mend them or raise the limit"
        found = [Problem(*row) for row in unusable[["code", "where", "message"]].to_numpy()]
        refuse([Problem("E_QUARANTINE", "prepare.max_quarantined", message), *found])
