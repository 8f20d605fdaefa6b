"""What must be known of a data set before a result is believed: its warnings and its counts.

Leaks in the splits that are used and broken protocols are errors of `splits` and `protocol`; what stands here
is a warning (codes begin with W_) for `audit.json` and the screen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.duplicates import Copy, unrelated
from pipeline.data.probe import Probe
from pipeline.data.problems import Finding
from pipeline.data.protocol import roles, sources
from pipeline.data.shortcuts import ENOUGH, LEVEL, shortcuts

FOLDERS = 8  # with files that nobody listed that are told one by one; frames of videos have thousands
DICOM = (".dcm", ".dicom")


def warnings(
    manifest: pd.DataFrame,
    protocol: Mapping[str, Any],
    *,
    copies: Sequence[Copy],
    unit: np.ndarray,
    extra_files: Mapping[str, int],
    looks: Probe | None = None,
) -> list[Finding]:
    """Everything that does not stop `prepare` but must be known, copies that join subjects first.

    `unit` is the leak unit of each row; `extra_files` counts unlisted images per folder; `looks` is what the
    pixels of the training images tell.
    """
    known = manifest["source"].isin(sources(protocol, "known")).to_numpy()
    return [
        *_find_copies(manifest, copies),
        *_find_native_leaks(manifest),
        *_find_moved_rows(manifest, protocol, unit),
        *shortcuts(manifest[known], unit[known]),
        *_find_telling_looks(looks),
        *_find_sparse_annotation(manifest, protocol),
        *_find_unknown_facts(manifest),
        *_find_extra_files(extra_files),
    ]


def _find_native_leaks(manifest: pd.DataFrame) -> list[Finding]:
    """Subjects and files that the data set itself put into two of its splits."""
    table = manifest[manifest["native_split"] != ""]
    found = []
    for column, rows in (("subject_id", table[table["subject_known"] == "1"]), ("sha256", table)):
        several = rows.groupby(column)["native_split"].nunique()
        values = several[several > 1].index
        if len(values):
            files = rows[rows[column].isin(values)]
            where = ", ".join(sorted(files["source"].unique()))
            noun = "subjects" if column == "subject_id" else "identical files"
            message = f"{len(values)} {noun} ({len(files)} files) are in two native splits, e.g. {values[0]}"
            found.append(Finding("W_LEAK_NATIVE", f"source {where}", message))
    return found


def _find_copies(manifest: pd.DataFrame, copies: Sequence[Copy]) -> list[Finding]:
    """Copies that the data set takes for different things, then those within a subject or group."""
    strange = unrelated(copies, manifest)
    within = sorted(set(copies) - set(strange))
    path, label = manifest["image_path"].to_numpy(), manifest["label"].to_numpy()
    found = []
    for code, pairs, noun in (
        ("W_LEAK_COPY", strange, "pairs of pictures with different subjects are copies"),
        ("W_DUPLICATE", within, "pairs of pictures of one subject or group are copies"),
    ):
        if pairs:
            differing = sum(label[copy.one] != label[copy.two] for copy in pairs)
            kinds = ", ".join(
                f"{n} {kind}" for kind, n in Counter(copy.kind for copy in pairs).most_common(4)
            )
            labels = f", {differing} with different labels" if differing else ""
            message = f"{len(pairs)} {noun}{labels} ({kinds}), e.g. of {path[pairs[0].two]}"
            found.append(Finding(code, path[pairs[0].one], message))
    return found


def telling(looks: Probe) -> list[str]:
    """The groups of looks that tell the class surely, and well enough to matter."""
    return [name for name in looks.auroc if looks.p[name] <= LEVEL and looks.auroc[name] >= ENOUGH]


def _find_telling_looks(looks: Probe | None) -> list[Finding]:
    if looks is None:
        return []
    groups = telling(looks)
    if not groups:
        return []
    best = max(groups, key=lambda name: looks.auroc[name])
    message = (
        f"a linear rule on these alone tells the class of images that it has not seen: AUROC "
        f"{looks.auroc[best]:.2f}, p {looks.p[best]:.3f}; by group "
        f"{', '.join(f'{name} {looks.auroc[name]:.2f}' for name in groups)}"
    )
    return [Finding("W_SHORTCUT_PIXELS", f"pixels: {best}", message)]


def _find_moved_rows(manifest: pd.DataFrame, protocol: Mapping[str, Any], unit: np.ndarray) -> list[Finding]:
    """Known rows that only test because their subject is also in a held-out source."""
    known = manifest["source"].isin(sources(protocol, "known")).to_numpy()
    held_out = manifest["source"].isin(sources(protocol, "held_out")).to_numpy()
    moved = known & np.isin(unit, unit[held_out])
    if not moved.any():
        return []
    message = f"{moved.sum()} known rows share a subject, group or picture with a held-out source"
    return [Finding("W_HELD_OUT_SUBJECT", manifest["image_path"].to_numpy()[moved][0], message)]


def _find_sparse_annotation(manifest: pd.DataFrame, protocol: Mapping[str, Any]) -> list[Finding]:
    train = manifest[roles(manifest, protocol) == "train"]
    found = []
    for label, rows in train.groupby("label"):
        annotated = int((rows["annotators"] != "0").sum())
        if annotated < len(rows) / 2:
            message = f"{annotated} of {len(rows)} training rows have a human map"
            found.append(Finding("W_ANN_SPARSE", f"label {label}", message))
    return found


def _find_unknown_facts(manifest: pd.DataFrame) -> list[Finding]:
    found = []
    anonymous = manifest[manifest["subject_known"] == "0"]
    if len(anonymous):
        where = "source " + ", ".join(sorted(anonymous["source"].unique()))
        message = (
            f"{len(anonymous)} of {len(manifest)} rows have no known subject; leaks by subject stay unseen"
        )
        found.append(Finding("W_SUBJECT", where, message))
    is_dicom = manifest["photometric"].str.startswith("MONOCHROME")
    is_dicom |= manifest["image_path"].str.lower().str.endswith(DICOM)  # in colour
    silent = manifest[(manifest["phi_flag"] == "absent") & is_dicom]
    if len(silent):
        message = f"{len(silent)} DICOM files do not say whether identifying text is burnt in"
        found.append(Finding("W_PHI_ABSENT", silent["image_path"].iloc[0], message))
    return found


def _find_extra_files(extra_files: Mapping[str, int]) -> list[Finding]:
    told = [(folder, count) for folder, count in sorted(extra_files.items()) if count]
    found = [
        Finding("W_EXTRA_FILES", folder, f"{count} image files that no list names")
        for folder, count in told[:FOLDERS]
    ]
    if rest := told[FOLDERS:]:
        count, folders = sum(count for _, count in rest), len(rest)
        message = f"{count} image files that no list names, in this and {folders - 1} more folders"
        found.append(Finding("W_EXTRA_FILES", rest[0][0], message))
    return found


def unlisted(files: Iterable[str], listed: Iterable[str]) -> dict[str, int]:
    """How many of `files` that nobody listed lie beside listed ones and have a listed suffix, per folder.

    >>> unlisted(["a/1.png", "a/2.PNG", "a/list.csv", "b/3.png"], ["a/1.png"])
    {'a': 1}
    """
    paths = [PurePosixPath(path) for path in listed]
    folders, suffixes = {path.parent for path in paths}, {path.suffix.lower() for path in paths}
    others = {PurePosixPath(path) for path in files} - set(paths)
    return dict(
        Counter(
            path.parent.as_posix()
            for path in sorted(others)
            if path.parent in folders and path.suffix.lower() in suffixes
        )
    )


def counts(manifest: pd.DataFrame, protocol: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per role, source and label: rows, annotated rows, and how many people marked one of them (mean)."""
    people = manifest["annotators"].astype(int)
    table = manifest.assign(role=roles(manifest, protocol), people=people, annotated=people > 0)
    groups = table.groupby(["role", "source", "label"], as_index=False).agg(
        rows=("people", "size"), annotated=("annotated", "sum"), people=("people", "sum")
    )
    return [
        {
            "role": group["role"],
            "source": group["source"],
            "label": int(group["label"]),
            "rows": group["rows"],
            "annotated": group["annotated"],
            "annotators": round(group["people"] / max(group["annotated"], 1), 2),
        }
        for group in groups.to_dict("records")
    ]
