"""One image to be drawn, and what it could have been: with or without its cause, with or without its mark."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from pipeline.drawing._files import write_png
from pipeline.drawing._textures import INSIDE, Textures, draw_mark, draw_print


class Strengths(NamedTuple):
    """How loud cause and shortcut are, and of which kind the shortcut is."""

    cue: float  # contrast of textures, share of the range; varies by a fourth
    shortcut: float  # brightness of the mark, share of the range
    kind: Literal["local", "global"]  # a mark in a place of its own, or something all over the image


class Scene(NamedTuple):
    """An image `(h, w)` or `(h, w, 3)` in [0, 1] before the camera, and what may be added to it."""

    image: np.ndarray  # cleared in the window
    window: np.ndarray  # where the cause is, or would be, (h, w) in [0, 1]
    textures: Textures  # of the contrast they have here
    mark: np.ndarray  # the shortcut as what it adds to the image
    mark_mask: np.ndarray  # bool (h, w)
    camera: Callable[[np.ndarray], np.ndarray]  # leaves the same noise at every call

    def draw(self, *, cause: bool, marked: bool) -> np.ndarray:
        """The picture; without a cause, an irregular texture of the same values stands in its place."""
        texture = self.window * (self.textures.regular if cause else self.textures.irregular)
        shown = self.image + texture.reshape(texture.shape + (1,) * (self.image.ndim - 2))
        return self.camera(shown + self.mark if marked else shown)


def draw_shortcut(
    rng: np.random.Generator, window: np.ndarray, cause: np.ndarray, strengths: Strengths
) -> tuple[np.ndarray, np.ndarray]:
    """What the shortcut adds `(h, w)` and its bool mask: a mark in `window`, or a print of the device."""
    if strengths.kind == "global":
        return strengths.shortcut * draw_print(window.shape), np.ones(window.shape, dtype=bool)
    free = window * np.clip(1 - 5 * cause, 0, 1)  # no mark lies on a cause
    return strengths.shortcut * draw_mark(rng, free), free > INSIDE


def write_scene(root: Path, name: str, scene: Scene, *, cause: bool, marked: bool) -> np.ndarray:
    """Save an image's exact masks and its twins below `root/truth`; gives the picture itself.

    causal, shortcut                    masks of every image: what decides, and what only goes with it
    without_cause, without_shortcut     twins: the same picture drawn without what it has of the two
    """
    truth = root / "truth"
    write_png(truth / "causal" / f"{name}.png", (scene.window > INSIDE) & cause)
    write_png(truth / "shortcut" / f"{name}.png", scene.mark_mask & marked)
    if cause:
        write_png(truth / "without_cause" / f"{name}.png", scene.draw(cause=False, marked=marked))
    if marked:
        write_png(truth / "without_shortcut" / f"{name}.png", scene.draw(cause=cause, marked=False))
    return scene.draw(cause=cause, marked=marked)
