"""What is wrong with a data set: near-duplicates, shortcuts, leaks in its own splits, thin annotation.

Leaks in the splits that are used and broken protocols are errors of `splits` and `protocol`; what stands here
is the evidence for them, or a warning (codes begin with W_) for `audit.json` and the screen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn

from pipeline.data.protocol import roles, sources

SHORTCUT = 0.9  # balanced accuracy above which one property of the file gives the class away
PURE = 1e-6  # chance below which "all rows with this value have one label" is no accident
MIN_VALUE_ROWS = 5  # rarer values of a property are looked at together
RARE = f"in fewer than {MIN_VALUE_ROWS} files"
SAME_PICTURE = 0.99  # correlation of two prepared images that confirms a near-duplicate
CLASS_IS_SOURCE = ("attack_type", "generator", "material")  # source kinds that name the class itself


class Finding(NamedTuple):
    """One thing a user should know before believing a result."""

    code: str
    where: str
    message: str
    remedy: str


def perceptual_hashes(images: np.ndarray) -> np.ndarray:
    """64-bit DCT hash of each prepared image: uint8 (N, C, S, S) -> uint64 (N,).

    Bit k says whether the k-th of the 8x8 lowest frequencies of the 32x32 grey picture exceeds their median
    (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010).
    """
    hashes = np.empty(len(images), dtype=np.uint64)
    for start in range(0, len(images), 256):
        grey = np.asarray(images[start : start + 256]).mean(axis=1, dtype=np.float32)
        small = np.stack([_shrunk(one) for one in grey])
        low = dctn(small, axes=(1, 2))[:, :8, :8].reshape(len(small), 64)
        bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
        hashes[start : start + 256] = np.packbits(bits, axis=1).view(">u8")[:, 0]
    return hashes


def _shrunk(grey: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(grey).resize((32, 32), Image.Resampling.BOX))


def close_pairs(hashes: np.ndarray, bits: int) -> np.ndarray:
    """All pairs i < j of uint64 hashes that differ in at most `bits` bits, int64 (P, 2), sorted.

    >>> close_pairs(np.array([0b000, 0b011, 0b111], dtype=np.uint64), bits=1).tolist()
    [[1, 2]]
    """
    found = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, len(hashes), 1024):
        block = hashes[start : start + 1024, None]
        rows, columns = np.nonzero(np.bitwise_count(block ^ hashes[None, start:]) <= bits)
        later = columns > rows
        found.append(np.stack([rows[later], columns[later]], axis=1) + start)
    return np.concatenate(found)


def near_duplicates(images: np.ndarray, bits: int) -> list[tuple[int, int]]:
    """Pairs of prepared images (row numbers) that show the same picture.

    Hashes within `bits` propose a pair; a correlation of the pixels above 0.99 confirms it, because films of
    different people can share a hash.
    """
    pairs = close_pairs(perceptual_hashes(images), bits)
    return [
        (int(one), int(two)) for one, two in pairs if _correlation(images[one], images[two]) > SAME_PICTURE
    ]


def _correlation(one: np.ndarray, two: np.ndarray) -> float:
    a, b = (image.mean(axis=0, dtype=np.float64) for image in (one, two))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm else 1.0


def warnings(
    manifest: pd.DataFrame,
    protocol: Mapping[str, Any],
    *,
    near: Sequence[tuple[int, int]],
    unit: np.ndarray,
    native: Sequence[str],
    file_bytes: Sequence[int],
    extra_files: Mapping[str, int],
) -> list[Finding]:
    """Everything that does not stop `prepare` but must be known.

    Per row of the manifest: `unit` its leak unit, `native` the split it came with, `file_bytes` the size of
    its file. `near` are near-duplicate pairs; `extra_files` counts unlisted images per folder.
    """
    known = manifest["source"].isin(sources(protocol, "known")).to_numpy()
    return [
        *_native_leaks(manifest, native),
        *_duplicates(manifest, near),
        *_moved(manifest, protocol, unit),
        *shortcuts(manifest[known], np.asarray(file_bytes)[known]),
        *_one_class_sources(manifest[known]),
        *_annotation(manifest, protocol),
        *_unknown_facts(manifest),
        *_extra_files(extra_files),
    ]


def shortcuts(manifest: pd.DataFrame, file_bytes: np.ndarray) -> list[Finding]:
    """Properties of the files that give the class away: type, size, photometric, bits, compression."""
    positive = (manifest["label"] == "1").to_numpy()
    if positive.all() or not positive.any():
        return []
    width, height = (manifest[column].astype(float).to_numpy() for column in ("width", "height"))
    words = {
        "file extension": [PurePosixPath(path).suffix.lower() or "none" for path in manifest["image_path"]],
        "width x height": (manifest["width"] + "x" + manifest["height"]).tolist(),
        "photometric": manifest["photometric"].tolist(),
        "bits": manifest["bits"].tolist(),
    }
    numbers = {"megapixels": width * height / 1e6, "file bytes per pixel": file_bytes / (width * height)}
    found = []
    for name, values in words.items():
        found += _word_shortcut(name, values, positive)
    for name, amounts in numbers.items():
        accuracy, threshold = _best_threshold(amounts, positive)
        if accuracy > SHORTCUT:
            message = f"{name} alone, cut at {threshold:.4g}, separates the classes"
            found.append(_shortcut(name, f"{message} (balanced accuracy {accuracy:.2f})"))
    return found


def _shortcut(name: str, message: str) -> Finding:
    remedy = "bring both classes to one format and size with one codec, or report that it was left"
    return Finding("W_SHORTCUT", name, message, remedy)


def _word_shortcut(name: str, values: Sequence[str], positive: np.ndarray) -> list[Finding]:
    counts = Counter(values)
    kept = np.array([value if counts[value] >= MIN_VALUE_ROWS else RARE for value in values])
    shares = {
        value: ((kept == value) & positive).sum() / positive.sum() for value in sorted(set(kept.tolist()))
    }
    against = {value: ((kept == value) & ~positive).sum() / (~positive).sum() for value in shares}
    accuracy = sum(max(shares[value], against[value]) for value in shares) / 2
    if accuracy > SHORTCUT:
        return [_shortcut(name, f"{name} alone predicts the class (balanced accuracy {accuracy:.2f})")]
    return [
        _shortcut(name, f"all {(kept == value).sum()} rows with {name} {value} have label {label}")
        for value in shares
        for label, prior in (("1", positive.mean()), ("0", 1 - positive.mean()))
        if (against if label == "1" else shares)[value] == 0 and prior ** (kept == value).sum() < PURE
    ]


def _best_threshold(amounts: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Balanced accuracy of the best single cut of a number, in either direction, and the cut."""
    order = np.argsort(amounts, kind="stable")
    values, labels = amounts[order], positive[order]
    below = np.cumsum(labels) / labels.sum() - np.cumsum(~labels) / (~labels).sum()
    below[:-1][values[1:] == values[:-1]] = 0  # a cut cannot pass between equal values
    best = int(np.abs(below).argmax())
    return (1 + abs(float(below[best]))) / 2, float(values[best])


def _one_class_sources(manifest: pd.DataFrame) -> list[Finding]:
    """Known sites or sensors with one label only: the source can stand in for the class."""
    found = []
    prior = (manifest["label"] == "1").mean()
    places = manifest[~manifest["source_kind"].isin(CLASS_IS_SOURCE)]
    for source, labels in places.groupby("source")["label"]:
        chance = prior if labels.iloc[0] == "1" else 1 - prior
        if labels.nunique() == 1 and chance ** len(labels) < PURE:
            message = (
                f"all {len(labels)} rows have label {labels.iloc[0]}; a network can learn the source instead"
            )
            remedy = "add the other class from this source, or read results per held-out source only"
            found.append(Finding("W_SHORTCUT", f"source {source}", message, remedy))
    return found


def _native_leaks(manifest: pd.DataFrame, native: Sequence[str]) -> list[Finding]:
    """Subjects and files that the data set itself put into two of its splits."""
    table = manifest.assign(given=list(native))
    table = table[table["given"] != ""]
    found = []
    for column, rows in (
        ("subject_id", table[table["subject_known"] == "1"]),
        ("sha256", table),
    ):
        several = rows.groupby(column)["given"].nunique()
        values = several[several > 1].index
        if len(values):
            files = rows[rows[column].isin(values)]
            where = ", ".join(sorted(files["source"].unique()))
            noun = "subjects" if column == "subject_id" else "identical files"
            message = f"{len(values)} {noun} ({len(files)} files) are in two native splits, e.g. {values[0]}"
            remedy = "the splits used here are checked by themselves; do not quote results on the native ones"
            found.append(Finding("W_LEAK_NATIVE", f"source {where}", message, remedy))
    return found


def _duplicates(manifest: pd.DataFrame, near: Sequence[tuple[int, int]]) -> list[Finding]:
    found = []
    copies = manifest[manifest.duplicated("sha256", keep=False)]
    if len(copies):
        message = f"{len(copies)} files are {copies['sha256'].nunique()} different ones"
        where = copies["image_path"].iloc[0]
        found.append(
            Finding("W_DUPLICATE", where, message, "copies stay in one split; drop them if unintended")
        )
    sha, path = manifest["sha256"].to_numpy(), manifest["image_path"].to_numpy()
    label = manifest["label"].to_numpy()
    edited = [(one, two) for one, two in near if sha[one] != sha[two]]
    if edited:
        one, two = edited[0]
        differing = sum(label[i] != label[j] for i, j in edited)
        message = (
            f"{len(edited)} pairs of files show nearly the same picture, {differing} of them with different "
            f"labels, e.g. {path[two]}"
        )
        remedy = "they stay in one split; check that each label is right"
        found.append(Finding("W_DUPLICATE", path[one], message, remedy))
    return found


def _moved(manifest: pd.DataFrame, protocol: Mapping[str, Any], unit: np.ndarray) -> list[Finding]:
    """Known rows that only test because their subject is also in a held-out source."""
    known = manifest["source"].isin(sources(protocol, "known")).to_numpy()
    held_out = manifest["source"].isin(sources(protocol, "held_out")).to_numpy()
    moved = known & np.isin(unit, unit[held_out])
    if not moved.any():
        return []
    message = f"{moved.sum()} known rows share a subject, group or picture with a held-out source"
    remedy = "split.by subject only tests them; if too few stay, hold out sources with subjects of their own"
    return [Finding("W_HELD_OUT_SUBJECT", manifest["image_path"].to_numpy()[moved][0], message, remedy)]


def _annotation(manifest: pd.DataFrame, protocol: Mapping[str, Any]) -> list[Finding]:
    train = manifest[roles(manifest, protocol) == "train"]
    found = []
    for label, rows in train.groupby("label"):
        annotated = int((rows["ann_kind"] != "none").sum())
        if annotated < len(rows) / 2:
            message = f"{annotated} of {len(rows)} training rows have a human map"
            remedy = "guided losses see only these; annotate more, or use unguided methods"
            found.append(Finding("W_ANN_SPARSE", f"label {label}", message, remedy))
    return found


def _unknown_facts(manifest: pd.DataFrame) -> list[Finding]:
    found = []
    anonymous = manifest[manifest["subject_known"] == "0"]
    if len(anonymous):
        where = "source " + ", ".join(sorted(anonymous["source"].unique()))
        message = (
            f"{len(anonymous)} of {len(manifest)} rows have no known subject; leaks by subject stay unseen"
        )
        found.append(
            Finding("W_SUBJECT", where, message, "give a subject column or pattern, if there is one")
        )
    silent = manifest[
        (manifest["phi_flag"] == "absent") & manifest["photometric"].str.startswith("MONOCHROME")
    ]
    if len(silent):
        message = f"{len(silent)} DICOM files do not say whether identifying text is burnt in"
        found.append(
            Finding("W_PHI_ABSENT", silent["image_path"].iloc[0], message, "look at them before sharing")
        )
    return found


def _extra_files(extra_files: Mapping[str, int]) -> list[Finding]:
    remedy = "list them, or move them away"
    return [
        Finding("W_EXTRA_FILES", folder, f"{count} image files that no list names", remedy)
        for folder, count in sorted(extra_files.items())
        if count
    ]


def unlisted(listed: Iterable[Path]) -> dict[Path, int]:
    """How many files beside the listed ones have a listed suffix, per folder that holds listed files."""
    files = set(listed)
    suffixes = {file.suffix.lower() for file in files}
    return {
        folder: sum(
            1
            for path in folder.iterdir()
            if path not in files and path.suffix.lower() in suffixes and path.is_file()
        )
        for folder in {file.parent for file in files}
    }


def counts(manifest: pd.DataFrame, protocol: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows and annotated rows per role, source and label."""
    table = manifest.assign(role=roles(manifest, protocol), annotated=manifest["ann_kind"] != "none")
    groups = table.groupby(["role", "source", "label"])["annotated"].agg(["size", "sum"])
    return [
        {"role": role, "source": source, "label": int(label), "rows": int(size), "annotated": int(annotated)}
        for (role, source, label), (size, annotated) in zip(groups.index, groups.to_numpy(), strict=True)
    ]
