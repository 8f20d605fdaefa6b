"""A small ResNet for training on one CPU core: 96 px in, 12x12 maps out, 78 thousand parameters.

MONAI's ResNet (He et al., CVPR 2016) with three stages of one basic block, no pooling, and a quarter of the
usual width; a feature sees 51 px of the image. Beside `compact` it shows what hangs on one network.
"""

from monai.networks.nets import ResNet

from pipeline.model.backbones import FeatureExtractor

LAYERS = ("conv1", "bn1", "act", "layer1", "layer2", "layer3")


def build(in_channels: int) -> FeatureExtractor:
    """Features (N, 64, H/8, W/8), post-ReLU."""
    network = ResNet(
        block="basic",
        layers=[1, 1, 1, 1],
        block_inplanes=[16, 32, 64, 64],  # the last stage is left out
        spatial_dims=2,
        n_input_channels=in_channels,
        conv1_t_stride=2,
        bias_downsample=False,
        feed_forward=False,
    )
    return FeatureExtractor([(name, getattr(network, name)) for name in LAYERS], out_channels=64)
