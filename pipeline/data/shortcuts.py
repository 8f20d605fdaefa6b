"""What gives the class away without the picture: properties of the files, and sources of one class."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from pipeline.data.problems import Finding

SHORTCUT = 0.9  # balanced accuracy above which one property of the file gives the class away
PURE = 1e-6  # chance below which "all rows with this value have one label" is no accident
MIN_VALUE_ROWS = 5  # rarer values of a property are looked at together
RARE = f"in fewer than {MIN_VALUE_ROWS} files"
CLASS_IS_SOURCE = ("attack_type", "generator", "material")  # source kinds that name the class itself


def shortcuts(manifest: pd.DataFrame) -> list[Finding]:
    """W_SHORTCUT for every property and source of these rows that gives the class away."""
    positive = (manifest["label"] == "1").to_numpy()
    if positive.all() or not positive.any():
        return []
    columns = ("width", "height", "file_bytes")
    width, height, size = (manifest[column].astype(float).to_numpy() for column in columns)
    words = {
        "file extension": [PurePosixPath(path).suffix.lower() or "none" for path in manifest["image_path"]],
        "modality": manifest["modality"].tolist(),
        "width x height": (manifest["width"] + "x" + manifest["height"]).tolist(),
        "photometric": manifest["photometric"].tolist(),
        "bits": manifest["bits"].tolist(),
    }
    numbers = {"megapixels": width * height / 1e6, "file bytes per pixel": size / (width * height)}
    found = []
    for name, values in words.items():
        found += _find_telling_words(name, values, positive)
    for name, amounts in numbers.items():
        accuracy, threshold = best_threshold(amounts, positive)
        if accuracy > SHORTCUT:
            message = f"alone, cut at {threshold:.4g}, it separates the classes"
            found.append(Finding("W_SHORTCUT", name, f"{message} (balanced accuracy {accuracy:.2f})"))
    return [*found, *_find_one_class_sources(manifest)]


def _find_telling_words(name: str, values: Sequence[str], positive: np.ndarray) -> list[Finding]:
    counts = Counter(values)
    kept = np.array([value if counts[value] >= MIN_VALUE_ROWS else RARE for value in values])
    shares = {
        value: ((kept == value) & positive).sum() / positive.sum() for value in sorted(set(kept.tolist()))
    }
    against = {value: ((kept == value) & ~positive).sum() / (~positive).sum() for value in shares}
    accuracy = sum(max(shares[value], against[value]) for value in shares) / 2
    if accuracy > SHORTCUT:
        return [
            Finding("W_SHORTCUT", name, f"alone it predicts the class (balanced accuracy {accuracy:.2f})")
        ]
    return [
        Finding(
            "W_SHORTCUT", name, f"all {(kept == value).sum()} rows with {name} {value} have label {label}"
        )
        for value in shares
        for label, prior in (("1", positive.mean()), ("0", 1 - positive.mean()))
        if (against if label == "1" else shares)[value] == 0 and prior ** (kept == value).sum() < PURE
    ]


def best_threshold(amounts: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Balanced accuracy of the best single cut of a number, in either direction, and the cut."""
    order = np.argsort(amounts, kind="stable")
    values, labels = amounts[order], positive[order]
    below = np.cumsum(labels) / labels.sum() - np.cumsum(~labels) / (~labels).sum()
    below[:-1][values[1:] == values[:-1]] = 0  # a cut cannot pass between equal values
    best = int(np.abs(below).argmax())
    return (1 + abs(float(below[best]))) / 2, float(values[best])


def _find_one_class_sources(manifest: pd.DataFrame) -> list[Finding]:
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
            found.append(Finding("W_SHORTCUT", f"source {source}", message))
    return found
