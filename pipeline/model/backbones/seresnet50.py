"""SE-ResNet-50 (Hu et al., CVPR 2018) from MONAI: 7x7 maps at 224 px."""

from monai.networks.nets import SEResNet50

from pipeline.model.backbones import FeatureExtractor, PublishedWeights

PUBLISHED = PublishedWeights(
    "http://data.lip6.fr/cadene/pretrainedmodels/se_resnet50-ce0d4300.pth",
    renames=(
        (r"(layer\d\.\d+\.conv\d)\.conv\.", r"\1."),
        (r"(layer\d\.\d+\.)conv(\d)\.adn\.N\.", r"\1bn\2."),
        (r"se_layer\.fc\.0\.", "se_module.fc1."),
        (r"se_layer\.fc\.2\.", "se_module.fc2."),
        (r"project\.conv\.", "downsample.0."),
        (r"project\.adn\.N\.", "downsample.1."),
    ),
)
LAYERS = ("layer0", "layer1", "layer2", "layer3", "layer4")


def build(in_channels: int) -> FeatureExtractor:
    """Features (N, 2048, H/32, W/32), after the last block's ReLU."""
    network = SEResNet50(spatial_dims=2, in_channels=in_channels)
    return FeatureExtractor([(name, getattr(network, name)) for name in LAYERS], out_channels=2048)
