"""One forward per image over a prepared store, batch by batch, in float32 and without gradients."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.model import CamClassifier, Outputs, load
from pipeline.model.batches import as_floats, image_batches
from pipeline.model.devices import choose_device


def open_model(path: Path, device: str) -> CamClassifier:
    """A trained model in eval mode on `device` (see `choose_device`), in the fastest memory layout."""
    where, layout = choose_device(device), torch.channels_last
    model: CamClassifier = load(path).to(device=where, memory_format=layout)  # type: ignore[call-overload]
    return model


def look(model: CamClassifier, images: np.ndarray, rows: np.ndarray, batch_size: int) -> Iterator[Outputs]:
    """Run `rows` of a store's uint8 images (N, C, H, W) through the model, one forward each."""
    for batch in image_batches(images, rows, batch_size, _device_of(model)):
        with torch.inference_mode():
            outputs: Outputs = model(batch)
        yield outputs


def load_images(model: CamClassifier, images: np.ndarray, rows: np.ndarray) -> Tensor:
    """Rows of a store's uint8 images as float32 in [0, 1] on the model's device, (B, C, H, W)."""
    return as_floats(images[rows], _device_of(model))


def logit_differences(model: CamClassifier, images: Tensor, batch_size: int) -> Tensor:
    """z1 - z0 (N,) of float images (N, C, H, W), on their device; higher is more abnormal."""
    with torch.inference_mode():
        logits = [model(part).logits.float() for part in images.split(batch_size)]
    return torch.cat([part[:, 1] - part[:, 0] for part in logits])


def _device_of(model: CamClassifier) -> torch.device:
    return next(model.parameters()).device
