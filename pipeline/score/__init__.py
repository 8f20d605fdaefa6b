"""Pure functions of labels and scores; this file holds what they share: no metric takes NaN for a score."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

Metric = TypeVar("Metric", bound=Callable[..., Any])


def refuses_undefined_scores(metric: Metric) -> Metric:
    """A metric(labels, scores, ...) that raises ValueError, with its name, where a score is NaN or infinite.

    Comparisons with NaN are all false, so that a metric would count such samples on one side in silence.
    """

    @functools.wraps(metric)
    def checked(labels: np.ndarray, scores: np.ndarray, *rest: Any, **named: Any) -> Any:
        if undefined := int(np.sum(~np.isfinite(scores))):
            raise ValueError(f"{metric.__name__}: {undefined} of {len(scores)} scores are NaN or infinite")
        return metric(labels, scores, *rest, **named)

    return cast(Metric, checked)
