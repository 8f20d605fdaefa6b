"""What gives the class away without the picture: properties of the files, and sources of one class.

A property is told if it says more of the label than chance (permutation test, corrected for how many
properties are looked at) and enough to matter (balanced accuracy of at least 0.6).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from pipeline.common.seeding import numpy_rng
from pipeline.data.problems import Finding

LEVEL = 0.01  # chance that a data set without any shortcut is told to have one
ENOUGH = 0.6  # balanced accuracy, or AUROC, below which a dependence is left untold
TABLES = 9999  # random tables of a permutation test
PURE = 1e-6  # chance below which "all rows with this value have one label" is no accident
MIN_VALUE_ROWS = 5  # rarer values of a property are looked at together
RARE = f"in fewer than {MIN_VALUE_ROWS} files"
CLASS_IS_SOURCE = ("attack_type", "generator", "material")  # source kinds that name the class itself


def shortcuts(manifest: pd.DataFrame, unit: np.ndarray) -> list[Finding]:
    """W_SHORTCUT for every property and source of these rows that gives the class away.

    Rows of one leak `unit` and label with the same property count once: many films of a patient are one case.
    """
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
    level = LEVEL / (len(words) + len(numbers))
    found = []
    for name, values in words.items():
        found += _find_telling_words(name, values, positive, unit, level)
    for name, amounts in numbers.items():
        found += _find_telling_numbers(name, amounts, positive, unit, level)
    return [*found, *_find_one_class_sources(manifest)]


def _find_telling_words(
    name: str, values: Sequence[str], positive: np.ndarray, unit: np.ndarray, level: float
) -> list[Finding]:
    counts = Counter(values)
    kept = np.array([value if counts[value] >= MIN_VALUE_ROWS else RARE for value in values])
    words, rows = np.unique(kept), pd.DataFrame({"value": kept, "label": positive, "unit": unit})
    table = pd.crosstab(rows["value"], rows["label"]).reindex(words).to_numpy()
    once = rows.drop_duplicates()
    independent = pd.crosstab(once["value"], once["label"]).reindex(words).to_numpy()
    accuracy, p = _balanced_accuracy(table), _permuted(independent)
    apart = np.abs(table / table.sum(axis=0) @ [-1, 1]).round(9)
    purest = max(range(len(words)), key=lambda row: (apart[row], table[row].max() / table[row].sum()))
    if p <= level and accuracy >= ENOUGH:
        negatives, positives = table[purest]
        message = (
            f"alone it predicts the class: balanced accuracy {accuracy:.2f}, p {_chance(p)}; "
            f"{words[purest]} has {negatives} rows of label 0 and {positives} of label 1"
        )
        return [Finding("W_SHORTCUT", name, message)]
    shares = independent.sum(axis=0) / independent.sum()
    return [
        Finding("W_SHORTCUT", name, f"all {row.sum()} rows with {name} {value} have label {label}")
        for value, row, own in zip(words, table, independent, strict=True)
        for label in (0, 1)
        if row[1 - label] == 0 and shares[label] ** own.sum() < PURE
    ]


def _balanced_accuracy(table: np.ndarray) -> float:
    """Of guessing the label by the value, from counts (values, 2)."""
    return float((table / table.sum(axis=0)).max(axis=1).sum() / 2)


def _permuted(table: np.ndarray) -> float:
    """Share of random tables with these margins that are as far from independence as counts (values, 2)."""
    (negatives, positives), values = table.sum(axis=0), table.sum(axis=1)
    rng = numpy_rng(0, "shortcuts", len(table))
    drawn = rng.multivariate_hypergeometric(values, positives, TABLES, method="marginals")
    tables = np.concatenate([table[None, :, 1], drawn])
    far = np.abs(tables / positives - (values - tables) / negatives).sum(axis=1).round(9)
    return float((far >= far[0]).mean())


def _find_telling_numbers(
    name: str, amounts: np.ndarray, positive: np.ndarray, unit: np.ndarray, level: float
) -> list[Finding]:
    once = pd.DataFrame({"amount": amounts, "label": positive, "unit": unit}).drop_duplicates()
    sides = [once["amount"][once["label"] == label].to_numpy() for label in (False, True)]
    p = float(ks_2samp(*sides).pvalue)
    accuracy, threshold = best_threshold(amounts, positive)
    if p > level or accuracy < ENOUGH:
        return []
    told = f"balanced accuracy {accuracy:.2f}, p {_chance(p)}"
    message = f"alone, cut at {threshold:.4g}, it predicts the class: {told}"
    return [Finding("W_SHORTCUT", name, message)]


def _chance(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


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
