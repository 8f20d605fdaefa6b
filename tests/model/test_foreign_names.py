"""Weights under the names of other libraries, against what those libraries' own networks make of them.

torchvision 0.29.1, timm 1.0.31, torchxrayvision 1.5.7 and efficientnet-lite-pytorch 0.1.0 were run once: each
network was filled with numbers that hang on a tensor's name, and shown one image. Written down here are the
hash of all its names and shapes, and what its last layer gave.
"""

import hashlib
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.model import build
from pipeline.model.classifier import CamClassifier

SIDE = 96
LITE = ("expand", "depthwise", "project")
B0_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
PLACES = [(stage, place) for stage, count in enumerate(B0_BLOCKS) for place in range(count)]


class Reference(NamedTuple):
    """One network of another library; `naming` turns our names into its names."""

    backbone: dict[str, Any]
    naming: Callable[[str], str]
    names: str  # SHA-256 of its sorted `name shape` lines, without the classifier and counts of batches
    std: float  # of what its last layer gives
    means: tuple[float, ...]  # of eight channels of that, evenly spaced
    channels: int = 3


def densenet(name: str) -> str:
    return "features." + name.replace(".layers.", ".")


def torchvision_b0(name: str) -> str:
    ends = {"_conv_stem": "0.0", "_bn0": "0.1", "_conv_head": "8.0", "_bn1": "8.1"}
    parts = {"_expand_conv": "0.0", "_bn0": "0.1", "_depthwise_conv": "1.0", "_bn1": "1.1"}
    parts |= {"_se_reduce": "2.fc1", "_se_expand": "2.fc2", "_project_conv": "3.0", "_bn2": "3.1"}
    first, *rest, kind = name.split(".")
    if first in ends:
        return f"features.{ends[first]}.{kind}"
    _, block, part = rest
    stage, place = PLACES[int(block)]
    number, _, inner = parts[part].partition(".")
    return f"features.{stage + 1}.{place}.block.{int(number) - (stage == 0)}.{inner}.{kind}"


def package_lite(name: str) -> str:
    ends = {"stem.conv": "_conv_stem", "stem.norm": "_bn0", "head.conv": "_conv_head", "head.norm": "_bn1"}
    for ours, theirs in ends.items():
        name = re.sub(rf"^{ours}", theirs, name)
    for number, part in enumerate(LITE):
        name = name.replace(f"{part}.conv", f"_{part}_conv").replace(f"{part}.norm", f"_bn{number}")
    return re.sub("^blocks", "_blocks", name)


def timm_lite(name: str) -> str:
    ends = {"stem.conv": "conv_stem", "stem.norm": "bn1", "head.conv": "conv_head", "head.norm": "bn2"}
    for ours, theirs in ends.items():
        name = re.sub(rf"^{ours}", theirs, name)
    if not name.startswith("blocks"):
        return name
    _, block, part, layer, kind = name.split(".")
    stage, place = PLACES[int(block)]
    convolutions = ["conv_dw", "conv_pw"] if stage == 0 else ["conv_pw", "conv_dw", "conv_pwl"]
    number = LITE.index(part) - (stage == 0)
    return f"blocks.{stage}.{place}.{convolutions[number] if layer == 'conv' else f'bn{number + 1}'}.{kind}"


REFERENCES = {
    "torchvision densenet121": Reference(
        {"name": "densenet121"},
        densenet,
        "852a553aff0001a88685220cfd62022a078644a175c93195d8515693b0a60cf6",
        3.33156,
        (1.02909, 0.0276615, 4.12194, 1.90023, 1.36196, 0.0271951, 1.44716, 2.33992),
    ),
    "torchvision resnet50": Reference(
        {"name": "resnet50"},
        lambda name: name,
        "9fb760970125b1e99b28e16313c7736f260697133afbbaf25117831c5a3059ec",
        5174.34,
        (326.833, 247.145, 1326.29, 1777.31, 301.28, 1756.4, 1744.56, 604.773),
    ),
    "torchvision efficientnet_b0": Reference(
        {"name": "efficientnet_b0", "convention": "torchvision"},
        torchvision_b0,
        "cfc2f64113c590861ad0914857a7f90eaf46ba3b357f7130d39aef4bde9b9dfa",
        0.215068,
        (-0.0305035, 0.297783, -0.205087, 0.0672345, -0.0757511, -0.103027, -0.205258, -0.0539308),
    ),
    "torchxrayvision": Reference(
        {"name": "densenet121", "input_range": "torchxrayvision"},
        densenet,
        "fb1efcc88172f282f955b7f159d0b052db68dde089a3d5f1761714320877bd7d",
        1579.77,
        (825.87, 70.0737, 1956.87, 1287.49, 169.64, 0, 719.722, 850.414),
        channels=1,
    ),
    "timm lite0": Reference(
        {"name": "efficientnet_lite0"},
        timm_lite,
        "933ea5d8b61db98b7ca8b0e5513804f463a8bcbdc8070546facbee02998ce719",
        2.15079,
        (3.87798, 1.77771, 0, 0.263576, 0.666667, 1.11433, 2.2632, 0),
    ),
    "package lite0": Reference(
        {"name": "efficientnet_lite0"},
        package_lite,
        "d8ce2e902bc29e761a338745273abc0eb5315cf28ab63fdc44a5a83dc5318ce8",
        2.09341,
        (0, 0, 4.40862, 4.36135, 0, 1.31244, 0.424051, 2.80149),
    ),
}


def filled(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers for a tensor that keep what layers give neither vanishing nor growing."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        values = 1 + np.tanh(values) / 2
    elif len(shape) > 1:
        values = values * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        values = 1 + values / 10
    else:
        values = values / 10
    return torch.from_numpy(values).float()


def image(channels: int) -> Tensor:
    places = np.arange(channels * SIDE * SIDE)
    pixels = 0.5 + 0.5 * np.sin(places * 0.37 + places // SIDE * 0.11)
    return torch.from_numpy(pixels).float().reshape(1, channels, SIDE, SIDE)


def named_by(reference: Reference) -> dict[str, Tensor]:
    """The state dict that the other library would write."""
    ours = build(reference.backbone, in_channels=reference.channels).features.state_dict()
    shapes = {
        reference.naming(name): tuple(value.shape) for name, value in ours.items() if "num_b" not in name
    }
    return {name: filled(name, shape) for name, shape in shapes.items()}


def differences(model: CamClassifier, reference: Reference) -> float:
    """The largest distance of channels' means to the reference's, in standard deviations of its features."""
    with torch.no_grad():
        means = model.eval()(image(reference.channels)).features.mean((2, 3))[0]
    chosen = means[len(means) // 16 :: len(means) // 8]
    return float((chosen - torch.tensor(reference.means)).abs().max()) / reference.std


@pytest.mark.parametrize("library", REFERENCES)
def test_weights_of_another_library_give_what_its_own_network_gives(library: str, tmp_path: Path) -> None:
    reference = REFERENCES[library]
    named = named_by(reference)
    lines = sorted(f"{name} {tuple(value.shape)}" for name, value in named.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == reference.names
    torch.save(named, tmp_path / "theirs.pth")
    model = build(reference.backbone, reference.channels, str(tmp_path / "theirs.pth"))
    assert differences(model, reference) < 1e-3


@pytest.mark.parametrize("library", ["torchvision efficientnet_b0", "torchxrayvision"])
def test_without_its_setting_it_would_be_another_network(library: str, tmp_path: Path) -> None:
    reference = REFERENCES[library]
    torch.save(named_by(reference), tmp_path / "theirs.pth")
    model = build(reference.backbone["name"], reference.channels, str(tmp_path / "theirs.pth"))
    assert differences(model, reference) > 2e-3
