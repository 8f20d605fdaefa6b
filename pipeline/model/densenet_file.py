"""A DenseNet-121 with its classifier from a state dict, as torchvision and TorchXRayVision name its tensors.

The file's first convolution says how images are scaled: with one channel as TorchXRayVision does it, black
-1024 and white 1024; with three by ImageNet's means and deviations.
"""

from pathlib import Path

from torch import Tensor, nn

from pipeline.common.errors import UserError
from pipeline.model import weights
from pipeline.model.backbones import densenet121
from pipeline.model.classifier import IMAGENET_MEAN, IMAGENET_STD

FIRST = "features.conv0.weight"
HEAD = ("classifier.weight", "classifier.bias")


class DenseNetFile(nn.Module):
    """Takes images (N, C, S, S) in [0, 1] and returns the logits of all outputs."""

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path) -> None:
        """Raises UserError unless the file holds the weights of a DenseNet-121 with its classifier."""
        super().__init__()
        tensors = {name.removeprefix("module."): value for name, value in weights.read(path).items()}
        missing = [name for name in (FIRST, *HEAD) if name not in tensors]
        if missing:
            raise UserError(
                f"{path}: no tensor {', '.join(missing)}; expected the state dict of a DenseNet-121, "
                "as torchvision and TorchXRayVision name it"
            )
        channels = tensors[FIRST].shape[1]
        self.features = densenet121.build(channels)
        weights.load_into(self.features, "densenet121", path)
        weight, bias = (tensors[name] for name in HEAD)
        self.classifier = nn.Linear(weight.shape[1], len(weight))
        self.classifier.load_state_dict({"weight": weight, "bias": bias})
        grey = densenet121.XRAY_MEAN, densenet121.XRAY_STD
        mean, std = grey if channels == 1 else (IMAGENET_MEAN, IMAGENET_STD)
        self.register_buffer("mean", weight.new_tensor(mean)[:, None, None])
        self.register_buffer("std", weight.new_tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """(N, outputs), before any sigmoid."""
        features = self.features((images - self.mean) / self.std)
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits
