"""Where a model runs. What a GPU must do is tried where there is one."""

import pytest
import torch
from tiny_store import arrays

from pipeline.common.errors import UserError
from pipeline.model import build
from pipeline.model.devices import choose_device

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine shows no CUDA device")


@pytest.fixture(autouse=True)
def untouched_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN's flags as torch sets them, and so again afterwards."""
    for name, value in {"allow_tf32": True, "benchmark": False, "deterministic": False}.items():
        monkeypatch.setattr(torch.backends.cudnn, name, value)


def flags() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=rf"train\.device: {device}: this machine shows 0 CUDA devices"):
        choose_device(device)
    assert choose_device("auto") == torch.device("cpu") and flags() == (True, False, False)


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_a_gpu_computes_exactly_and_twice_the_same(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(device).type == "cuda"
    assert flags() == (False, False, True)


@needs_gpu
@pytest.mark.parametrize("backbone", ["compact", "densenet121", "resnet50"])
def test_a_gpu_sees_what_a_cpu_sees(backbone: str) -> None:
    torch.manual_seed(0)
    model, images = build(backbone).eval(), torch.from_numpy(arrays(4, 96)[0]).expand(4, 3, 96, 96) / 255
    with torch.inference_mode():
        expected = model(images)
        found = model.to(choose_device("cuda"))(images.cuda())
    for name in ("logits", "cams"):
        torch.testing.assert_close(getattr(found, name).cpu(), getattr(expected, name), rtol=1e-4, atol=1e-4)
