"""Somebody's network as a CAM classifier: the same decisions, maps that add up to them, or one clear line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.common.errors import UserError
from pipeline.explain.explanations import explain
from pipeline.model import build
from pipeline.model.adopted import adopt
from pipeline.model.densenet_file import DenseNetFile


class Network(nn.Module):
    """Convolutions with a squeeze-and-excitation gate, then what `end` makes of their maps."""

    def __init__(
        self, end: Callable[["Network", Tensor], Tensor], outputs: int = 2, channels: int = 1
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.gate = nn.Linear(8, 8)
        self.pool, self.drop, self.fc = nn.AdaptiveAvgPool2d(1), nn.Dropout(), nn.Linear(8, outputs)
        self.hidden, self.last = nn.Linear(8, 8), nn.Linear(8, outputs, bias=False)
        self.end = end

    def forward(self, images: Tensor) -> Tensor:
        maps = self.body(images)
        weighed = maps * self.gate(self.pool(maps).flatten(1)).sigmoid()[:, :, None, None]
        return self.end(self, weighed)


ENDS: dict[str, Callable[[Network, Tensor], Tensor]] = {
    "a pooling layer": lambda net, maps: net.fc(net.drop(net.pool(maps).flatten(1))),
    "functional pooling, as DenseNet": lambda net, maps: net.fc(
        functional.adaptive_avg_pool2d(maps.relu(), (1, 1)).flatten(1)
    ),
    "a mean": lambda net, maps: net.fc(maps.mean([2, 3])),
    "a window of all places": lambda net, maps: net.fc(functional.avg_pool2d(maps, maps.shape[2:]).squeeze()),
    "a softmax over both": lambda net, maps: net.fc(maps.mean((2, 3))).softmax(1),
    "no bias, then a sigmoid": lambda net, maps: net.last(maps.mean(dim=(-2, -1))).sigmoid(),
    "channels last, then pooling": lambda net, maps: net.fc(
        net.pool(maps.permute(0, 2, 3, 1).permute(0, 3, 1, 2)).flatten(1)
    ),
}
BAD_ENDS: dict[str, tuple[Callable[[Network, Tensor], Tensor], str]] = {
    "no linear layer but the gate's": (lambda net, maps: maps.mean((2, 3)), "orders images otherwise"),
    "largest values": (lambda net, maps: net.fc(maps.amax((2, 3))), "expected global average pooling"),
    "a layer between": (
        lambda net, maps: net.fc(net.hidden(maps.mean((2, 3))).relu()),
        "not given the means",
    ),
    "dropout": (
        lambda net, maps: net.fc(functional.dropout(net.pool(maps), 0.5, training=True).flatten(1)),
        "not given the means",
    ),
    "noise": (
        lambda net, maps: net.fc((maps + torch.rand_like(maps)).mean((2, 3))),
        "does not answer the same twice",
    ),
    "turned round": (lambda net, maps: -net.fc(maps.mean((2, 3))), "orders images otherwise"),
    "two answers": (lambda net, maps: (net.fc(maps.mean((2, 3))), maps), "returns tuple"),
}  # type: ignore[dict-item]


@pytest.fixture(autouse=True)
def _seeded() -> object:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def images(n: int = 6, channels: int = 1) -> Tensor:
    return torch.rand(n, channels, 20, 24)


def settled(network: nn.Module, batch: Tensor) -> nn.Module:
    """Batch normalisation that has seen something, so that eval mode is not the identity."""
    with torch.no_grad():
        network.train()(batch * 0.7)
    return network


@pytest.mark.parametrize("name", ENDS)
def test_decisions_stay_and_maps_add_up_to_them(name: str) -> None:
    network = settled(Network(ENDS[name]), images())
    adopted, batch = adopt(network, images()), images(5)
    outputs = adopted(batch)
    after = {"sigmoid": torch.sigmoid, "softmax": lambda logits: logits.softmax(1)}
    answer = next((made for word, made in after.items() if word in name), lambda logits: logits)
    torch.testing.assert_close(answer(outputs.logits), network(batch), rtol=1e-4, atol=1e-5)
    assert outputs.features.shape == (5, 8, 9, 11) and outputs.cams.shape == (5, 2, 9, 11)
    torch.testing.assert_close(
        outputs.cams.mean((2, 3)) + adopted.head.bias, outputs.logits, rtol=1e-4, atol=1e-5
    )
    classes = outputs.logits.argmax(1)
    for explanation in ("difference_salience", "grad_cam_pp", "integrated_gradients"):
        assert explain(explanation, adopted, batch, classes).isfinite().all()


def test_one_output_is_halved_and_of_two_one_speaks_for_label_1() -> None:
    batch = images()
    single = settled(Network(ENDS["a mean"], outputs=1), batch)
    logits = adopt(single, batch)(batch).logits
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], single(batch)[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits[:, 0], -logits[:, 1])
    pair = settled(Network(ENDS["a mean"]), batch)
    torch.testing.assert_close(adopt(pair, batch, 0)(batch).logits, pair(batch).flip(1), rtol=1e-4, atol=1e-5)


def test_one_of_many_outputs() -> None:
    batch = images()
    many = settled(Network(ENDS["a mean"], outputs=5), batch)
    logits = adopt(many, batch, 3)(batch).logits
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], many(batch)[:, 3], rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match=r"5 outputs; say which one speaks for label 1: --class 0\.\.4"):
        adopt(many, batch)
    with pytest.raises(UserError, match=r"--class 5: the network has 5 outputs, expected 0\.\.4"):
        adopt(many, batch, 5)


@pytest.mark.parametrize("name", BAD_ENDS)
def test_networks_without_maps_are_refused_in_one_line(name: str) -> None:
    end, told = BAD_ENDS[name]
    with pytest.raises(UserError, match=told) as caught:
        adopt(Network(end), images(), 0)
    assert len(caught.value.problems) == 1 and "\n" not in str(caught.value)


def test_images_that_the_network_does_not_take() -> None:
    with pytest.raises(UserError, match="takes 3-channel images, these have 1"):
        adopt(Network(ENDS["a mean"], channels=3), images())
    with pytest.raises(UserError, match=r"does not take images \(6, 1, 20, 24\): RuntimeError"):
        adopt(nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), images())
    with pytest.raises(UserError, match="calls no linear layer"):
        adopt(nn.Conv2d(1, 2, 3), images())
    small = nn.Sequential(nn.Conv2d(1, 4, 20, 20), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(UserError, match="one cell of images of 24 px"):
        adopt(small, images())


def densenet_state(channels: int, outputs: int) -> dict[str, Tensor]:
    """A state dict with the names of torchvision and TorchXRayVision."""
    model = build("densenet121", in_channels=channels)
    names = {
        f"features.{name.replace('.layers.', '.')}": value
        for name, value in model.features.state_dict().items()
    }
    head = {"classifier.weight": torch.randn(outputs, 1024), "classifier.bias": torch.randn(outputs)}
    return names | head | {"op_threshs": torch.rand(outputs)}


def test_a_densenet_from_a_state_dict(tmp_path: Path) -> None:
    state = densenet_state(1, 18)
    torch.save(state, tmp_path / "chest.pth")
    safetensors.torch.save_file(state, tmp_path / "chest.safetensors")
    batch = torch.rand(2, 1, 64, 64)
    network = DenseNetFile(tmp_path / "chest.pth").eval()
    with torch.no_grad():
        features = network.features((2 * batch - 1) * 1024)
        wanted = functional.linear(
            features.mean((2, 3)), state["classifier.weight"], state["classifier.bias"]
        )
        torch.testing.assert_close(network(batch), wanted, rtol=1e-3, atol=1e-3)
        again = DenseNetFile(tmp_path / "chest.safetensors").eval()
        torch.testing.assert_close(again(batch), network(batch))
        logits = adopt(network, batch, 7)(batch).logits
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], wanted[:, 7], rtol=1e-3, atol=1e-3)


def test_files_that_are_no_densenet(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pt")
    for name, told in (
        ("no.pth", "not found"),
        ("linear.pth", "no tensor features.conv0.weight, classifier.weight, classifier.bias"),
        ("pickled.pt", "not a safetensors file or a plain state dict"),
    ):
        with pytest.raises(UserError, match=told):
            DenseNetFile(tmp_path / name)
