"""Class activation maps of both classes: choosing, scaling and subtracting them; and Grad-CAM's family.

Symbols as in the losses: S_t, S_f are the raw maps of the true and the false class, D = S_t - S_f.
"Difference Salience", the raw true-class map minus the raw false-class map, is the term of Piland,
Sweet and Czajka, arXiv 2507.17000; softmax sees D and nothing else.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Baseline = Literal["lse", "mean", "max"]  # how the other classes' logits are joined
FLAT = 1e-6  # a map has no shape if its range is at most this share of its largest value: that is rounding


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
    flat = is_flat(maps)[:, None, None]
    return torch.where(flat, 0.0, (maps - low) / torch.where(flat, 1.0, span))


def is_flat(maps: Tensor) -> Tensor:
    """Which of the maps (N, h, w) have no shape, (N,) bool; one with NaN is not flat.

    >>> is_flat(torch.tensor([[[0.0, 0.0]], [[7.0, 7.0]], [[0.0, 1e-12]], [[7.0, 7.000001]]])).tolist()
    [True, True, False, True]
    """
    low, high = maps.detach().amin((1, 2)), maps.detach().amax((1, 2))
    return high - low <= FLAT * torch.maximum(low.abs(), high.abs())


def margin(logits: Tensor, classes: Tensor, baseline: Baseline = "lse") -> Tensor:
    """s_c = z_c - B_c, (N,), of logits (N, C) and classes (N,); B_c joins the other logits.

    With their log-sum-exp s_c is the log-odds log(p_c / (1 - p_c)), the whole decision; `mean` and `max` are
    for comparison. With two classes all three are z_c minus the other logit.

    >>> margin(torch.tensor([[1.0, 3.0], [1.0, 3.0]]), torch.tensor([1, 0])).tolist()
    [2.0, -2.0]
    >>> margin(torch.tensor([[1.0, 2.0, 6.0]]), torch.tensor([0]), "mean")
    tensor([-3.])
    """
    chosen = functional.one_hot(classes, logits.shape[1]).bool()
    own = logits.masked_fill(~chosen, 0).sum(1)
    if baseline == "mean":
        return own - logits.masked_fill(chosen, 0).sum(1) / (logits.shape[1] - 1)
    others = logits.masked_fill(chosen, -torch.inf)
    return own - (others.logsumexp(1) if baseline == "lse" else others.amax(1))


def grad_cam(scores: Tensor, features: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017) before its ReLU: sum_k mean_ij(ds / dA_k) A_k, (N, h, w).

    scores (N,) have a graph to features A (N, K, h, w). The map is linear in the scores; for z_c on GAP and a
    linear head it is CAM / (h w). It is detached, and the graph is kept.
    """
    return _weigh_features(features, _score_gradient(scores, features).mean((2, 3)))


def grad_cam_pp(scores: Tensor, features: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhay et al., WACV 2018): ReLU(sum_k alpha_k A_k), (N, h, w), of scores as above.

    With g = ds / dA_k(i, j) and the class score exp(s) of the paper,

        alpha_k = sum_ij ReLU(g) g^2 / (2 g^2 + g^3 sum A_k) = sum_ij ReLU(g) / (2 + g sum A_k)

    leaving out the positive factor exp(s) that a map's cells share. Cancelling g^2 makes the epsilon of other
    implementations needless, beside which the small g of average pooling would vanish. Cells with g <= 0
    count nothing, so the denominator is at least 2 where sum A_k is not negative.
    """
    rising = _score_gradient(scores, features).relu()
    mass = features.detach().sum((2, 3), keepdim=True)
    return _weigh_features(features, (rising / (2 + rising * mass)).sum((2, 3))).relu()


def diff_grad_cam(
    logits: Tensor,
    features: Tensor,
    classes: Tensor | None = None,
    *,
    baseline: Baseline = "lse",
    relu: bool = True,
) -> Tensor:
    """Grad-CAM of a class's margin, (N, h, w); after DiffGradCAM, arXiv 2506.08514.

    map = ReLU(sum_k mean_ij(ds_c / dA_k) A_k), s_c of `margin`. How the other logits are joined is
    this project's reading of the paper's abstract; with two classes, on GAP and a linear head, the map is
    ReLU(D) / (h w).

    logits: (N, C) with a graph to features (N, K, h, w); classes: (N,), by default the predicted ones.
    The result is detached and the graph is kept.
    """
    classes = logits.argmax(1) if classes is None else classes
    maps = grad_cam(margin(logits, classes, baseline), features)
    return maps.relu() if relu else maps


def _score_gradient(scores: Tensor, features: Tensor) -> Tensor:
    """ds / dA of every sample, like features, detached."""
    return torch.autograd.grad(scores.sum(), features, retain_graph=True)[0]


def _weigh_features(features: Tensor, weights: Tensor) -> Tensor:
    """Sum of feature maps (N, K, h, w) with weights (N, K)."""
    return torch.einsum("nk,nkhw->nhw", weights, features.detach())
