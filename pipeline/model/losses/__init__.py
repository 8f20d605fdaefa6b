"""What every loss returns, and the two steps they share: the human map on the CAM grid, and the mixture."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.model.cam import is_flat, normalise


class Terms(NamedTuple):
    """Scalars of one batch; `total` is what is minimised."""

    total: Tensor
    classification: Tensor
    guidance: Tensor


def on_grid(human_maps: Tensor, has_map: Tensor, cams: Tensor) -> tuple[Tensor, Tensor]:
    """Human maps as the losses use them: (H, usable), (N, h, w) in [0, 1] and (N,) bool.

    human_maps (N, H, W) in [0, 1] are averaged over the area of each cell of cams (..., h, w), then
    scaled to [0, 1] by `normalise`. A sample is usable if it has a map and that map is not flat on
    the grid; the others' maps are zeros.
    """
    height, width = cams.shape[-2:]
    maps = functional.adaptive_avg_pool2d(human_maps.to(cams.dtype), (height, width))
    usable = has_map & ~is_flat(maps)
    return torch.where(usable[:, None, None], normalise(maps), 0.0), usable


def combine(logits: Tensor, labels: Tensor, guidance: Tensor, usable: Tensor, alpha: float) -> Terms:
    """alpha * CE + (1 - alpha) * mean of `guidance` (N,) over the usable samples, 0 if there are none."""
    classification = functional.cross_entropy(logits, labels)
    mean = torch.where(usable, guidance, 0.0).sum() / usable.sum().clamp(min=1)
    return Terms(alpha * classification + (1 - alpha) * mean, classification, mean)


def mse(maps: Tensor, targets: Tensor | float) -> Tensor:
    """Mean squared difference per sample, (N,)."""
    return (maps - targets).square().mean((1, 2))
