"""Accuracy against the size of perturbations: curves and the accuracy-robustness area (ARA).

After Woods, Chen and Teuscher, "Adversarial explanations for understanding image classification decisions
and improved neural network robustness", Nature Machine Intelligence 2019. A radius is the size of the
smallest perturbation found that changes an image's decision, 0 where it is wrong from the start; any norm
will do, the authors take the root mean square over an image's values in [0, 1]. Radii that are NaN or
infinite are a ValueError: an image that nothing changes counts with the largest perturbation that was tried.
"""

import numpy as np


def accuracy_curve(radii: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """A(eps), the share of radii (n,) above each of the budgets (k,); (k,), falling, NaN without radii.

    >>> accuracy_curve(np.array([0.0, 0.1, 0.2, 0.2]), np.array([0.0, 0.1, 0.15, 0.2])).tolist()
    [0.75, 0.5, 0.5, 0.0]
    """
    _refuse_undefined(radii)
    if not len(radii):
        return np.full(len(budgets), np.nan)
    return 1 - np.searchsorted(np.sort(radii), budgets, side="right") / len(radii)


def ara(radii: np.ndarray, chance: float = 0.5) -> float:
    """Integral over eps >= 0 of max(0, A(eps) - chance), in the unit of the radii (n,); NaN without radii.

    A is a step function, so the integral is a sum; the authors' code takes a histogram of 1000 bins. They
    subtract 1 / classes; with unequal classes give `majority_share`, this project's reading of chance.

    >>> round(ara(np.array([0, 0, 0.1, 0.2, 0.2, 0.3, 0.4, 0.5, 0.5, 1])), 12)
    0.05
    """
    if not len(radii):
        return float("nan")
    edges = np.concatenate([[0.0], np.sort(radii)])
    heights = accuracy_curve(radii, edges[:-1])  # from each edge to the next
    return float((np.diff(edges) * np.maximum(heights - chance, 0)).sum())


def _refuse_undefined(radii: np.ndarray) -> None:
    if undefined := int(np.sum(~np.isfinite(radii))):
        raise ValueError(f"accuracy curve and ARA: {undefined} of {len(radii)} radii are NaN or infinite")


def majority_share(labels: np.ndarray) -> float:
    """Accuracy of always naming the more frequent of the labels (n,); NaN without labels.

    >>> majority_share(np.array([0, 0, 0, 1]))
    0.75
    """
    return (
        float(np.unique(labels, return_counts=True)[1].max() / len(labels)) if len(labels) else float("nan")
    )
