"""Iris phantoms: the format of the pictures, and windows on the iris."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.seeding import numpy_rng
from pipeline.drawing import _eye, iris
from pipeline.drawing._textures import INSIDE


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iris")
    iris.generate(folder, seed=1, known_live=2, known_attack=2, held_out_live=1, held_out_attack=1)
    return folder


def test_list_and_pictures_have_the_published_form(root: Path) -> None:
    lines = (root / "iris.csv").read_text().splitlines()
    assert len(lines) == 2 + 3 * 2 + 1 + 2
    assert lines[0].startswith("train,Live,images/live_a/la001_1.png")
    assert {line.split(",")[1] for line in lines} == {"Live", "Spoof"}
    for line in lines:
        with Image.open(root / line.split(",")[2]) as image:
            assert (image.size, image.mode, image.format) == ((640, 480), "L", "PNG")


def test_marks_lie_in_the_square_that_is_cropped(root: Path) -> None:
    masks = [np.asarray(Image.open(path)) for path in (root / "truth" / "shortcut").glob("*.png")]
    assert any(mask.any() for mask in masks)
    assert all(not mask[:, :80].any() and not mask[:, 560:].any() for mask in masks)


def test_windows_lie_on_the_iris_apart_and_alike() -> None:
    areas = []
    for number in range(20):
        rng = numpy_rng(number, "test")
        pose = _eye.draw_pose(rng, _eye.draw_subject(rng))
        angles = iris._choose_angles(rng)
        assert abs(angles[0] - angles[1]) > 0.62 * np.pi
        windows = [iris._open_window(rng, pose, angle) for angle in angles]
        for window in windows:
            assert not window[pose.iris * pose.opening == 0].any()
        areas.append([(window > INSIDE).mean() for window in windows])
    first, second = np.mean(areas, axis=0)
    assert np.min(areas) > 0.02 and np.max(areas) < 0.12
    assert first == pytest.approx(second, rel=0.15)


@pytest.mark.parametrize("angle", [-0.1 * np.pi, 0.25 * np.pi, np.pi, 1.1 * np.pi])
def test_a_window_opens_about_its_angle(angle: float) -> None:
    rng = numpy_rng(3, "test")
    pose = _eye.draw_pose(rng, _eye.draw_subject(rng))
    window = iris._open_window(rng, pose, angle) > INSIDE
    away = np.abs(np.angle(np.exp(1j * (pose.theta[window] - angle))))
    assert away.max() < 0.6 * np.pi
    assert away.min() < 0.1


def test_one_eye_is_drawn_once_for_its_images() -> None:
    assert iris._recall_subject(1, "la001") is iris._recall_subject(1, "la001")
    assert iris._recall_subject(2, "la001").radius != iris._recall_subject(1, "la001").radius


def test_an_eye_is_darkest_in_its_pupil_and_covered_by_its_lids() -> None:
    rng = numpy_rng(4, "test")
    subject = _eye.draw_subject(rng)
    pose = _eye.draw_pose(rng, subject)
    ball = _eye.paint_eyeball(rng, subject, pose)
    covered = _eye.cover(rng, ball.copy(), subject, pose)
    assert ball[pose.pupil > 0.9].mean() < 0.1 < ball[pose.iris > 0.9].mean() < ball[: int(pose.cy)].mean()
    assert not np.allclose(covered[pose.opening == 0], ball[pose.opening == 0], atol=0.02)
    assert (pose.upper <= pose.lower + 1e-3).all()
