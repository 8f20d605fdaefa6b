"""Class activation maps of both classes: choosing, scaling and subtracting them.

Symbols as in the losses: S_t, S_f are the raw maps of the true and the false class, D = S_t - S_f.
"Difference Salience", the raw true-class map minus the raw false-class map, is the term of Piland,
Sweet and Czajka, arXiv 2507.17000; softmax sees D and nothing else.
"""

from typing import Literal

import torch
from torch import Tensor

FLAT = 1e-8  # a map whose range is not above this has no shape


def select(cams: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(S_t, S_f), each (N, h, w), of cams (N, 2, h, w) for labels (N,) in {0, 1}.

    >>> true_cam, false_cam = select(torch.tensor([[[[1.0]], [[2.0]]]]), torch.tensor([1]))
    >>> true_cam.item(), false_cam.item()
    (2.0, 1.0)
    """
    abnormal = (labels == 1)[:, None, None]
    return torch.where(abnormal, cams[:, 1], cams[:, 0]), torch.where(abnormal, cams[:, 0], cams[:, 1])


def difference_salience(cams: Tensor, labels: Tensor) -> Tensor:
    """D = S_t - S_f, raw and signed, (N, h, w). Its mean plus the bias difference is the margin."""
    true_cam, false_cam = select(cams, labels)
    return true_cam - false_cam


def normalise(maps: Tensor) -> Tensor:
    """N(X) = (X - min X) / (max X - min X) per sample, (N, h, w) in [0, 1].

    Gradient flows through X, min and max. A flat map becomes zeros with zero gradient: the division is
    by 1 there, since a `where` after a division by zero still leaks NaN into the gradient.

    >>> normalise(torch.tensor([[[1.0, 2.0], [3.0, 5.0]], [[7.0, 7.0], [7.0, 7.0]]])).tolist()
    [[[0.0, 0.25], [0.5, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]
    """
    low = maps.amin((1, 2), keepdim=True)
    span = maps.amax((1, 2), keepdim=True) - low
    shaped = span > FLAT
    scaled = (maps - low) / torch.where(shaped, span, 1.0)
    return torch.where(shaped, scaled, 0.0)


def diff_grad_cam(
    logits: Tensor,
    features: Tensor,
    classes: Tensor | None = None,
    *,
    baseline: Literal["lse", "mean", "max"] = "lse",
    relu: bool = True,
) -> Tensor:
    """Grad-CAM of a logit difference, (N, h, w); after DiffGradCAM, arXiv 2506.08514.

    s_c = z_c - B_c, where B_c is the log-sum-exp, mean or maximum of the other logits;
    map = ReLU(sum_k mean_ij(ds_c / dA_k) A_k). How the other logits are joined is this project's reading
    of the paper's abstract; with two classes all three are z_c minus the other logit, and on GAP and a
    linear head the map is then ReLU(D) / (h w).

    logits: (N, C) with a graph to features (N, K, h, w); classes: (N,), by default the predicted ones.
    The result is detached and the graph is kept.
    """
    classes = logits.argmax(1) if classes is None else classes
    chosen = torch.nn.functional.one_hot(classes, logits.shape[1]).bool()
    own = logits[chosen]
    others = logits[~chosen].reshape(len(logits), -1)
    joined = {
        "lse": lambda: others.logsumexp(1),
        "mean": lambda: others.mean(1),
        "max": lambda: others.amax(1),
    }[baseline]()
    (gradient,) = torch.autograd.grad((own - joined).sum(), features, retain_graph=True)
    maps = torch.einsum("nk,nkhw->nhw", gradient.mean((2, 3)), features.detach())
    return maps.relu() if relu else maps
