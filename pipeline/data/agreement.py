"""How much several annotators of one image agree: the mean Dice coefficient of their maps, pair by pair.

A cell counts as marked by a person from half of the peak of that person's map. Two who both marked nothing
agree (1), one who marked nothing and one who did not disagree (0).
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.annotations import SUPPORT


def agreement(maps: Sequence[np.ndarray]) -> float | None:
    """Mean pairwise Dice, 0..1, of annotators' maps (h, w) of one image; None for fewer than two."""
    if len(maps) < 2:
        return None
    marked = [(each > 0) & (each >= SUPPORT * each.max()) for each in maps]
    return float(np.mean([dice(one, other) for one, other in combinations(marked, 2)]))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Twice the shared cells over all marked cells of two boolean maps.

    >>> dice(np.array([True, True, False]), np.array([False, True, False])).__round__(3)
    0.667
    """
    total = one.sum() + other.sum()
    return float(2 * (one & other).sum() / total) if total else 1.0


def summarise(found: pd.Series) -> dict[str, Any]:
    """How many images have several annotators, and the mean and the lowest of their Dice.

    >>> summarise(pd.Series([0.5, 1.0]))
    {'images': 2, 'dice': 0.75, 'lowest': 0.5}
    """
    mean, lowest = (round(float(value), 4) for value in (found.mean(), found.min()))
    return {"images": len(found), "dice": mean, "lowest": lowest}
