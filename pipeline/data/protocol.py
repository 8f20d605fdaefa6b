"""The open-set protocol: which sources are known, which are held out, and what each row is used for.

Known sources are divided into train, validation and a closed test. Held-out sources are only ever tested,
together with the known negatives; that is the open test. The rule for roles lives here; `splits` divides.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.errors import nearest
from pipeline.data.problems import Problem

ROLES = ("train", "val", "test_closed", "test_open")
LINKS = ("sha256", "group_id", "subject_id")  # rows with one of these in common must not be parted


def build(settings: Mapping[str, Any], split_by: str) -> dict[str, Any]:
    """The protocol as stored in `protocol.json`.

    `settings` has the keys `known`, `held_out`, `excluded`, `threshold` and, if there are any, `novel` of
    params.yaml; `split_by` is `subject` or `native`. `manifest_sha256` stays blank until there is a manifest.
    """
    return {
        "manifest_sha256": "",
        "known": _by_label(settings["known"]),
        "held_out": _by_label(settings["held_out"]),
        "excluded": list(settings["excluded"]),
        "novel": list(settings.get("novel", ())),
        "split_by": split_by,
        "threshold": dict(settings["threshold"]),
    }


def _by_label(part: Mapping[str, Any]) -> dict[str, list[str]]:
    return {label: list(part.get(label, ())) for label in ("0", "1")}


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
    for source in sorted(sources(protocol, "known") & sources(protocol, "held_out")):
        message = "listed as known and as held out; keep one"
        found.append(Problem("P_SOURCE_TWICE", f"protocol source {source!r}", message))
    used = manifest[~manifest["source"].isin(protocol["excluded"])]
    counts = used.groupby(["label", "source"]).size().to_dict()
    listed = {
        (label, source)
        for part in ("known", "held_out")
        for label, group in protocol[part].items()
        for source in group
    }
    found += _unlisted_sources(counts, listed, protocol)
    for label, source in sorted(listed - set(counts)):
        hint = nearest(source, manifest["source"].unique())
        message = f"listed in the protocol, but no row of label {label} has it; {hint}"
        found.append(Problem("P_SOURCE_ABSENT", f"source {source!r} label {label}", message))
    return found


def _unlisted_sources(
    counts: Mapping[Any, int], listed: set[tuple[str, str]], protocol: Mapping[str, Any]
) -> list[Problem]:
    """Sources of the data (rows by label and source) that the protocol does not mention, `unknown` first."""
    found = []
    unlisted = set(counts) - listed
    unknown = {(label, "unknown") for label in ("0", "1")} & set(counts)
    if unknown and sources(protocol, "held_out"):
        message = (
            f"{sum(counts[kind] for kind in unknown)} rows, which cannot be kept apart from held-out "
            "sources; tell where they come from, or list 'unknown' in excluded"
        )
        found.append(Problem("E_SOURCE", "source 'unknown'", message))
        unlisted -= unknown
    for label, source in sorted(unlisted):
        message = (
            f"{counts[label, source]} rows, but the protocol lists it neither in known.{label} nor in "
            f"held_out.{label} nor in excluded; add it to one of them"
        )
        found.append(Problem("P_SOURCE_UNLISTED", f"source {source!r} label {label}", message))
    return found


def problems(manifest: pd.DataFrame, protocol: Mapping[str, Any]) -> list[Problem]:
    """What makes a protocol unusable on its manifest; the codes begin with P_."""
    found = source_problems(manifest, protocol)
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
    for column in LINKS:
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
