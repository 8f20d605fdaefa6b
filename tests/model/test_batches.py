"""Batches: a pure function of seed and epoch, maps that move with their images."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_store import arrays

from pipeline.model.batches import (
    Batch,
    StoreRows,
    TrainingBatches,
    _fit_on_gpu,
    as_floats,
    image_batches,
)
from pipeline.model.map_sources import maps_of

TURN = {"name": "Affine", "p": 1, "rotate": [-20, 20], "border_mode": 4}
LIGHT = {"name": "RandomBrightnessContrast", "p": 1, "brightness_limit": 0.2}
CPU = torch.device("cpu")


def samples(n: int = 10, rows: list[int] | None = None, unmapped: tuple[int, ...] = ()) -> StoreRows:
    images, maps, labels = arrays(n, 16)
    has_map = ~np.isin(np.arange(n), unmapped)
    return StoreRows(images, maps, has_map, labels, np.arange(n) if rows is None else np.array(rows))


def epoch(data: StoreRows, number: int = 0, **settings: Any) -> list[Batch]:
    train = {"batch_size": settings.pop("batch_size", 4), "augment": settings.pop("augment", [])}
    source, seed = settings.pop("map_source", "human"), settings.pop("seed", 0)
    return list(TrainingBatches(data, train, source, seed, CPU).epoch(number))


def joined(batches: list[Batch]) -> Batch:
    return Batch(*(torch.cat(column) for column in zip(*batches, strict=True)))


@given(st.integers(1, 40), st.integers(1, 12))
@settings(deadline=None, max_examples=25)
def test_every_sample_once_in_batches_of_nearly_equal_size(n: int, size: int) -> None:
    data = samples(n)
    batches = epoch(data, batch_size=size)
    sizes = [len(batch.labels) for batch in batches]
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1 and len(sizes) == -(-n // size)
    seen = sorted(joined(batches).images.flatten(1).sum(1).tolist())
    assert seen == pytest.approx(sorted((data.images.reshape(n, -1) / 255).sum(1).tolist()), rel=1e-5)


def test_image_label_and_map_stay_together() -> None:
    data = samples()
    found = joined(epoch(data, augment=[{"name": "HorizontalFlip", "p": 1}]))
    for image, label, human in zip(found.images, found.labels, found.maps, strict=True):
        match = [i for i in range(10) if np.array_equal(data.maps[i][:, ::-1], human.numpy() * 255)]
        assert any(
            np.array_equal(data.images[i, 0][:, ::-1], (image[0] * 255).round().numpy())
            and data.labels[i] == label
            for i in match
        )


def test_values_are_in_the_unit_interval() -> None:
    found = joined(epoch(samples()))
    assert found.images.dtype == found.maps.dtype == torch.float32
    assert found.maps.unique().tolist() == [0, 1] and 0 <= found.images.min() < found.images.max() <= 1


def test_an_epoch_is_a_pure_function_of_seed_and_number() -> None:
    data, moving = samples(), {"augment": [TURN, LIGHT]}
    first = joined(epoch(data, 3, **moving))
    assert all(torch.equal(a, b) for a, b in zip(first, joined(epoch(data, 3, **moving)), strict=True))
    for other in (joined(epoch(data, 4, **moving)), joined(epoch(data, 3, seed=1, **moving))):
        assert not torch.equal(first.images, other.images)


def test_augmentation_does_not_depend_on_the_batch() -> None:
    data, moving = samples(), {"augment": [TURN]}
    small, large = joined(epoch(data, batch_size=3, **moving)), joined(epoch(data, batch_size=10, **moving))
    assert torch.equal(small.images, large.images)


def test_image_batches_keep_the_order_of_rows() -> None:
    data = samples(7, rows=[6, 1, 4])
    parts = list(image_batches(data.images, data.rows, 2, CPU))
    assert [len(part) for part in parts] == [2, 1]
    assert np.array_equal((torch.cat(parts) * 255).round().numpy(), data.images[[6, 1, 4]])


def test_floats_by_hand_and_images_channels_last() -> None:
    values = np.array([0, 51, 255], np.uint8)
    assert as_floats(values, CPU).tolist() == pytest.approx([0, 0.2, 1])
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    found = as_floats(images[::-1], CPU)
    assert found.dtype == torch.float32 and found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal((found * 255).round().numpy(), images[::-1])
    assert as_floats(images[:, 0], CPU).is_contiguous()


def test_batches_of_random_images_by_hand() -> None:
    """What a batch shows is what the store's arrays say of its rows, labels, maps and marks alike."""
    random = np.random.default_rng(3)
    data = StoreRows(
        random.integers(0, 256, (9, 3, 8, 8), np.uint8),
        random.integers(0, 256, (9, 8, 8), np.uint8),
        np.array([True, False, True, True, True, False, True, True, True]),
        random.integers(0, 2, 9),
        np.array([8, 0, 5, 3, 1, 7]),
    )
    for source in ("human", "inverted", "shuffled", "moved"):
        found = joined(epoch(data, batch_size=2, map_source=source, seed=4))
        rows = [int(np.flatnonzero((data.images == image).all((1, 2, 3)))[0])
                for image in (found.images * 255).round().numpy()]  # fmt: skip
        assert sorted(rows) == [0, 1, 3, 5, 7, 8] and rows != sorted(rows)
        assert found.labels.tolist() == data.labels[rows].tolist()
        assert found.has_map.tolist() == data.has_map[rows].tolist()
        expected = maps_of(source, data, 4)(np.array(rows)) / 255
        np.testing.assert_allclose(found.maps.numpy(), expected, atol=1e-6)


def test_what_a_gpu_would_get_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resident samples and prefetched batches, on the CPU."""
    plain = epoch(samples(), batch_size=3)
    monkeypatch.setattr("pipeline.model.batches._fit_on_gpu", lambda samples, device: True)
    resident = epoch(samples(), batch_size=3)
    moving = {"batch_size": 3, "augment": [TURN]}
    batches = TrainingBatches(samples(), moving, "human", 0, CPU)
    parts = np.array_split(np.arange(10), 4)
    prefetched, drawn = list(batches._prefetched(parts, 2)), [batches._draw_batch(part, 2) for part in parts]
    for ours, theirs in zip([*plain, *drawn], [*resident, *prefetched], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_augmented_samples_never_stay_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.model.batches._fit_on_gpu", lambda samples, device: True)
    whole = TrainingBatches(samples(), {"batch_size": 3, "augment": [TURN]}, "human", 0, CPU)
    assert whole.resident is None
    still = TrainingBatches(samples(), {"batch_size": 3, "augment": []}, "human", 0, CPU)
    assert still.resident is not None


@pytest.mark.parametrize(("free", "fits"), [(40_960, False), (40_964, True)])
def test_a_quarter_of_a_gpus_memory_is_theirs(free: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """5 rows of 16 x 16 images and maps are 5 * 2 * 256 floats of 4 bytes: 10,240."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    assert _fit_on_gpu(samples(rows=[0, 1, 2, 3, 4]), torch.device("cuda")) == fits
    assert not _fit_on_gpu(samples(), CPU)
