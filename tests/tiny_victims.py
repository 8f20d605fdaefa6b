"""Small networks to attack: a bright square in noise is the finding, and a second of training finds it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.explain.attacks import Victim
from pipeline.model import Outputs, build
from pipeline.model.batches import StoreRows, as_floats

SIDE = 32


def samples(n: int = 64, seed: int = 0) -> StoreRows:
    """Grey noise with a square somewhere; it is bright in abnormal images, which alternate."""
    random = np.random.default_rng(seed)
    images = random.integers(60, 160, (n, 1, SIDE, SIDE)).astype(np.uint8)
    maps = np.zeros((n, SIDE, SIDE), np.uint8)
    labels = np.arange(n) % 2
    for index, (y, x) in enumerate(random.integers(4, SIDE - 12, (n, 2))):
        maps[index, y : y + 8, x : x + 8] = 255
        images[index, 0, y : y + 8, x : x + 8] += np.uint8(45 * labels[index])
    return StoreRows(images, maps, np.ones(n, bool), labels.astype(np.int64), np.arange(n))


@cache
def _trained(activation: str | None) -> nn.Module:
    torch.manual_seed(0)
    model = build("compact", in_channels=1, activation={"name": activation} if activation else None)
    data = samples()
    images, labels = as_floats(data.images, torch.device("cpu")), torch.from_numpy(data.labels)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(25):
        loss = nn.functional.cross_entropy(model(images).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval()


def victim(n: int = 12, activation: str | None = None, **changes: Any) -> Victim:
    """The trained network and n unseen images; the network is shared, so leave it as it is."""
    data = samples(n, seed=1)
    cpu = torch.device("cpu")
    found = Victim(
        model=_trained(activation),
        train=samples(),
        images=as_floats(data.images, cpu),
        labels=torch.from_numpy(data.labels),
        human_maps=as_floats(data.maps, cpu),
        has_map=torch.from_numpy(data.has_map),
        explanations=("cam", "grad_cam", "difference_salience", "gradient"),
        shown=2,
        batch_size=5,
        seed=0,
    )
    return found._replace(**changes)


class Scored(nn.Module):
    """Logits (-s, s) / 2 of a score s of images, so that z1 - z0 is s."""

    def __init__(self, score: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.score = score

    def forward(self, images: Tensor) -> Outputs:
        score = self.score(images)
        return Outputs(torch.stack([-score, score], 1) / 2, images, images)
