"""Random changes of a training batch: transforms of albumentations, under which image and human map stay one.

The only file that knows albumentations. Each sample has a seed of its own and its result is a pure function
of that seed, so that batch composition, worker counts and resumes change nothing.
"""

import difflib
import inspect
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipeline.common.errors import UserError, nearest

Choice = Mapping[str, Any]  # {name: a transform of albumentations, <its arguments>}


class Augmenter:
    """The transforms of `train.augment` of params.yaml, one after the other.

    Raises UserError for a transform that does not exist, an argument that it does not take, and a transform
    that could not move image and map together.

    >>> augment = Augmenter([{"name": "HorizontalFlip", "p": 1.0}], image_size=2)
    >>> images = np.array([[[[1, 2], [3, 4]]]], np.uint8)
    >>> augment(images, images[:, 0], [7])[1].tolist()
    [[[2, 1], [4, 3]]]
    """

    def __init__(self, transforms: Iterable[Choice], image_size: int) -> None:
        self.image_size = image_size
        self.transforms = [_make_transform(choice) for choice in transforms]

    def __call__(
        self, images: np.ndarray, maps: np.ndarray, seeds: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change each pair by its seed.

        images uint8 (B, C, S, S), maps uint8 (B, S, S), one seed per pair; returns new arrays of the same
        shapes, or the given ones when there is no transform. Raises ValueError when shapes do not fit.
        """
        side = (self.image_size, self.image_size)
        if images.shape[-2:] != side or maps.shape != (len(images), *side) or len(seeds) != len(images):
            raise ValueError(f"shapes do not fit: {images.shape}, {maps.shape}, {len(seeds)} seeds, {side}")
        if not self.transforms:
            return images, maps
        changed, moved = np.empty_like(images), np.empty_like(maps)
        for index, seed in enumerate(seeds):
            changed[index], moved[index] = _apply_all(self.transforms, images[index], maps[index], seed)
        return changed, moved


def problems(transforms: Iterable[Choice], shape: tuple[int, int, int]) -> list[str]:
    """What is wrong with `train.augment`, one line each.

    Each transform is tried on a black image of this shape (C, S, S) and a black map.
    """
    found = []
    for index, choice in enumerate(transforms):
        try:
            _try_out(choice, shape)
        except UserError as error:
            found += [f"train.augment.{index}: {problem}" for problem in error.problems]
    return found


def _apply_all(
    transforms: Iterable[Any], image: np.ndarray, human_map: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """An image (C, S, S) and its map (S, S) after all transforms."""
    pair: dict[str, Any] = {
        "image": np.ascontiguousarray(image.transpose(1, 2, 0)),
        "mask": np.ascontiguousarray(human_map),
    }
    # One stream for all transforms: seeding each alike, as albumentations' Compose does, would tie the
    # flip to the size of the shift.
    numbers, generator = random.Random(seed), np.random.default_rng(seed)
    for transform in transforms:
        transform.set_random_state(generator, numbers)
        pair = transform(**pair)
    return pair["image"].transpose(2, 0, 1), pair["mask"]


def _try_out(choice: Choice, shape: tuple[int, int, int]) -> None:
    """Raise UserError unless a transform, when it acts, turns 8-bit squares into 8-bit squares."""
    image = np.zeros(shape, np.uint8)
    given = (image, image[0])
    _make_transform(choice)
    try:
        results = _apply_all([_make_transform({**choice, "p": 1})], *given, seed=0)
    except UserError:
        raise
    except Exception as error:  # whatever a library's transform may raise
        line = " ".join(str(error).split())
        raise UserError(f"{choice['name']}: does not work on {image.shape} images: {line}") from None
    for what, before, after in zip(("image", "map"), given, results, strict=True):
        if (after.shape, after.dtype) != (before.shape, before.dtype):
            raise UserError(
                f"{choice['name']}: makes the {what} {after.dtype} {after.shape}; "
                f"training needs {before.dtype} {before.shape}"
            )


def _make_transform(choice: Choice) -> Any:
    """One transform; raises UserError, one line per mistake."""
    if not isinstance(choice, Mapping) or not isinstance(choice.get("name"), str):
        raise UserError(f"expected {{name: <transform of albumentations>, <arguments>}}, got {choice!r}")
    library, name = _albumentations(), choice["name"]
    kind = getattr(library, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, library.BasicTransform)):
        raise UserError(
            f"{name!r} is not a transform of albumentations: {_nearest_transforms(name, library)}"
        )
    arguments = {key: _with_tuples(value) for key, value in choice.items() if key != "name"}
    known = inspect.signature(kind).parameters
    if unknown := [key for key in arguments if key not in known]:
        raise UserError([f"{name}.{key}: unknown argument; {nearest(key, known)}" for key in unknown])
    try:
        made = kind(**arguments)
    except (ValueError, TypeError) as error:
        raise UserError([f"{name}: {line}" for line in _error_lines(error, arguments)]) from None
    moves_both = isinstance(made, library.DualTransform) and {"image", "mask"} <= made.available_keys
    if not (moves_both or isinstance(made, library.ImageOnlyTransform)):
        raise UserError(f"{name}: cannot move an image and its map together; leave it out")
    return made


def _error_lines(error: Exception, arguments: Mapping[str, Any]) -> list[str]:
    """One line per argument that a transform refuses."""
    if not isinstance(error.__cause__, ValidationError):
        return [" ".join(str(error).split())]
    found: dict[str, list[str]] = {}
    for item in error.__cause__.errors(include_url=False):
        found.setdefault(".".join(map(str, item["loc"][:1])), []).append(item["msg"])
    given = {name: f", got {value!r}" for name, value in arguments.items()}
    return [f"{name}: {' or '.join(messages)}{given.get(name, '')}" for name, messages in found.items()]


def _with_tuples(value: Any) -> Any:
    """Lists of YAML as the tuples that transforms want, at any depth."""
    if isinstance(value, Mapping):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value


def _nearest_transforms(name: str, library: ModuleType) -> str:
    """The few names out of a hundred that are like `name`."""
    kinds = [key for key, value in vars(library).items() if inspect.isclass(value)]
    usable = [key for key in kinds if issubclass(vars(library)[key], library.BasicTransform)]
    return nearest(name, difflib.get_close_matches(name, usable, n=3, cutoff=0))


def _albumentations() -> ModuleType:
    """The library; at its first import it would ask the network for newer versions of itself."""
    name = "NO_ALBUMENTATIONS_UPDATE"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        import albumentations
        import cv2
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
    cv2.setNumThreads(0)  # cells already fill the cores
    library: ModuleType = albumentations
    return library
