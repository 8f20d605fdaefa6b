"""EfficientNet-B0 (Tan and Le, ICML 2019) from MONAI: 7x7 maps at 224 px."""

from monai.networks.nets import EfficientNetBN

from pipeline.model.backbones import FeatureExtractor, PublishedWeights

PUBLISHED = PublishedWeights(
    "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/efficientnet-b0-355c32eb.pth",
    renames=((r"^_blocks\.\d+\.(\d+)\.", r"_blocks.\1."),),  # MONAI groups the blocks by stage
)
LAYERS = ("_conv_stem_padding", "_conv_stem", "_bn0", "_swish", "_blocks", "_conv_head_padding", "_conv_head")


def build(in_channels: int) -> FeatureExtractor:
    """Features (N, 1280, H/32, W/32), after the last swish (so slightly negative values occur).

    The published head has dropout between pooling and the linear layer; here logits are exactly the
    spatial mean of the maps, so there is none. Stochastic depth inside the blocks is kept.
    """
    network = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=in_channels)
    layers = [(name, getattr(network, name)) for name in LAYERS]
    layers += [("_bn1", network._bn1), ("_swish1", network._swish)]
    return FeatureExtractor(layers, out_channels=1280)
