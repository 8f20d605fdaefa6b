"""Weights that a package ships: unpacked once, checked, and right for photographs."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from pipeline.common.errors import UserError
from pipeline.model import build, packaged, weights
from pipeline.model.backbones import ShippedWeights, efficientnet_lite0

NAME = "efficientnet_lite0"
FILE = f"{NAME}.safetensors"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights are looked for; empty, as torch's cache is."""
    monkeypatch.setenv("CAMDIVIDE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    return tmp_path / "weights"


def shipped_file() -> Path:
    found = packaged._installed(efficientnet_lite0.SHIPPED)
    assert found is not None, f"{efficientnet_lite0.SHIPPED.package} comes with the extra `dev`"
    return found


def ship(monkeypatch: pytest.MonkeyPatch, path: Path, sha256: str) -> None:
    """Let `path` be the file of an installed package, which is said to have that hash."""
    monkeypatch.setattr(efficientnet_lite0, "SHIPPED", ShippedWeights("some-package", path.name, sha256))
    monkeypatch.setattr(packaged, "_installed", lambda _: path if path.exists() else None)


def test_they_are_unpacked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder.parent / "shipped.pth"
    torch.save({"one": torch.arange(6.0).reshape(2, 3).T}, source)  # transposed: as TensorFlow's come
    ship(monkeypatch, source, hashlib.sha256(source.read_bytes()).hexdigest())
    found = packaged.find(NAME, "imagenet")
    assert found == folder / FILE
    assert torch.equal(load_file(found)["one"], torch.arange(6.0).reshape(2, 3).T)
    source.unlink()
    assert packaged.find(NAME, "imagenet") == weights.find(NAME, "imagenet") == found


def test_another_file_than_was_meant_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder.parent / "shipped.pth"
    torch.save({"one": torch.zeros(2)}, source)
    ship(monkeypatch, source, "0" * 64)
    with pytest.raises(UserError, match=r"expected the file with SHA-256 0{64}, got .* some-package again"):
        packaged.find(NAME, "imagenet")
    assert not folder.exists()


def test_without_the_package_the_command_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship(monkeypatch, folder.parent / "absent.pth", "")
    with pytest.raises(UserError) as caught:
        packaged.find(NAME, "imagenet")
    by_hand, by_pip = caught.value.problems
    assert "tf_efficientnet_lite0-0aa007d2.pth" in by_hand and str(folder / FILE) in by_hand
    assert "python -m pip install" in by_pip and "[pretrained]" in by_pip


def test_the_project_has_the_extra_that_the_message_names() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    (extra,) = [line for line in project.splitlines() if line.startswith("pretrained = ")]
    assert efficientnet_lite0.SHIPPED.package in extra


def test_other_weights_are_found_as_ever(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*densenet121\.safetensors"):
        packaged.find("densenet121", "imagenet")
    with pytest.raises(UserError, match=r"no file absent\.pth"):
        packaged.find(NAME, "absent.pth")


def test_photographs_are_recognised(folder: Path) -> None:
    """Of 1,000 classes of ImageNet the likeliest; where a thing has several names, any of them."""
    shipped_file()
    own, theirs = Path(__file__).parent / "photographs", Path(sklearn.__file__).parent / "datasets" / "images"
    accepted = {
        own / "cat.jpg": {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"},
        own / "espresso.jpg": {967: "espresso", 968: "cup"},
        theirs / "flower.jpg": {985: "daisy"},  # a dahlia, which is none of the classes
        theirs / "china.jpg": {698: "palace"},
    }
    tensors = load_file(packaged.find(NAME, "imagenet"))
    model = build(NAME, 3, "imagenet").eval()
    with torch.no_grad():
        features = model(torch.cat([photograph(path) for path in accepted])).features
        logits = features.mean((2, 3)) @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    for path, found in zip(accepted, logits.argmax(1).tolist(), strict=True):
        assert found in accepted[path], path.name


def photograph(path: Path) -> Tensor:
    """The middle square at 224 px, (1, 3, 224, 224) in [0, 1]."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(("stages", "shape"), [(7, (1280, 2, 2)), (5, (112, 4, 4)), (3, (40, 8, 8))])
def test_fewer_stages_give_finer_maps(stages: int, shape: tuple[int, int, int]) -> None:
    features = build({"name": NAME, "stages": stages}, in_channels=1).eval().features
    with torch.no_grad():
        assert features(torch.rand(1, 1, 64, 64)).shape[1:] == shape
    assert features.out_channels == shape[0]


def test_stages_have_limits() -> None:
    with pytest.raises(UserError, match="stages: Input should be less than or equal to 7"):
        build({"name": NAME, "stages": 8})


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("height", "width"), [(6, 7), (9, 8)])
def test_padding_is_tensorflows_same(kernel: int, height: int, width: int) -> None:
    """ceil(n / 2) places, each `kernel` wide, two apart; of what is added, the smaller half comes first."""
    padded = efficientnet_lite0._UnevenPadding(kernel)(torch.ones(1, 1, height, width))[0, 0]
    expected = []
    for size in (height, width):
        added = 2 * ((size + 1) // 2 - 1) + kernel - size
        expected.append((added // 2, size + added))
    (top, high), (left, wide) = expected
    assert padded.shape == (high, wide)
    assert torch.equal(padded.nonzero()[0], torch.tensor([top, left]))
    assert padded.sum() == height * width
