"""Transplant of what people marked into the surroundings of another image of either class.

    x~ = R_x x + (1 - R_x) u,   u = s, or (1 - R_s) s + R_s t where s is positive
    R_x = clip((H_x / max H_x - 0.15) / 0.3, 0, 1),   R_s = min(1, H_s / (0.3 max H_s))

x keeps its label and its human map H_x, s is a random image of the batch and t a random negative. The region
of a positive s is covered by t, so that its cause does not come along. Surroundings are drawn without regard
to the label and seams are alike in both classes, so nothing outside the region says anything: in every image,
as images that were left alone would be known by their missing seams. R_x is narrower than R_s, for what was
marked by mistake shall not be carried along. This project's own; relatives are CarveMix (Zhang et al., MICCAI
2021) and the mixed backgrounds of Xiao et al. (ICLR 2021).
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pipeline.model.batches import Batch
from pipeline.model.classifier import CamClassifier
from pipeline.model.fills import fill, soft_regions
from pipeline.model.regularisers import Regulariser

USES_MAPS = True
NEEDS_CURVATURE = False

OUTER, INNER = 0.15, 0.45  # shares of a map's peak between which a region fades in


class Transplant(Regulariser):
    """Gives every image whose region is known the surroundings of another, with some probability."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def perturb(self, model: CamClassifier, batch: Batch, epoch: int) -> Batch:
        """See `Regulariser`; labels and maps stay. A positive without a map lends no surroundings."""
        count, device = len(batch.labels), batch.labels.device
        positive = batch.labels == 1
        marked = batch.has_map & batch.maps.flatten(1).any(1)
        source = torch.randperm(count, device=device)
        moves = marked & (marked | ~positive)[source]
        moves &= torch.rand(count, device=device) < self.probability
        causes = soft_regions(batch.maps[source]) * positive[source][:, None, None]
        surroundings = fill(batch.images[source], batch.images[_negatives(batch.labels)], causes)
        own = torch.where(moves[:, None, None], _cores(batch.maps), 1.0)
        mixed = fill(surroundings, batch.images, own)
        return batch._replace(images=mixed.contiguous(memory_format=torch.channels_last))


def _negatives(labels: Tensor) -> Tensor:
    """For each of N samples the row of a random negative, int64 (N,); any row if there is none."""
    order = (torch.rand(len(labels), device=labels.device) + labels).argsort()  # negatives first
    return order[torch.arange(len(labels), device=labels.device) % (labels == 0).sum().clamp_min(1)]


def _cores(maps: Tensor) -> Tensor:
    """Where maps (N, S, S) are well above nothing, soft in [0, 1]; zeros stay."""
    peaks = maps.amax((1, 2), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    return ((maps / peaks - OUTER) / (INNER - OUTER)).clamp(0, 1)


def regulariser(*, probability: Annotated[float, Field(ge=0, le=1)] = 1.0) -> Regulariser:
    """probability: that an image gets other surroundings, 0..1; below 1, the images that are left tell."""
    return Transplant(probability)
