"""Who is in which split: subjects, groups, files and near-duplicates are never parted.

The division is a pure function of the rows and a seed, whatever the order of the rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.common.seeding import derive
from pipeline.data.problems import Problem
from pipeline.data.protocol import LINKS, sources

SPLITS = ("train", "val", "test")
CODES = {"E_LEAK_HASH": "sha256", "E_LEAK_GROUP": "group_id", "E_LEAK_SUBJECT": "subject_id"}


def units(manifest: pd.DataFrame, near: Iterable[tuple[int, int]] = ()) -> np.ndarray:
    """Number of the leak unit of each row: rows of one subject, group, file or near-duplicate share it.

    `near` holds pairs of row numbers. Units are what a split may never divide.
    """
    n = len(manifest)
    pairs = [np.array(list(near), dtype=np.int64).reshape(-1, 2)]
    for column in LINKS:
        codes = pd.factorize(manifest[column])[0]
        _, first = np.unique(codes, return_index=True)
        pairs.append(np.stack([np.arange(n), first[codes]], axis=1))
    rows, others = np.concatenate(pairs).T
    graph = coo_array((np.ones(len(rows), np.int8), (rows, others)), shape=(n, n))
    numbers: np.ndarray = connected_components(graph, directed=False)[1]
    return numbers


def assign(
    manifest: pd.DataFrame,
    protocol: Mapping[str, Any],
    unit: np.ndarray,
    *,
    by: str,
    val: float,
    test: float,
    seed: int,
) -> np.ndarray:
    """The split of each row: train, val, test, or none for excluded sources.

    Held-out sources are test. Known rows that share a unit with a held-out row are test as well, since the
    network must not meet that subject in training. All others are divided by unit: `by="subject"` ignores
    the manifest's `native_split`; `by="native"` keeps it, shared units too, and divides only what it leaves
    open: blank rows, and the training rows if its validation or test lacks a class.
    """
    held_out = manifest["source"].isin(sources(protocol, "held_out")).to_numpy()
    known = manifest["source"].isin(sources(protocol, "known")).to_numpy()
    split = np.where(held_out, "test", "none").astype(object)
    open_rows = known.copy()
    shares = {"train": 1 - val - test, "val": val, "test": test}
    if by == "native":
        given = _spread_over_units(manifest["native_split"].to_numpy(dtype=object), unit)
        split[known] = given[known]
        missing = [
            name for name in ("val", "test") if manifest["label"][known & (given == name)].nunique() < 2
        ]
        shares = {name: shares[name] for name in ("train", *missing)}
        open_rows = known & np.isin(given, ["", "train"] if missing else [""])
    else:
        touched = known & np.isin(unit, unit[held_out])
        split[touched] = "test"
        open_rows &= ~touched
    split[open_rows] = _divide_units(manifest[open_rows], unit[open_rows], shares, seed)
    return split


def _spread_over_units(native: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Native splits, where a blank row takes the split of its unit's first row that has one."""
    given = native != ""
    split_of = dict(zip(unit[given][::-1], native[given][::-1], strict=True))
    return np.array([name or split_of.get(key, "") for name, key in zip(native, unit, strict=True)], object)


def _divide_units(rows: pd.DataFrame, unit: np.ndarray, shares: Mapping[str, float], seed: int) -> np.ndarray:
    """Give each unit to the split that lacks its kind of rows most, kinds being labels and sources.

    The cost of a division is the sum over kinds and splits of (rows - wanted)^2 / wanted. Units come in the
    order of their size, then of a hash of their smallest sample_id, so that the order of rows is irrelevant.
    """
    names = [name for name, share in shares.items() if share > 0]
    kinds = _count_kinds(rows)
    _, member = np.unique(unit, return_inverse=True)
    counts = np.zeros((member.max(initial=-1) + 1, kinds.shape[1]))
    np.add.at(counts, member, kinds)
    sizes = np.bincount(member)
    first = rows["sample_id"].groupby(member).min().tolist()
    order = sorted(range(len(counts)), key=lambda i: (-sizes[i], derive(seed, "split", first[i])))
    total = np.array([shares[name] for name in names])
    wanted = np.outer(total / total.sum(), kinds.sum(axis=0))
    filled = np.zeros_like(wanted)
    choice = np.zeros(len(counts), dtype=np.int64)
    for index in order:
        added = counts[index]
        cost = (added * (2 * (filled - wanted) + added) / wanted).sum(axis=1)
        choice[index] = int(cost.round(9).argmin())
        filled[choice[index]] += added
    return np.array(names, dtype=object)[choice[member]]


def _count_kinds(rows: pd.DataFrame) -> np.ndarray:
    """One column per label and per (source, label) that occurs; 1 where a row is of that kind."""
    label = rows["label"]
    fine = rows["source"] + "\x1f" + label
    columns = [(values == kind).to_numpy() for values in (label, fine) for kind in sorted(values.unique())]
    return np.stack(columns, axis=1).astype(float) if columns else np.zeros((len(rows), 0))


def leaks(
    manifest: pd.DataFrame, protocol: Mapping[str, Any], near: Sequence[tuple[int, int]] = ()
) -> list[Problem]:
    """Subjects, groups, files or near-duplicates (pairs of row numbers) in two of train, val and test.

    What a held-out source shares with training is P_LEAK of `protocol.problems`.
    """
    found = []
    used = manifest[manifest["source"].isin(sources(protocol, "known")) & manifest["split"].isin(SPLITS)]
    for code, column in CODES.items():
        rows = used[used["subject_known"] == "1"] if column == "subject_id" else used
        splits = rows.groupby(column)["split"].unique()
        for value, several in splits[splits.map(len) > 1].items():
            files = rows.loc[rows[column] == value, "image_path"]
            came = f"{len(files)} files are in {' and '.join(sorted(several))}, e.g. {files.iloc[0]}"
            message = f"{came}; keep them in one split, or set split.by to subject"
            found.append(Problem(code, f"{column} {value!r}", message))
    split, path, sha256 = (manifest[column].to_numpy() for column in ("split", "image_path", "sha256"))
    for one, two in near:
        parted = split[one] != split[two] and {split[one], split[two]} <= set(SPLITS)
        if parted and sha256[one] != sha256[two]:
            came = f"nearly the same picture as {path[two]} ({split[one]} and {split[two]})"
            message = f"{came}; drop one, or set split.by to subject"
            found.append(Problem("E_LEAK_NEAR", path[one], message))
    return found
