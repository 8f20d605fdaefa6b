"""Two strided convolutions with group norm and GELU: features may be negative, the stride is 4."""

from typing import Annotated

from pydantic import Field
from torch import nn

from pipeline.model.backbones import FeatureExtractor


def build(in_channels: int, *, width: Annotated[int, Field(ge=4)] = 8) -> FeatureExtractor:
    layers = [
        ("stem", nn.Conv2d(in_channels, width, 4, stride=2, padding=1)),
        ("norm", nn.GroupNorm(2, width)),
        ("act", nn.GELU()),
        ("down", nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
        ("norm2", nn.GroupNorm(2, 2 * width)),
        ("act2", nn.GELU()),
    ]
    return FeatureExtractor(layers, out_channels=2 * width)
