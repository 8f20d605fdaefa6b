"""Augmentation: a pure function of each sample's seed, and image and map move as one."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.common.errors import UserError
from pipeline.common.seeding import numpy_rng
from pipeline.model.augment import Augmenter, problems

SIZE = 24
GREY = (1, SIZE, SIZE)
ROOT = Path(__file__).parents[2]
FLIP = {"name": "HorizontalFlip", "p": 0.5}
MOVE = {"name": "Affine", "p": 1, "translate_percent": [-0.1, 0.1], "rotate": [-10, 10], "interpolation": 1,
        "mask_interpolation": 1, "border_mode": 4}  # fmt: skip
LIGHT = {"name": "RandomBrightnessContrast", "p": 1, "brightness_limit": 0.2}
ALL = [FLIP, MOVE, LIGHT]


def batch(n: int = 6, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Images whose every channel equals their map, so that both must stay equal."""
    maps = numpy_rng(0, "augment").integers(0, 256, (n, SIZE, SIZE), dtype=np.uint8)
    return np.repeat(maps[:, None], channels, axis=1), maps


def test_no_transform_returns_the_batch_itself() -> None:
    images, maps = batch()
    out = Augmenter([], SIZE)(images, maps, range(6))
    assert out[0] is images
    assert out[1] is maps


@pytest.mark.parametrize("channels", [1, 3])
def test_image_and_map_move_together(channels: int) -> None:
    images, maps = batch(channels=channels)
    moved, moved_maps = Augmenter([FLIP, MOVE], SIZE)(images, maps, range(6))
    for channel in range(channels):
        np.testing.assert_array_equal(moved[:, channel], moved_maps)
    assert (moved_maps != maps).any(axis=(1, 2)).all()


def test_brightness_and_contrast_leave_the_map_alone() -> None:
    images, maps = batch()
    changed, same = Augmenter([LIGHT], SIZE)(images, maps, range(6))
    np.testing.assert_array_equal(same, maps)
    assert (changed != images).any()


def test_transforms_act_in_the_order_of_the_list() -> None:
    """A quarter turn and a flip do not commute."""
    images, maps = batch(1)
    flip, turn = {"name": "HorizontalFlip", "p": 1}, {"name": "Rotate", "limit": [90, 90], "p": 1}
    _, first = Augmenter([flip, turn], SIZE)(images, maps, [0])
    _, second = Augmenter([turn, flip], SIZE)(images, maps, [0])
    np.testing.assert_array_equal(first[0], np.rot90(maps[0, :, ::-1]))
    np.testing.assert_array_equal(second[0], np.rot90(maps[0])[:, ::-1])


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
    both = Augmenter([FLIP, {**MOVE, "translate_percent": [-0.2, 0.2], "rotate": 0}], SIZE)
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


def test_the_projects_own_list_is_right_and_draws_as_ever() -> None:
    """Sums of pixels from the time when six numbers stood for this list; SIMD may round a few otherwise."""
    chosen = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["train"]["augment"]
    assert problems(chosen, GREY) == problems(chosen, (3, SIZE, SIZE)) == []
    changed, moved = Augmenter(chosen, SIZE)(*batch(), range(6))
    sums = [int(changed.sum()), int(moved.sum())]
    assert sums == pytest.approx([418667, 437961], rel=1e-4)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (
            {"name": "HorizontalFlp"},
            "'HorizontalFlp' is not a transform of albumentations: did you mean 'Hori",
        ),
        ({"name": "OneOf"}, "'OneOf' is not a transform of albumentations"),  # a composition
        ({"name": "Affine", "rotat": 3}, "Affine.rotat: unknown argument; did you mean 'rotate'?"),
        ({"name": "Affine", "p": 3}, "Affine: p: Input should be less than or equal to 1, got 3"),
        ({"name": "ToTensorV2"}, "ToTensorV2: cannot move an image and its map together"),
        ({"name": "Pad3D", "padding": 1}, "Pad3D: cannot move an image and its map together"),
        ({"name": "Normalize"}, "Normalize: makes the image float32 (1, 24, 24); training needs uint8"),
        (
            {"name": "CenterCrop", "height": 8, "width": 8, "p": 0},
            "CenterCrop: makes the image uint8 (1, 8, 8);",
        ),
        ({"name": "Mosaic"}, "Mosaic: does not work on (1, 24, 24) images: "),
        (
            "HorizontalFlip",
            "expected {name: <transform of albumentations>, <arguments>}, got 'HorizontalFlip'",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(choice: Any, expected: str) -> None:
    (line,) = problems([FLIP, choice], GREY)
    assert line.startswith(f"train.augment.1: {expected}")


def test_all_that_is_wrong_is_listed() -> None:
    lines = problems([{"name": "Affine", "p": 3, "rotate": "a"}, FLIP, {"name": "Flop"}], GREY)
    starts = ["train.augment.0: Affine: p", "train.augment.0: Affine: rotate", "train.augment.2: 'Flop'"]
    assert len(lines) == 3 and all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(UserError, match=r"unknown argument"):
        Augmenter([{**FLIP, "probability": 1}], SIZE)
    with pytest.raises(ValueError, match="shapes"):
        Augmenter([], SIZE)(*batch(), seeds=range(5))


def test_nothing_of_the_host_changes_on_import() -> None:
    """albumentations is imported when it is needed, and its switch is put back."""
    code = (
        "import os, sys; from pipeline.model.augment import Augmenter;"
        "first = 'albumentations' in sys.modules;"
        "Augmenter([{'name': 'HorizontalFlip'}], 8);"
        "print(first, 'albumentations' in sys.modules, os.environ.get('NO_ALBUMENTATIONS_UPDATE'))"
    )
    bare = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=bare, capture_output=True, text=True)
    assert found.stdout.split() == ["False", "True", "None"], found.stderr


def test_one_file_knows_albumentations() -> None:
    knowing = set()
    for path in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "albumentations" for name in names):
                knowing.add(path.name)
    assert knowing == {"augment.py"}
