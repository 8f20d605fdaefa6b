"""Random changes of a training batch; image and human map move together.

The only file that knows albumentations. Each sample has a seed of its own and its result is a pure function
of that seed, so that batch composition, worker counts and resumes change nothing.
"""

import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Augmenter:
    """Flip, shift, scale, rotate, brightness and contrast, as set in `train.augment` of params.yaml.

    `settings` maps `horizontal_flip` (probability), `shift` (share of the side), `scale` (relative), `rotate`
    (degrees), `brightness` and `contrast` (share of the range) to numbers; 0 switches one off.

    >>> augment = Augmenter(dict.fromkeys(SETTINGS, 0.0), image_size=2)
    >>> images, maps = np.zeros((1, 1, 2, 2), np.uint8), np.ones((1, 2, 2), np.uint8)
    >>> augment(images, maps, [7])[1].tolist()
    [[[1, 1], [1, 1]]]
    """

    def __init__(self, settings: Mapping[str, float], image_size: int) -> None:
        unknown = sorted(set(settings) ^ set(SETTINGS))
        if unknown:
            raise ValueError(f"expected exactly the settings {SETTINGS}; check {unknown}")
        self.image_size = image_size
        self.transforms = _transforms(settings) if any(settings.values()) else []

    def __call__(
        self, images: np.ndarray, maps: np.ndarray, seeds: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change each pair by its seed.

        images uint8 (B, C, S, S), maps uint8 (B, S, S), one seed per pair; returns new arrays of the same
        shapes, or the given ones when every setting is 0. Raises ValueError when shapes do not fit together.
        """
        side = (self.image_size, self.image_size)
        if images.shape[-2:] != side or maps.shape != (len(images), *side) or len(seeds) != len(images):
            raise ValueError(f"shapes do not fit: {images.shape}, {maps.shape}, {len(seeds)} seeds, {side}")
        if not self.transforms:
            return images, maps
        changed, moved = np.empty_like(images), np.empty_like(maps)
        for index, seed in enumerate(seeds):
            changed[index], moved[index] = self._one(images[index], maps[index], seed)
        return changed, moved

    def _one(self, image: np.ndarray, human_map: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        pair: dict[str, Any] = {
            "image": np.ascontiguousarray(image.transpose(1, 2, 0)),
            "mask": np.ascontiguousarray(human_map),
        }
        # One stream for all transforms: seeding each alike, as albumentations' Compose does, would tie the
        # flip to the size of the shift.
        numbers, generator = random.Random(seed), np.random.default_rng(seed)
        for transform in self.transforms:
            transform.set_random_state(generator, numbers)
            pair = transform(**pair)
        return pair["image"].transpose(2, 0, 1), pair["mask"]


SETTINGS = ("horizontal_flip", "shift", "scale", "rotate", "brightness", "contrast")


def _transforms(settings: Mapping[str, float]) -> list[Any]:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it would ask the network at import
    import albumentations as A
    import cv2

    cv2.setNumThreads(0)  # cells already fill the cores
    shift, scale, rotate = settings["shift"], settings["scale"], settings["rotate"]
    brightness, contrast = settings["brightness"], settings["contrast"]
    transforms: list[Any] = []
    if settings["horizontal_flip"]:
        transforms.append(A.HorizontalFlip(p=settings["horizontal_flip"]))
    if shift or scale or rotate:
        transforms.append(
            A.Affine(
                translate_percent=(-shift, shift),
                scale=(1 - scale, 1 + scale),
                rotate=(-rotate, rotate),
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_LINEAR,  # human maps are soft
                border_mode=cv2.BORDER_REFLECT_101,  # black wedges would be a cue of their own
                p=1,
            )
        )
    if brightness or contrast:
        transforms.append(
            A.RandomBrightnessContrast(brightness_limit=brightness, contrast_limit=contrast, p=1)
        )
    return transforms
