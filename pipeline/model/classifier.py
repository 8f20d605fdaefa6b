"""Backbone, global average pooling and a two-logit head, with the maps that explain the logits.

CAM: Zhou et al., CVPR 2016. The maps are raw: no ReLU, no scaling, no bias, so that their spatial mean
plus the head's bias is the logit.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.common.files import atomic, canonical_json
from pipeline.model import weights as published
from pipeline.model.activations import swap

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
ABOUT = "camdivide"


class Outputs(NamedTuple):
    """One forward pass, nothing detached; all float32 under autocast except `features`."""

    logits: Tensor  # (N, 2): 0 normal, bona fide, authentic; 1 abnormal, attack, synthetic
    features: Tensor  # (N, K, h, w): exactly what global average pooling sees
    cams: Tensor  # (N, 2, h, w): sum over k of head.weight[c, k] * features[:, k]


class CamClassifier(nn.Module):
    """A backbone with GAP and Linear(K, 2); normalises its input itself."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Mapping[str, Any],
        in_channels: int = 3,
        activation: Mapping[str, Any] | None = None,
    ) -> None:
        """backbone and activation: choices, `{name, <settings>}`."""
        super().__init__()
        self.features = catalogue.make("model/backbones", backbone)(in_channels)
        if activation is not None:
            swap(self.features, catalogue.make("model/activations", activation))
        # With defaults filled in, so that a saved model stays what it is when a default changes.
        self.backbone = catalogue.filled("model/backbones", backbone)
        self.in_channels = in_channels
        self.activation = None if activation is None else catalogue.filled("model/activations", activation)
        self.head = nn.Linear(self.features.out_channels, 2)
        self.register_buffer("mean", _per_channel(IMAGENET_MEAN, in_channels))
        self.register_buffer("std", _per_channel(IMAGENET_STD, in_channels))

    def forward(self, images: Tensor) -> Outputs:
        """images: (N, C, H, W) in [0, 1], C = 1 or 3."""
        features = self.features((images - self.mean) / self.std)
        with torch.autocast(features.device.type, enabled=False):
            weight = self.head.weight
            # Channels last on both ways: a gradient in another layout makes the next layers' backward slow.
            cells = features.permute(0, 2, 3, 1).to(weight.dtype)
            cams = functional.linear(cells, weight).permute(0, 3, 1, 2)
            logits = cams.mean((2, 3)) + self.head.bias  # pooling after the head: the same sum, fewer terms
        return Outputs(logits, features, cams)


def build(
    backbone: str | Mapping[str, Any],
    in_channels: int = 3,
    weights: str | None = None,
    activation: Mapping[str, Any] | None = None,
) -> CamClassifier:
    """A new classifier on the CPU; draws from torch's global generator.

    backbone: a choice such as `{"name": "compact"}`, or the name alone. weights: None (random), `imagenet`,
    or a file; see `pipeline.model.weights`. activation: None (the backbone's own) or a choice such as
    `{"name": "softplus", "beta": 20}`. Raises UserError if the file is absent or does not fit, a name or a
    setting does not exist, or the backbone has nothing that the activation could take the place of.
    """
    choice = {"name": backbone} if isinstance(backbone, str) else backbone
    model = CamClassifier(choice, in_channels, activation)
    if weights is not None:
        name = choice["name"]
        published.load_into(model.features, name, published.find(name, weights))
    return model


def save(model: CamClassifier, path: Path) -> None:
    """Write a model as safetensors with what `load` needs to rebuild it; atomic."""
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    about = canonical_json(
        {"backbone": model.backbone, "in_channels": model.in_channels, "activation": model.activation}
    )
    content = safetensors.torch.save(tensors, {ABOUT: about})  # one entry: safetensors does not order them
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def load(path: Path) -> CamClassifier:
    """The model of `save`, on the CPU in eval mode; raises UserError if the file is absent or damaged."""
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[ABOUT])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = CamClassifier(about["backbone"], about["in_channels"], about["activation"])
        model.load_state_dict(tensors)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; expected the model of a trained cell") from None
    except UserError as error:
        raise UserError([f"{path}: {problem}" for problem in error.problems]) from None
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{path}: damaged, or not a model of this project: {line}; train it again") from None
    return model.eval()


def _per_channel(values: tuple[float, ...], channels: int) -> Tensor:
    """ImageNet values for colour, their average for grey, as (1, C, 1, 1)."""
    chosen = values if channels == len(values) else (sum(values) / len(values),) * channels
    return torch.tensor(chosen).reshape(1, channels, 1, 1)
