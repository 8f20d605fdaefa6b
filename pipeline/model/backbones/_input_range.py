"""Images as a network's first weights were trained on them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.model.classifier import IMAGENET_MEAN, IMAGENET_STD


class InputRange(nn.Module):
    """Undoes ImageNet's normalisation, in which the classifier hands over images, and makes another one.

    It holds no tensor that is saved with a model or looked for in a file of weights.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, channels: int, mean: Sequence[float], std: Sequence[float]) -> None:
        """mean, std: what images in [0, 1] shall be normalised by, one number per channel or one for all."""
        super().__init__()
        given = torch.tensor([IMAGENET_MEAN, IMAGENET_STD])
        given = given if channels == 3 else given.mean(1, keepdim=True)
        wanted = torch.tensor([mean, std])
        scale, shift = given[1] / wanted[1], (given[0] - wanted[0]) / wanted[1]
        self.register_buffer("scale", scale.reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.reshape(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, C, H, W), normalised by ImageNet's means and deviations."""
        return images * self.scale + self.shift
