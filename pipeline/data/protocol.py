"""The open-set protocol: which sources are known, which are held out, and who is in which split.

Known sources are divided into train, validation and a closed test by subject. Held-out sources are only ever
tested, together with the known negatives; that is the open test. The rule for roles lives here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.common.errors import nearest
from pipeline.common.seeding import derive
from pipeline.data.samples import Problem

ROLES = ("train", "val", "test_closed", "test_open")
SPLITS = ("train", "val", "test")
LINKS = {"E_LEAK_HASH": "sha256", "E_LEAK_GROUP": "group_id", "E_LEAK_SUBJECT": "subject_id"}
METRICS = (
    "auroc",
    "ap",
    "eer",
    "apcer_max",
    "apcer_per_type",
    "bpcer",
    "acer",
    "bpcer10",
    "bpcer20",
    "bpcer100",
)


def build(name: str, task: str, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The protocol as stored in `protocol.json`; every choice is made on validation.

    `settings` has the keys `known`, `held_out`, `excluded` and `threshold` of params.yaml; `seed` is that of
    the split. `manifest_sha256` stays blank until there is a manifest.
    """
    held_out = {label: list(settings["held_out"].get(label, ())) for label in ("0", "1")}
    return {
        "schema": 1,
        "name": name,
        "task": task,
        "axis": "source",
        "manifest_sha256": "",
        "known": {label: list(settings["known"].get(label, ())) for label in ("0", "1")},
        "held_out": held_out,
        "excluded": list(settings["excluded"]),
        "use": {
            "train": "known",
            "val": "known",
            "test_closed": "known",
            "test_open": "held_out+known_negatives" if any(held_out.values()) else "none",
        },
        "split_by": "subject_id",
        "repeats": 1,
        "seeds": [seed],
        "selection": {"metric": "auroc", "on": "val"},
        "threshold": {**settings["threshold"], "on": "val"},
        "metrics": list(METRICS),
        "augment_with_held_out": False,
    }


def sources(protocol: Mapping[str, Any], part: str) -> set[str]:
    """All sources of `known` or `held_out`, over both labels."""
    return {source for group in protocol[part].values() for source in group}


def roles(manifest: pd.DataFrame, protocol: Mapping[str, Any]) -> np.ndarray:
    """One of ROLES per row, or "" for rows that are not used.

    Train and val: that split and a known source; test_closed: test and known; test_open: test and held out.
    """
    split = manifest["split"].to_numpy(dtype=object)
    known = manifest["source"].isin(sources(protocol, "known")).to_numpy()
    held_out = manifest["source"].isin(sources(protocol, "held_out")).to_numpy()
    result = np.full(len(manifest), "", dtype=object)
    result[known & (split == "train")] = "train"
    result[known & (split == "val")] = "val"
    result[known & (split == "test")] = "test_closed"
    result[held_out & (split == "test")] = "test_open"
    return result


def source_problems(manifest: pd.DataFrame, protocol: Mapping[str, Any]) -> list[Problem]:
    """Each source of the data must be listed once under its label, and each listed one must have rows."""
    found = []
    excluded = set(protocol["excluded"])
    for source in sorted(sources(protocol, "known") & sources(protocol, "held_out")):
        message = "listed as known and as held out; keep one"
        found.append(Problem("P_SOURCE_TWICE", f"protocol source {source!r}", message))
    listed = {
        (label, source)
        for part in ("known", "held_out")
        for label, group in protocol[part].items()
        for source in group
    }
    counts = manifest[~manifest["source"].isin(excluded)].groupby(["label", "source"]).size()
    for label, source in sorted(set(counts.index) - listed):
        where = f"source {source!r} label {label}"
        message = (
            f"{counts[label, source]} rows, but the protocol lists it neither in known.{label} nor in "
            f"held_out.{label} nor in excluded; add it to one of them"
        )
        code = "E_SOURCE" if source == "unknown" and sources(protocol, "held_out") else "P_SOURCE_UNLISTED"
        found.append(Problem(code, where, message))
    for label, source in sorted(listed - set(counts.index)):
        hint = nearest(source, manifest["source"].unique())
        message = f"listed in the protocol, but no row of label {label} has it; sources in the data: {hint}"
        found.append(Problem("P_SOURCE_ABSENT", f"source {source!r} label {label}", message))
    return found


def units(manifest: pd.DataFrame, near: Iterable[tuple[int, int]] = ()) -> np.ndarray:
    """Number of the leak unit of each row: rows of one subject, group, file or near-duplicate share it.

    `near` holds pairs of row numbers. Units are what a split may never divide.
    """
    n = len(manifest)
    pairs = [np.array(list(near), dtype=np.int64).reshape(-1, 2)]
    for column in LINKS.values():
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
    native: Sequence[str],
    *,
    by: str,
    val: float,
    test: float,
    seed: int,
) -> np.ndarray:
    """The split of each row: train, val, test, or none for excluded sources.

    Held-out sources are test. Known rows that share a unit with a held-out row are test as well, since the
    network must not meet that subject in training. All others are divided by unit: `by="subject"` ignores
    `native` (train, val, test or blank per row); `by="native"` keeps it and divides only what it leaves open:
    blank rows, and the training rows if it has no validation or no test.
    """
    source = manifest["source"]
    held_out = source.isin(sources(protocol, "held_out")).to_numpy()
    known = source.isin(sources(protocol, "known")).to_numpy()
    split = np.where(held_out, "test", "none").astype(object)
    touched = known & np.isin(unit, unit[held_out])
    open_rows = known.copy()
    shares = {"train": 1 - val - test, "val": val, "test": test}
    if by == "native":
        given = _joined(np.asarray(native, dtype=object), unit)
        split[known] = given[known]
        missing = [name for name in ("val", "test") if not (known & (given == name)).any()]
        shares = {name: shares[name] for name in ("train", *missing)}
        open_rows = known & np.isin(given, ["", "train"] if missing else [""])
    else:
        split[touched] = "test"
        open_rows &= ~touched
    split[open_rows] = _divide(manifest[open_rows], unit[open_rows], shares, seed)
    return split


def _joined(native: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Native splits, where a blank row takes the split of its unit's first row that has one."""
    given = native != ""
    split_of = dict(zip(unit[given][::-1], native[given][::-1], strict=True))
    return np.array([name or split_of.get(key, "") for name, key in zip(native, unit, strict=True)], object)


def _divide(rows: pd.DataFrame, unit: np.ndarray, shares: Mapping[str, float], seed: int) -> np.ndarray:
    """Give each unit to the split that lacks its kind of rows most, kinds being labels and sources.

    The cost of a division is the sum over kinds and splits of (rows - wanted)^2 / wanted. Units come in the
    order of their size, then of a hash of their smallest sample_id, so that the order of rows is irrelevant.
    """
    names = [name for name, share in shares.items() if share > 0]
    kinds = _kinds(rows)
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


def _kinds(rows: pd.DataFrame) -> np.ndarray:
    """One column per label and per (source, label) that occurs; 1 where a row is of that kind."""
    label = rows["label"]
    fine = rows["source"] + "\x1f" + label
    columns = [(values == kind).to_numpy() for values in (label, fine) for kind in sorted(values.unique())]
    return np.stack(columns, axis=1).astype(float) if columns else np.zeros((len(rows), 0))


def leaks(manifest: pd.DataFrame, near: Sequence[tuple[int, int]] = ()) -> list[Problem]:
    """Subjects, groups, files or near-duplicates (pairs of row numbers) in two of train, val and test."""
    found = []
    used = manifest[manifest["split"].isin(SPLITS)]
    for code, column in LINKS.items():
        rows = used[used["subject_known"] == "1"] if column == "subject_id" else used
        splits = rows.groupby(column)["split"].unique()
        for value, several in splits[splits.map(len) > 1].items():
            files = rows.loc[rows[column] == value, "image_path"]
            message = (
                f"{len(files)} files are in {' and '.join(sorted(several))}, e.g. {files.iloc[0]}; "
                "keep them in one split, or set split.by to subject"
            )
            found.append(Problem(code, f"{column} {value!r}", message))
    split, path = manifest["split"].to_numpy(), manifest["image_path"].to_numpy()
    for one, two in near:
        if split[one] != split[two] and {split[one], split[two]} <= set(SPLITS):
            message = (
                f"nearly equal to {path[two]} ({split[one]} and {split[two]}); drop one, or split by subject"
            )
            found.append(Problem("E_LEAK_NEAR", f"{path[one]}", message))
    return found


def problems(manifest: pd.DataFrame, protocol: Mapping[str, Any]) -> list[Problem]:
    """What makes a protocol unusable on its manifest; the codes begin with P_."""
    found = source_problems(manifest, protocol) + _tuning_problems(protocol)
    role = roles(manifest, protocol)
    label = manifest["label"].to_numpy()
    for name in ("train", "val", "test_closed"):
        present = set(label[role == name])
        for missing in sorted({"0", "1"} - present):
            message = (
                f"{(role == name).sum()} rows, none with label {missing}; give it subjects of both classes"
            )
            found.append(Problem("P_ONE_CLASS", f"split {name}", message))
    if any(protocol["held_out"].values()):
        found += _open_problems(manifest, role, label)
    return found


def _open_problems(manifest: pd.DataFrame, role: np.ndarray, label: np.ndarray) -> list[Problem]:
    found = []
    negatives = ((role == "test_open") | (role == "test_closed")) & (label == "0")
    if not ((role == "test_open") & (label == "1")).any() or not negatives.any():
        message = (
            "needs a held-out row of label 1 and a negative, held out or known; list them in the protocol"
        )
        found.append(Problem("P_NO_OPEN", "test_open", message))
    learned = np.isin(role, ("train", "val"))
    for column in LINKS.values():
        values = manifest[column].to_numpy()
        shared = sorted(set(values[role == "test_open"]) & set(values[learned]))
        found += [
            Problem("P_LEAK", f"{column} {value!r}", "of a held-out source and in train or val; exclude one")
            for value in shared
        ]
    subjects = manifest["subject_id"].to_numpy()
    shared = sorted(set(subjects[negatives & (role == "test_closed")]) & set(subjects[role == "train"]))
    message = "a negative of the open test and in train; split by subject"
    found += [Problem("P_LEAK_NEG", f"subject_id {value!r}", message) for value in shared]
    return found


def _tuning_problems(protocol: Mapping[str, Any]) -> list[Problem]:
    found = []
    for choice in ("selection", "threshold"):
        if protocol[choice]["on"] != "val":
            message = f"chosen on {protocol[choice]['on']!r}; only val is allowed"
            found.append(Problem("P_TEST_TUNING", choice, message))
    seeds = protocol["seeds"]
    if len(seeds) != protocol["repeats"] or len(set(seeds)) != len(seeds):
        message = f"expected {protocol['repeats']} distinct seeds, got {seeds}"
        found.append(Problem("P_SEEDS", "seeds", message))
    return found
