"""A scene: four pictures of one place, with and without its cause and its mark; exact masks and twins."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.drawing import _scene as scene
from pipeline.drawing._files import write_png
from pipeline.drawing._shapes import ellipse
from pipeline.drawing._textures import Cue, Textures, draw_textures

SHAPE = (60, 80)
WINDOW, OTHER = (ellipse(SHAPE, x, 30, 14, 12, soft=3) for x in (24, 55))
HERE = WINDOW > 0.3
LOCAL = scene.Strengths(0.2, 0.3, "local")


def toy(channels: tuple[int, ...] = ()) -> scene.Scene:
    """A grey picture with a cause of +0.1 (irregular: -0.1) on the left, a mark of +0.2 on the right."""
    textures = Textures(*(np.full(SHAPE, sign * 0.1, dtype=np.float32) for sign in (1, -1)))
    image = np.full((*SHAPE, *channels), 0.5, dtype=np.float32)
    mark = (0.2 * OTHER).reshape(SHAPE + (1,) * len(channels))
    return scene.Scene(image, WINDOW, textures, mark, OTHER > 0.3, lambda shown: shown)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_picture_is_what_is_added_up(channels: tuple[int, ...]) -> None:
    drawn = toy(channels)
    on_cause, on_mark = (30, 24), (30, 55)
    for cause, marked, left, right in [
        (True, True, 0.6, 0.7),
        (True, False, 0.6, 0.5),
        (False, True, 0.4, 0.7),
        (False, False, 0.4, 0.5),
    ]:
        picture = drawn.draw(cause=cause, marked=marked)
        assert picture.shape == (*SHAPE, *channels)
        np.testing.assert_allclose(picture[on_cause], left, atol=1e-6)
        np.testing.assert_allclose(picture[on_mark], right, atol=1e-6)
        np.testing.assert_allclose(picture[0, 0], 0.5, atol=1e-6)


@pytest.mark.parametrize(("cause", "marked"), [(True, True), (True, False), (False, True), (False, False)])
def test_masks_and_twins_as_files(tmp_path: Path, cause: bool, marked: bool) -> None:
    drawn = toy()
    picture = scene.write_scene(tmp_path, "a", drawn, cause=cause, marked=marked)
    np.testing.assert_array_equal(picture, drawn.draw(cause=cause, marked=marked))

    def file(kind: str) -> np.ndarray:
        return np.asarray(Image.open(tmp_path / "truth" / kind / "a.png"))

    np.testing.assert_array_equal(file("causal") == 255, HERE & cause)
    np.testing.assert_array_equal(file("shortcut") == 255, (OTHER > 0.3) & marked)
    for kind, there, twin in [
        ("cause", cause, drawn.draw(cause=False, marked=marked)),
        ("shortcut", marked, drawn.draw(cause=cause, marked=False)),
    ]:
        assert (tmp_path / "truth" / f"without_{kind}" / "a.png").exists() is there
        if there:
            np.testing.assert_allclose(file(f"without_{kind}") / 255, twin, atol=0.5 / 255 + 1e-6)


def test_a_local_mark_keeps_off_the_cause() -> None:
    near = ellipse(SHAPE, 40, 30, 14, 12, soft=3)  # reaches into the window
    mark, mask = scene.draw_shortcut(np.random.default_rng(0), near, WINDOW, LOCAL)
    assert mask.any()
    assert not (mask & HERE).any()
    assert not mark[WINDOW >= 0.2].any()
    assert mark[mask].mean() == pytest.approx(0.3 * near[mask].mean(), rel=0.35)


def test_a_global_mark_is_everywhere() -> None:
    strengths = LOCAL._replace(kind="global")
    mark, mask = scene.draw_shortcut(np.random.default_rng(0), OTHER, WINDOW, strengths)
    assert mask.all()
    assert mark.shape == mask.shape == SHAPE
    assert 0 < mark.mean() < 0.1  # faint, since it is everywhere


def test_two_pictures_differ_in_the_window_only() -> None:
    rng = np.random.default_rng(1)
    textures = draw_textures(rng, WINDOW, Cue(("checks",), (0.08, 0.1))).scaled(0.3)
    drawn = toy()._replace(textures=textures)
    differs = drawn.draw(cause=True, marked=True) != drawn.draw(cause=False, marked=True)
    assert not differs[WINDOW == 0].any()
    assert differs[HERE].mean() > 0.9


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1)])
def test_pillow_reads_the_same_pixels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_png(tmp_path / "new" / "a.png", pixels)
    with Image.open(tmp_path / "new" / "a.png") as image:
        image.load()
        assert (image.format, image.mode) == ("PNG", "RGB" if len(shape) == 3 else "L")
        np.testing.assert_array_equal(image, pixels)


def test_floats_are_rounded_and_clipped_and_booleans_are_black_and_white(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.array([[-1.0, 0.0, 0.5, 1.0, 2.0]]))
    assert np.asarray(Image.open(tmp_path / "a.png")).tolist() == [[0, 0, 128, 255, 255]]
    write_png(tmp_path / "b.png", np.array([[False, True]]))
    assert np.asarray(Image.open(tmp_path / "b.png")).tolist() == [[0, 255]]
