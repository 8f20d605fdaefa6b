"""The classifier against other people's CAMs, and its files."""

import json
from pathlib import Path

import pytest
import torch
from monai.visualize import CAM as MonaiCAM
from safetensors.torch import save_file
from torch import Tensor, nn
from torchcam.methods import CAM as TorchCAM

from pipeline.common.errors import UserError
from pipeline.model import CamClassifier, build, load, save


@pytest.fixture(scope="module")
def model() -> CamClassifier:
    torch.manual_seed(0)
    return build("compact", in_channels=3).eval()


class Logits(nn.Module):
    """The same network with a head as other libraries know it."""

    def __init__(self, model: CamClassifier) -> None:
        super().__init__()
        self.features, self.head = model.features, model.head
        self.register_buffer("mean", model.mean)
        self.register_buffer("std", model.std)

    def forward(self, images: Tensor) -> Tensor:
        features = self.features((images - self.mean) / self.std)
        result: Tensor = self.head(features.mean((2, 3)))
        return result


IMAGES = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("index", [0, 1])
def test_maps_equal_torchcams(model: CamClassifier, index: int) -> None:
    plain = Logits(model).eval()
    with TorchCAM(plain, target_layer="features", fc_layer="head") as extractor:
        scores = plain(IMAGES)
        (found,) = extractor(index, scores, normalized=False)
    torch.testing.assert_close(found, model(IMAGES).cams[:, index], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scores, model(IMAGES).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_maps_equal_monais_without_its_bias(model: CamClassifier, index: int) -> None:
    reference = MonaiCAM(Logits(model).eval(), target_layers="features", fc_layers="head")
    found = reference.compute_map(IMAGES, torch.full((2,), index))
    ours = model(IMAGES).cams[:, index : index + 1] + model.head.bias[index]
    torch.testing.assert_close(found, ours, rtol=1e-4, atol=1e-5)


def test_nothing_is_detached(model: CamClassifier) -> None:
    found = model(IMAGES)
    assert all(value.requires_grad for value in found)


def test_centred_energies_add_up(model: CamClassifier) -> None:
    """E(S_0) + E(S_1) = 2 E(mean) + E(difference) / 2."""
    cams = model(IMAGES).cams.double()

    def energy(maps: Tensor) -> Tensor:
        return (maps - maps.mean((1, 2), keepdim=True)).square().sum((1, 2))

    both = energy(cams[:, 0]) + energy(cams[:, 1])
    torch.testing.assert_close(both, 2 * energy(cams.mean(1)) + energy(cams[:, 1] - cams[:, 0]) / 2)


def test_grey_input_is_normalised_by_the_average_of_imagenet() -> None:
    grey = build("compact", in_channels=1)
    assert grey.mean.item() == pytest.approx(0.449) and grey.std.item() == pytest.approx(0.226)
    assert build("compact").mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_the_seed_decides_the_weights() -> None:
    def first(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return next(build("compact").parameters())

    assert torch.equal(first(1), first(1)) and not torch.equal(first(1), first(2))


def test_a_missing_model_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not found; expected the model of a trained cell"):
        load(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:100], lambda data: data[:-7], lambda data: b"no model"]
)
def test_a_damaged_model_file(model: CamClassifier, tmp_path: Path, damage) -> None:
    path = tmp_path / "model.safetensors"
    save(model, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"model\.safetensors: damaged"):
        load(path)


def test_the_activation_travels_with_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    smooth = build("compact", activation={"name": "softplus", "beta": 20}).eval()
    save(smooth, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.activation == {"name": "softplus", "beta": 20}
    assert torch.equal(again(IMAGES).logits, smooth(IMAGES).logits)
    torch.manual_seed(0)
    plain = build("compact").eval()
    assert plain.activation is None and torch.equal(plain.head.weight, smooth.head.weight)
    assert not torch.equal(plain(IMAGES).logits, smooth(IMAGES).logits)


def rewritten(model: CamClassifier, path: Path, about: dict[str, object]) -> Path:
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path, {
        "camdivide": json.dumps({"backbone": {"name": "compact"}, "in_channels": 3, **about})
    })  # fmt: skip
    return path


def test_a_file_with_an_activation_from_the_future(model: CamClassifier, tmp_path: Path) -> None:
    path = rewritten(model, tmp_path / "new.safetensors", {"activation": {"name": "softplas"}})
    with pytest.raises(UserError, match=r"new\.safetensors: model/activations: .*did you mean 'softplus'"):
        load(path)


def test_someone_elses_safetensors_file(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="not a model of this project"):
        load(tmp_path / "x.safetensors")


def test_unknown_backbone() -> None:
    with pytest.raises(UserError, match="did you mean 'densenet121'"):
        build("densenet12")
    with pytest.raises(UserError, match="width: unknown key"):
        build({"name": "compact", "width": 3})


@pytest.mark.parametrize(
    ("name", "side", "channels", "cells"),
    [
        ("compact", 96, 80, 12),
        ("densenet121", 224, 1024, 7),
        ("resnet50", 224, 2048, 7),
        ("seresnet50", 224, 2048, 7),
        ("efficientnet_b0", 224, 1280, 7),
    ],
)
def test_the_grids_that_backbones_are_known_for(name: str, side: int, channels: int, cells: int) -> None:
    with torch.device("meta"):
        found = build(name, in_channels=3).features.eval()(torch.rand(1, 3, side, side))
    assert found.shape == (1, channels, cells, cells)
