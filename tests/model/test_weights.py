"""First weights: where they are looked for, and that published names fit.

The published files cannot be had here; their names and shapes are written down below by another route than
the code's: from memory of each file for some tensors, and by renaming ours one by one for all.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.common.errors import UserError
from pipeline.model import build
from pipeline.model.weights import find, load_into

KNOWN = {  # some tensors of each published file
    "densenet121": {
        "features.conv0.weight": (64, 3, 7, 7),
        "features.denseblock1.denselayer1.norm.1.weight": (64,),
        "features.denseblock4.denselayer16.conv.2.weight": (32, 128, 3, 3),
        "features.transition1.conv.weight": (128, 256, 1, 1),
        "features.norm5.running_mean": (1024,),
    },
    "resnet50": {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer4.2.bn3.running_var": (2048,),
    },
    "efficientnet_b0": {
        "_conv_stem.weight": (32, 3, 3, 3),
        "_blocks.0._depthwise_conv.weight": (32, 1, 3, 3),
        "_blocks.15._bn2.running_var": (320,),
        "_blocks.5._se_reduce.bias": (10,),
        "_conv_head.weight": (1280, 320, 1, 1),
    },
    "seresnet50": {
        "layer0.conv1.weight": (64, 3, 7, 7),
        "layer1.0.conv2.weight": (64, 64, 3, 3),
        "layer1.0.se_module.fc1.weight": (16, 256, 1, 1),
        "layer4.0.downsample.0.weight": (2048, 1024, 1, 1),
        "layer4.2.bn3.weight": (2048,),
    },
}


def densenet(name: str) -> str:
    name = name.replace(".layers.", ".")
    return "features." + re.sub(r"(denselayer\d+)\.(norm|conv)(\d)", r"\1.\2.\3", name)


def efficientnet(name: str) -> str:
    parts = name.split(".")
    return ".".join([parts[0], *parts[2:]]) if parts[0] == "_blocks" else name


def seresnet(name: str) -> str:
    name = re.sub(r"conv(\d)\.adn\.N", r"bn\1", name)
    name = re.sub(r"conv(\d)\.conv", r"conv\1", name)
    name = name.replace("se_layer.fc.0", "se_module.fc1").replace("se_layer.fc.2", "se_module.fc2")
    return name.replace("project.conv", "downsample.0").replace("project.adn.N", "downsample.1")


PUBLISHED: dict[str, Callable[[str], str]] = {
    "densenet121": densenet,
    "resnet50": lambda name: name,
    "efficientnet_b0": efficientnet,
    "seresnet50": seresnet,
}


def published_state(backbone: str, seed: int = 5) -> dict[str, Tensor]:
    """A state dict named and shaped as the published file, of other values than a new model's."""
    torch.manual_seed(seed)
    state = build(backbone, in_channels=3).features.state_dict()
    state = {PUBLISHED[backbone](name): value for name, value in state.items()}
    for name, value in state.items():
        if name.endswith(("fc1.weight", "fc2.weight")):  # 1x1 convolutions there, linear layers here
            state[name] = value[:, :, None, None]
    classifier = {"classifier.weight": torch.zeros(1000, 8), "fc.weight": torch.zeros(1000, 8)}
    return {name: value for name, value in state.items() if "num_batches" not in name} | classifier


@pytest.mark.parametrize("backbone", KNOWN)
def test_published_names_fit(backbone: str, tmp_path: Path) -> None:
    state = published_state(backbone)
    for name, shape in KNOWN[backbone].items():
        assert state[name].shape == shape
    torch.save(state, tmp_path / "published.pth")
    features = build(backbone, in_channels=3).features
    load_into(features, backbone, tmp_path / "published.pth")
    for name, value in features.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(value.flatten(), state[PUBLISHED[backbone](name)].flatten()), name


def test_newer_torchvision_names_of_densenet_fit_too(tmp_path: Path) -> None:
    state = published_state("densenet121")
    newer = {re.sub(r"(norm|conv)\.(\d)\.", r"\1\2.", name): value for name, value in state.items()}
    assert "features.denseblock1.denselayer1.norm1.weight" in newer
    torch.save(newer, tmp_path / "newer.pth")
    features = build("densenet121").features
    load_into(features, "densenet121", tmp_path / "newer.pth")
    assert torch.equal(features.conv0.weight, state["features.conv0.weight"])


def test_own_names_as_safetensors_and_grey_input(tmp_path: Path) -> None:
    torch.manual_seed(1)
    colour = build("compact", in_channels=3)
    save_file(colour.state_dict(), tmp_path / "cell.safetensors")
    grey = build("compact", in_channels=1, weights=str(tmp_path / "cell.safetensors"))
    torch.testing.assert_close(grey.features.conv0.weight, colour.features.conv0.weight.sum(1, keepdim=True))
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():  # the same as showing the grey image in all three channels
        first = grey.eval().features(image)
        second = colour.eval().features(image.expand(1, 3, 32, 32))
    torch.testing.assert_close(first, second)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"conv0.weight": torch.zeros(8, 3, 7, 7)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError) as caught:
        build("compact", 3, str(tmp_path / "other.safetensors"))
    lines = caught.value.problems
    assert "conv0.weight: expected shape (16, 3, 7, 7), got (8, 3, 7, 7)" in lines[0]
    assert "no tensor for norm0.weight" in lines[1]
    assert "these are not weights of compact" in lines[-1] and len(lines) == 5
    wanted = [name for name in build("compact").features.state_dict() if "num_batches" not in name]
    assert lines[3].endswith(f"... and {len(wanted) - 3} more")


@pytest.mark.parametrize("name", ["bad.safetensors", "bad.pth"])
def test_files_that_are_no_weights(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x02not weights at all")
    with pytest.raises(UserError, match=rf"{name}: not a safetensors file or a plain state dict"):
        build("compact", 3, str(tmp_path / name))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": print}, tmp_path / "code.pth")
    with pytest.raises(UserError, match="plain state dict"):
        build("compact", 3, str(tmp_path / "code.pth"))


def test_imagenet_offline_says_which_file_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAMDIVIDE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    with pytest.raises(UserError) as caught:
        build("densenet121", 3, "imagenet")
    (line,) = caught.value.problems
    assert str(tmp_path / "weights" / "densenet121.safetensors") in line
    assert "https://download.pytorch.org/models/densenet121-a639ec97.pth" in line


def test_where_imagenet_weights_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CAMDIVIDE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    cached = tmp_path / "hub" / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    for path in (cached, tmp_path / cached.name, tmp_path / "resnet50.safetensors"):  # the last is preferred
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert find("resnet50", "imagenet") == path


def test_there_are_no_imagenet_weights_for_compact() -> None:
    with pytest.raises(UserError, match="none are published for it; use null"):
        find("compact", "imagenet")


def test_a_weights_file_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"no file absent\.pth; give null, imagenet or a file"):
        find("resnet50", "absent.pth")
