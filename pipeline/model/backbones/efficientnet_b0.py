"""EfficientNet-B0 (Tan and Le, ICML 2019) from MONAI: 7x7 maps at 224 px."""

from collections.abc import Iterator
from typing import Literal

from monai.networks.nets import EfficientNetBN
from torch import nn

from pipeline.model.backbones import FeatureExtractor, PublishedWeights

LAYERS = ("_conv_stem_padding", "_conv_stem", "_bn0", "_swish", "_blocks", "_conv_head_padding", "_conv_head")
BLOCKS = (1, 2, 2, 3, 3, 4, 1)  # of each stage
PARTS = (  # of a block, in the order of torchvision's file; the first stage has no expansion
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_se_reduce", "_se_expand"),
    ("_project_conv", "_bn2"),
)


def build(
    in_channels: int, *, convention: Literal["tensorflow", "torchvision"] = "tensorflow"
) -> FeatureExtractor:
    """Features (N, 1280, H/32, W/32), after the last swish (so slightly negative values occur).

    The published head has dropout between pooling and the linear layer; here logits are exactly the
    spatial mean of the maps, so there is none. Stochastic depth inside the blocks is kept.

    convention: whose weights it starts with. Torchvision's network pads all sides alike, where TensorFlow and
    the published file pad more below and on the right, and its norms have another epsilon.
    """
    network = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=in_channels)
    if convention == "torchvision":
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 1e-5
            elif isinstance(layer, nn.ConstantPad2d):
                layer.padding = (max(layer.padding),) * 4
    layers = [(name, getattr(network, name)) for name in LAYERS]
    layers += [("_bn1", network._bn1), ("_swish1", network._swish)]
    return FeatureExtractor(layers, out_channels=1280)


def _renames() -> Iterator[tuple[str, str]]:
    """MONAI's names and torchvision's into those of the published file."""
    yield r"^_blocks\.\d+\.(\d+)\.", r"_blocks.\1."  # MONAI groups the blocks by stage
    block = 0
    for stage, count in enumerate(BLOCKS, start=1):
        parts = PARTS[1:] if stage == 1 else PARTS
        for place in range(count):
            for number, names in enumerate(parts):
                for inner, ours in zip(("(?:0|fc1)", "(?:1|fc2)"), names, strict=True):
                    yield rf"^{stage}\.{place}\.block\.{number}\.{inner}\.", f"_blocks.{block}.{ours}."
            block += 1
    for stage, names in ((0, ("_conv_stem", "_bn0")), (8, ("_conv_head", "_bn1"))):
        for number, ours in enumerate(names):
            yield rf"^{stage}\.{number}\.", f"{ours}."


PUBLISHED = PublishedWeights(
    "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/efficientnet-b0-355c32eb.pth",
    renames=tuple(_renames()),
)
