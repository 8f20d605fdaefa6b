"""One forward per image over a store: what comes out is what the model says of each image alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_store import arrays

from pipeline.common.errors import UserError
from pipeline.model import CamClassifier, build, inference, save

IMAGES = arrays(7, 32)[0]
ROWS = np.array([5, 0, 6, 2, 3])


@pytest.fixture(scope="module")
def model() -> CamClassifier:
    torch.manual_seed(0)
    return build("compact", in_channels=1).eval()


def alone(model: CamClassifier, row: int) -> torch.Tensor:
    """Logits (2,) of one image, which is scaled here."""
    with torch.no_grad():
        logits: torch.Tensor = model(torch.from_numpy(IMAGES[row : row + 1] / np.float32(255))).logits[0]
    return logits


def test_rows_come_in_their_order_batch_by_batch(model: CamClassifier) -> None:
    parts = list(inference.look(model, IMAGES, ROWS, 2))
    assert [len(part.logits) for part in parts] == [2, 2, 1]
    assert not any(value.requires_grad for part in parts for value in part)
    expected = torch.stack([alone(model, row) for row in ROWS])
    torch.testing.assert_close(torch.cat([part.logits for part in parts]), expected, rtol=1e-4, atol=1e-5)


def test_no_rows_make_no_batches(model: CamClassifier) -> None:
    assert list(inference.look(model, IMAGES, ROWS[:0], 2)) == []


def test_logit_differences_are_the_second_minus_the_first(model: CamClassifier) -> None:
    images = inference.load_images(model, IMAGES, ROWS)
    expected = torch.stack([alone(model, row).diff()[0] for row in ROWS])
    for size in (1, 3, 64):
        found = inference.logit_differences(model, images, size)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not found.requires_grad and expected.abs().min() > 0


def test_loaded_images_are_shares_of_the_range(model: CamClassifier) -> None:
    found = inference.load_images(model, IMAGES, ROWS)
    assert found.dtype == torch.float32 and found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(found.numpy(), IMAGES[ROWS] / 255, rtol=1e-6)


def test_a_model_is_opened_in_eval_mode_and_channels_last(model: CamClassifier, tmp_path: Path) -> None:
    save(model.train(), tmp_path / "model.safetensors")
    opened = inference.open_model(tmp_path / "model.safetensors", "cpu")
    assert not any(module.training for module in opened.modules())
    assert opened.features.denseblock2.denselayer1.layers.conv2.weight.is_contiguous(
        memory_format=torch.channels_last
    )
    torch.testing.assert_close(
        opened.eval()(torch.zeros(1, 1, 32, 32)), model.eval()(torch.zeros(1, 1, 32, 32))
    )
    with pytest.raises(UserError, match="not found"):
        inference.open_model(tmp_path / "absent.safetensors", "cpu")
