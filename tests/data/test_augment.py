"""Augmentation: a pure function of each sample's seed, and image and map move as one."""

import ast
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.config import Augment
from pipeline.common.seeding import numpy_rng
from pipeline.data.augment import SETTINGS, Augmenter

SIZE = 24
OFF = dict.fromkeys(SETTINGS, 0.0)
ALL = {
    "horizontal_flip": 0.5,
    "shift": 0.1,
    "scale": 0.1,
    "rotate": 10.0,
    "brightness": 0.2,
    "contrast": 0.2,
}


def batch(n: int = 6, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Images whose every channel equals their map, so that both must stay equal."""
    maps = numpy_rng(0, "augment").integers(0, 256, (n, SIZE, SIZE), dtype=np.uint8)
    return np.repeat(maps[:, None], channels, axis=1), maps


def test_all_off_returns_the_batch_itself() -> None:
    images, maps = batch()
    out = Augmenter(OFF, SIZE)(images, maps, range(6))
    assert out[0] is images
    assert out[1] is maps


@pytest.mark.parametrize("channels", [1, 3])
def test_image_and_map_move_together(channels: int) -> None:
    images, maps = batch(channels=channels)
    geometry = ALL | {"brightness": 0.0, "contrast": 0.0}
    moved, moved_maps = Augmenter(geometry, SIZE)(images, maps, range(6))
    for channel in range(channels):
        np.testing.assert_array_equal(moved[:, channel], moved_maps)
    assert (moved_maps != maps).any(axis=(1, 2)).all()


def test_brightness_and_contrast_leave_the_map_alone() -> None:
    images, maps = batch()
    changed, same = Augmenter(OFF | {"brightness": 0.2, "contrast": 0.2}, SIZE)(images, maps, range(6))
    np.testing.assert_array_equal(same, maps)
    assert (changed != images).any()


def test_a_result_depends_on_its_own_seed_only() -> None:
    images, maps = batch()
    augment, seeds = Augmenter(ALL, SIZE), [11, 2**62, 13, 14, 15, 16]
    whole = augment(images, maps, seeds)
    again = Augmenter(ALL, SIZE)(images[::-1], maps[::-1], seeds[::-1])
    alone = augment(images[2:3], maps[2:3], seeds[2:3])
    np.testing.assert_array_equal(whole[0], again[0][::-1])
    np.testing.assert_array_equal(whole[1], again[1][::-1])
    np.testing.assert_array_equal(whole[0][2:3], alone[0])
    assert (whole[0] != augment(images, maps, [seed + 1 for seed in seeds])[0]).any()


def test_the_flip_is_not_tied_to_the_other_changes() -> None:
    """With one seed for every transform, flipped images would all shift to the same side."""
    column = np.zeros((200, SIZE, SIZE), np.uint8)
    column[:, :, 6] = 255
    both = Augmenter(OFF | {"horizontal_flip": 0.5, "shift": 0.2}, SIZE)
    where = both(column[:, None], column, range(200))[1].mean(axis=1).argmax(axis=1)
    flipped = where > SIZE // 2
    shift = np.where(flipped, where - (SIZE - 1 - 6), where - 6)
    assert 70 < flipped.sum() < 130
    assert abs(shift[flipped].mean() - shift[~flipped].mean()) < 1.2
    assert shift.min() < -2
    assert shift.max() > 2


def test_given_arrays_are_not_written_to() -> None:
    images, maps = batch()
    images.flags.writeable = maps.flags.writeable = False
    Augmenter(ALL, SIZE)(images, maps, range(6))


def test_settings_are_those_of_params() -> None:
    assert set(SETTINGS) == set(Augment.model_fields)
    with pytest.raises(ValueError, match="rotation"):
        Augmenter(OFF | {"rotation": 3.0}, SIZE)
    with pytest.raises(ValueError, match="shapes"):
        Augmenter(OFF, SIZE)(*batch(), seeds=range(5))


def test_one_file_knows_albumentations() -> None:
    package = Path(__file__).parents[2] / "pipeline"
    knowing = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "albumentations" for name in names):
                knowing.add(path.name)
    assert knowing == {"augment.py"}
