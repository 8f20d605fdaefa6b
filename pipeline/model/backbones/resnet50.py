"""ResNet-50 (He et al., CVPR 2016; stride in the 3x3 convolution) from MONAI: 7x7 maps at 224 px."""

from monai.networks.nets import ResNet

from pipeline.model.backbones import FeatureExtractor, PublishedWeights

PUBLISHED = PublishedWeights("https://download.pytorch.org/models/resnet50-0676ba61.pth")
LAYERS = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4")


def build(in_channels: int) -> FeatureExtractor:
    """Features (N, 2048, H/32, W/32), after the last block's ReLU.

    MONAI's own default is a stride-1 stem (14x14 maps) with biased shortcuts; both are set back here.
    """
    network = ResNet(
        block="bottleneck",
        layers=[3, 4, 6, 3],
        block_inplanes=[64, 128, 256, 512],
        spatial_dims=2,
        n_input_channels=in_channels,
        conv1_t_stride=2,
        bias_downsample=False,
        feed_forward=False,
    )
    return FeatureExtractor([(name, getattr(network, name)) for name in LAYERS], out_channels=2048)
