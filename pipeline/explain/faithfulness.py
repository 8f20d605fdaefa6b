"""Deletion and insertion curves: does the model's answer depend on the pixels a map points at?

Petsiuk et al. 2018 (RISE). Pixels are ordered by a map, the most salient first. Deletion replaces them in
that order by the image's own channel means; insertion starts from a blurred image and puts them back. The
score is the softmax probability of the explained class, which is fixed from the clean image. The area under
a curve over the share of pixels changed is its summary: low is good for deletion, high for insertion. A
random order is the control. Maps are upsampled bilinearly; equal values are ordered by one fixed random
permutation.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from pipeline.common.seeding import torch_rng

Curve = Literal["deletion", "insertion"]
CURVES: tuple[Curve, ...] = ("deletion", "insertion")
BLUR = 5 / 224  # Gaussian sigma as a share of the image's side; RISE's 5 px at 224
Margins = Callable[[Tensor], Tensor]  # images (B, C, H, W) -> z1 - z0 (B,)


def curves(
    margins: Margins, images: Tensor, classes: Tensor, maps: Mapping[str, Tensor | None], steps: int
) -> dict[tuple[str, Curve], np.ndarray]:
    """Scores along both curves for each order, (N, steps) at `shares(steps)` of the pixels changed.

    images: (N, C, H, W); classes: (N,) explained class 0 or 1; maps: order name -> (N, h, w), or None for the
    random control. One forward per step, order and curve for the whole batch; ends shared by all orders are
    computed once.
    """
    sign = 2 * classes.to(images.dtype) - 1
    size = images.shape[-2:]

    def score(batch: Tensor) -> Tensor:
        return torch.sigmoid(sign * margins(batch))

    ends = {
        "deletion": (images, mean_fill(images).expand_as(images)),
        "insertion": (blur(images), images),
    }
    at_ends = {curve: [score(end) for end in pair] for curve, pair in ends.items()}
    found: dict[tuple[str, Curve], np.ndarray] = {}
    for name, map_ in maps.items():
        ranks = pixel_ranks(map_, len(images), (size[0], size[1])).to(images.device)
        for curve in CURVES:
            start, end = ends[curve]
            between = [
                score(torch.where((ranks < share * ranks[0].numel())[:, None], end, start))
                for share in shares(steps)[1:-1]
            ]
            points = [at_ends[curve][0], *between, at_ends[curve][1]]
            found[name, curve] = torch.stack(points, dim=1).cpu().numpy().astype(np.float64)
    return found


def shares(steps: int) -> np.ndarray:
    """The shares of pixels changed along a curve, from 0 to 1.

    >>> shares(3).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.linspace(0, 1, steps)


def area(scores: np.ndarray) -> np.ndarray:
    """Trapezoid area under (N, steps) curves over shares 0..1; that of a constant curve is its score.

    >>> area(np.array([[1.0, 0.5, 0.0]])).tolist()
    [0.5]
    """
    heights = (scores[:, 1:] + scores[:, :-1]) / 2
    return heights.mean(axis=1)


def pixel_ranks(maps: Tensor | None, count: int, size: tuple[int, int]) -> Tensor:
    """Rank of each pixel, 0 for the most salient, (count, H, W); without maps, the fixed random order."""
    permutation = torch.randperm(size[0] * size[1], generator=torch_rng(0, "pixel order"))
    if maps is None:
        maps = torch.zeros(count, 1, 1)
    permutation = permutation.to(maps.device)
    fine = interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False).flatten(1)
    order = permutation[torch.argsort(fine[:, permutation], dim=1, descending=True, stable=True)]
    ranks = torch.empty_like(order)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return ranks.scatter_(1, order, places).view(count, *size)


def mean_fill(images: Tensor) -> Tensor:
    """Each image's channel means, (N, C, 1, 1): what stands in for pixels that are taken away."""
    return images.mean(dim=(2, 3), keepdim=True)


def blur(images: Tensor) -> Tensor:
    """Gaussian blur of (N, C, H, W) with RISE's kernel (11 px, sigma 5 at 224 px) scaled to the image."""
    sigma = BLUR * images.shape[-1]
    radius = max(1, round(sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-((offsets / sigma) ** 2) / 2)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    padded = pad(images, (radius, radius, radius, radius), mode="reflect")
    rows = conv2d(padded, kernel, groups=images.shape[1])
    return conv2d(rows, kernel.transpose(2, 3), groups=images.shape[1])
