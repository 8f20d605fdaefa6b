"""DenseNet-121 (Huang et al., CVPR 2017) from MONAI: 7x7 maps at 224 px."""

from monai.networks.nets import DenseNet121
from torch import nn

from pipeline.model.backbones import FeatureExtractor, PublishedWeights

PUBLISHED = PublishedWeights(
    "https://download.pytorch.org/models/densenet121-a639ec97.pth",
    renames=(
        (r"(denselayer\d+\.)layers\.", r"\1"),  # MONAI's
        (r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2."),  # the published file's
    ),
)


def build(in_channels: int) -> FeatureExtractor:
    """Features (N, 1024, H/32, W/32), after the last norm and its ReLU."""
    network = DenseNet121(spatial_dims=2, in_channels=in_channels, out_channels=2)
    layers = [*network.features.named_children(), ("relu5", nn.ReLU(inplace=True))]
    return FeatureExtractor(layers, out_channels=1024)
