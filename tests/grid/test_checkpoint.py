"""Checkpoints come back bit for bit, or not at all."""

from pathlib import Path

import pytest
import torch

from pipeline.grid import checkpoint

TENSORS = {
    "model.weight": torch.randn(3, 2),
    "model.steps": torch.tensor(7),
    "half": torch.ones(2).bfloat16(),
}
ABOUT = {"history": [{"epoch": 1, "loss": 0.1 + 0.2}], "seconds": 1e-17}


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "cell", "k", TENSORS, ABOUT)
    found = checkpoint.load(tmp_path / "cell", "k")
    assert found is not None
    assert found[0].keys() == TENSORS.keys()
    assert all(torch.equal(found[0][name], value) for name, value in TENSORS.items())
    assert found[1] == ABOUT


def test_the_last_one_counts_and_none_is_left_over(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "k", TENSORS, ABOUT)
    checkpoint.save(tmp_path, "k", TENSORS, {"seconds": 2})
    found = checkpoint.load(tmp_path, "k")
    assert found is not None and found[1] == {"seconds": 2}
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.NAME]
    checkpoint.remove(tmp_path)
    assert checkpoint.load(tmp_path, "k") is None
    checkpoint.remove(tmp_path)  # twice is once


def test_another_key_is_another_training(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint.save(tmp_path, "k", TENSORS, ABOUT)
    assert checkpoint.load(tmp_path, "other") is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_damaged_checkpoint_starts_the_cell_anew_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture, keep: int
) -> None:
    checkpoint.save(tmp_path, "k", TENSORS, ABOUT)
    path = tmp_path / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:keep])
    assert checkpoint.load(tmp_path, "k") is None
    assert "damaged" in capsys.readouterr().err


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, "k", TENSORS, ABOUT)

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, "k", TENSORS, {"seconds": 2})
    found = checkpoint.load(tmp_path, "k")
    assert found is not None and found[1] == ABOUT
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.NAME]
