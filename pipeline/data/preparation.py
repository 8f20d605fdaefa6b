"""Brings a prepared store up to date, and does no more for it than what changed asks for.

Two keys stand in `store.json`. `decoding` covers what makes the arrays: the files, the adapters and their
settings, the size and crop, and the code of these; `all` covers split, protocol and audit as well. A store
is kept while its files are as they were sealed and `all` is the same; where only `decoding` is, its arrays
are taken over, be it from the store of another data set beside it, as folds are. Made anew, taken over or
kept: the bytes are the same. What an exception says counts for neither key, so a message in `quarantine.csv`
may be older than the code.

Names are hidden last (`pseudonyms`): splits are drawn by the real ones, and messages that stop `prepare` tell
them. Hidden rows stand in the order of their files' hashes: that of ids would tell who they are to whoever
has the list, that of pseudonyms would make trainings depend on the key.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.common import catalogue
from pipeline.common.code import code_hash
from pipeline.common.data_settings import Dataset, Prepare
from pipeline.common.errors import UserError
from pipeline.common.files import building, canonical_json, sha256_text
from pipeline.common.paths import NAMES
from pipeline.common.tree import hash_tree
from pipeline.data import intake, manifest, protocol, pseudonyms, replacing, store
from pipeline.data.arranging import arrange
from pipeline.data.decoding import Recipe
from pipeline.data.problems import Problem, refuse
from pipeline.data.recognising import ADAPTERS
from pipeline.data.samples import Found


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
    files, hidden = hash_tree(root), pseudonyms.wanted(dataset, settings)
    named = pseudonyms.of(NAMES, name, hidden=hidden)
    keys = find_keys(name, dataset, settings, files, named.fingerprint)
    same = _find_decoded(folder, keys.decoding, hidden)
    if same == folder and _read_keys(folder) == keys._asdict():
        return
    with building(folder) as new:
        if same:
            taken = _take_over(same, new, pseudonyms.of(NAMES, same.name, hidden=hidden))
        else:
            taken = _decode(new, dataset, settings, files, workers)
        arrange(new, taken, files, dataset, settings, named)
        store.seal(new, {**_describe(name, dataset, settings, len(taken.frame)), "keys": keys._asdict()})
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
        "recipe": make_recipe(dataset, settings)._asdict(),
        "files": files,
        "order": "files" if hidden_by else "ids",
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
        "hidden_by": hidden_by,
        "code": code_hash("pipeline.data.arranging:arrange"),
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
        dicom_frame=settings.dicom_frame,
    )


def _describe(name: str, dataset: Dataset, settings: Prepare, n: int) -> dict[str, Any]:
    """What `store.json` says of a store of `n` rows, besides its keys and hashes."""
    recipe = make_recipe(dataset, settings)._asdict()
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
    if pseudonyms.wanted(dataset, settings):
        samples.sort(key=lambda sample: hashes[sample.sample_id])
    return intake.decode_into(folder, root, samples, hashes, make_recipe(dataset, settings), workers)


def list_samples(dataset: Dataset) -> Found:
    """What the adapters of a data set find, by sample_id; UserError with every problem of the lists."""
    root = Path(dataset.root)
    adapters = [
        intake.Adapter(choice["name"], root / choice.get("root", "."), catalogue.make(ADAPTERS, choice))
        for choice in dataset.adapters
    ]
    return intake.list_samples(root, adapters, dataset.phantom)


def _find_decoded(folder: Path, decoding: str, hidden: bool) -> Path | None:
    """A whole store with these arrays: the data set's own, else one beside it, such as another fold's."""

    def fits(path: Path) -> bool:
        if _read_keys(path).get("decoding") != decoding or not store.intact(path):
            return False
        return pseudonyms.of(NAMES, path.name, hidden=hidden).knows(*_read_tables(path))

    return next(filter(fits, (folder, *sorted(set(folder.parent.glob("[!.]*")) - {folder}))), None)


def _read_keys(folder: Path) -> dict[str, str]:
    """The keys of a store; none of a folder that is no store."""
    try:
        told = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        return dict(told["keys"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _take_over(old: Path, new: Path, named: pseudonyms.Names) -> intake.Taken:
    """Copy the arrays of a store, whose names `named` knows; gives the rest as `_decode` gave it."""
    for array in old.rglob("*.npy"):
        copied = new / array.relative_to(old)
        copied.parent.mkdir(exist_ok=True)
        shutil.copyfile(array, copied)
    frame, *beside = map(named.restore, _read_tables(old))
    return intake.Taken(frame.assign(split=""), *beside)


def _read_tables(folder: Path) -> intake.Taken:
    """The tables of a store, as they were written."""
    beside = (folder / name for name in intake.BESIDE)
    tables = (pd.read_csv(path, dtype="str", keep_default_na=False) for path in beside)
    return intake.Taken(manifest.read(folder / "manifest.csv"), *tables)
