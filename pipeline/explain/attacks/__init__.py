"""The contract of attacks: what each one is given, a trained model and images, and what it reports of them.

An attack is a file of `pipeline/explain/attacks` with

    def attack(victim: Victim, *, <settings>) -> Findings

and a constant TABLE, which says the table that its values are part of. It works on copies and leaves the
victim's model as it was.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.explain import similarity
from pipeline.model import CamClassifier
from pipeline.model.batches import StoreRows

COLUMNS = ("explanation", "metric", "budget", "value", "n", "undefined")


class Victim(NamedTuple):
    """A trained model under attack and the n test images that it is attacked on."""

    model: CamClassifier  # in eval mode, on its device
    train: StoreRows  # what the model was trained on
    images: Tensor  # (n, C, S, S) float32 in [0, 1], on the model's device, as are the next three
    labels: Tensor  # (n,) int64
    human_maps: Tensor  # (n, S, S) in [0, 1]
    has_map: Tensor  # (n,) bool
    explanations: tuple[str, ...]  # names of the explanations that are tested
    shown: int  # of the first so many images pictures are kept
    batch_size: int
    seed: int


class Findings(NamedTuple):
    """What an attack found."""

    values: pd.DataFrame  # COLUMNS; see `Values`
    pictures: dict[str, np.ndarray]  # float32 maps and uint8 images of the first `shown` images


class Values:
    """Collects the rows of `Findings.values`, in the order in which they are added.

    >>> values = Values()
    >>> values.add("accuracy_linf", 0.75, budget=0.01)
    >>> values.add("pearson_clean", np.array([0.5, np.nan, 1.0]), explanation="cam")
    >>> values.table()[["metric", "value", "n", "undefined"]].values.tolist()
    [['accuracy_linf', 0.75, 1, 0], ['pearson_clean', 0.75, 2, 1]]
    """

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, float, float, int, int]] = []

    def add(
        self,
        metric: str,
        samples: np.ndarray | Tensor | float,
        *,
        explanation: str = "",
        budget: float = float("nan"),
    ) -> None:
        """One row: the mean over the samples (one number, or one per image) for which `metric` is defined.

        NaN marks an undefined sample: `n` counts the others and `undefined` these. Where none is defined,
        the value is NaN and n 0.
        """
        numbers = samples.detach().cpu().numpy() if isinstance(samples, Tensor) else np.asarray(samples)
        numbers = np.atleast_1d(numbers).astype(np.float64)
        defined = numbers[~np.isnan(numbers)]
        value = float(defined.mean()) if len(defined) else float("nan")
        missing = len(numbers) - len(defined)
        self._rows.append((explanation, metric, float(budget), value, len(defined), missing))

    def add_similarities(self, explanation: str, **pairs: tuple[np.ndarray, np.ndarray]) -> None:
        """mse, pearson and ssim of pairs of maps (n, h, w), whose names are the metrics' suffixes."""
        for suffix, (maps, others) in pairs.items():
            for metric, samples in similarity.compare(maps, others).items():
                self.add(f"{metric}_{suffix}", samples, explanation=explanation)

    def table(self) -> pd.DataFrame:
        """All rows, with COLUMNS."""
        return pd.DataFrame(self._rows, columns=list(COLUMNS))


@torch.no_grad()
def logits_of(model: CamClassifier, images: Tensor, batch_size: int) -> Tensor:
    """Logits (n, 2) of images (n, C, S, S), so many at a time, without a graph."""
    return torch.cat([model(part).logits for part in images.split(batch_size)])
