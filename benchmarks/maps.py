"""Both CAMs of a batch from one forward, against MONAI's and torch-cam's CAM."""

import torch
from monai.visualize import CAM as MonaiCam
from torch import Tensor, nn
from torchcam.methods import CAM as TorchCam

from benchmarks.timing import ratio, seconds
from pipeline.model import CamClassifier, build

BATCH, SIDE = 32, 224
Row = tuple[str, str, str, str]


class LogitsOnly(nn.Module):
    """The same network as the peers want it: a tensor of logits comes out."""

    def __init__(self, model: CamClassifier) -> None:
        super().__init__()
        self.features, self.fc = model.features, model.head

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 3, H, W), already normalised; logits (N, 2)."""
        return self.fc(self.features(images).mean((2, 3)))


def rows(device: str, rounds: int) -> list[Row]:
    """Both maps of 32 images from ResNet-50; the peers as their documentation uses them."""
    layout = torch.channels_last  # for all, as the pipeline has it
    model = build("resnet50").to(device).to(memory_format=layout).eval()
    peer = LogitsOnly(model)
    images = torch.rand(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    images = images.to(device).contiguous(memory_format=layout)
    monai = MonaiCam(peer, target_layers="features", fc_layers="fc")

    def ours() -> None:
        with torch.inference_mode():
            model(images)

    def with_monai() -> None:
        for label in (0, 1):  # each call makes a forward of its own
            monai(images, class_idx=torch.full((BATCH,), label))

    def with_torchcam(size: int) -> None:
        with TorchCam(peer, target_layer="features", fc_layer="fc") as extractor, torch.no_grad():
            for start in range(0, BATCH, size):
                scores = peer(images[start : start + size])
                for label in (0, 1):
                    extractor(label, scores)

    peers = {
        "MONAI, a batch and a class per call": with_monai,
        "torch-cam, an image per call as in its README": lambda: with_torchcam(1),
        "torch-cam, the batch at once": lambda: with_torchcam(BATCH),
    }
    taken = seconds({"ours": ours, **peers}, rounds)
    found: list[Row] = []
    for name in peers:
        value = ratio(taken[name], taken["ours"])
        what = f"resnet50: both CAMs of {BATCH} images, {name} / ours"
        found.append((what, f"{value:.2f}", "-", "-"))
    return found
