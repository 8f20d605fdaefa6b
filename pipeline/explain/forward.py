"""One forward per image over a prepared store, batch by batch, in float32 and without gradients."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline.model import CamClassifier, Outputs


def look(model: CamClassifier, images: np.ndarray, rows: np.ndarray, batch_size: int) -> Iterator[Outputs]:
    """Run `rows` of a store's uint8 images (N, C, H, W) through the model; outputs float32 on the CPU."""
    model.eval()
    for start in range(0, len(rows), batch_size):
        with torch.inference_mode():
            outputs = model(load_images(model, images, rows[start : start + batch_size]))
        yield Outputs(*(part.float().cpu() for part in outputs))


def load_images(model: CamClassifier, images: np.ndarray, rows: np.ndarray) -> Tensor:
    """Rows of uint8 images as float32 in [0, 1] on the model's device, (B, C, H, W)."""
    device = next(model.parameters()).device
    return torch.from_numpy(np.asarray(images[rows])).to(device).float() / 255


def margins(model: CamClassifier, images: Tensor, batch_size: int) -> Tensor:
    """z1 - z0 (N,) of float images (N, C, H, W), on their device; higher is more abnormal."""
    model.eval()
    with torch.inference_mode():
        logits = [model(part).logits.float() for part in images.split(batch_size)]
    return torch.cat([part[:, 1] - part[:, 0] for part in logits])
