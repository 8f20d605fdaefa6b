"""DenseNet-121 (Huang et al., CVPR 2017) from MONAI: 7x7 maps at 224 px."""

from typing import Literal

from monai.networks.nets import DenseNet121
from torch import nn

from pipeline.model.backbones import FeatureExtractor, PublishedWeights
from pipeline.model.backbones._input_range import InputRange

PUBLISHED = PublishedWeights(
    "https://download.pytorch.org/models/densenet121-a639ec97.pth",
    renames=(
        (r"(denselayer\d+\.)layers\.", r"\1"),  # MONAI's
        (r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2."),  # the published file's
    ),
)
XRAY_MEAN, XRAY_STD = (0.5,), (0.5 / 1024,)  # TorchXRayVision's black is -1024, its white 1024


def build(
    in_channels: int, *, input_range: Literal["imagenet", "torchxrayvision"] = "imagenet"
) -> FeatureExtractor:
    """Features (N, 1024, H/32, W/32), after the last norm and its ReLU.

    input_range: that of the images which first weights were trained on; a state dict does not tell.
    """
    network = DenseNet121(spatial_dims=2, in_channels=in_channels, out_channels=2)
    layers: list[tuple[str, nn.Module]] = [*network.features.named_children()]
    if input_range == "torchxrayvision":
        layers.insert(0, ("input", InputRange(in_channels, XRAY_MEAN, XRAY_STD)))
    return FeatureExtractor([*layers, ("relu5", nn.ReLU(inplace=True))], out_channels=1024)
