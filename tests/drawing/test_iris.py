"""Iris phantoms: the format of the pictures, and patterns that a live iris does not have."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.seeding import numpy_rng
from pipeline.drawing import _eye, iris


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iris")
    iris.generate(folder, 1, known_live=2, known_attack=2, held_out_live=1, held_out_attack=1)
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


@pytest.mark.parametrize(
    "attack",
    [
        iris.textured_contact,
        iris.print_attack,
        iris.electronic_display,
        iris.glass_prosthesis,
        iris.postmortem,
    ],
)
def test_attacks_draw_a_regular_pattern_of_the_asked_contrast(attack: iris.Attack) -> None:
    rng = numpy_rng(0, "test")
    pose = _eye.draw_pose(rng, _eye.draw_subject(rng))
    flat = np.full(_eye.SHAPE, 0.4, dtype=np.float32)
    faint, strong = (attack(numpy_rng(1, "test"), flat, pose, strength) for strength in (0.05, 0.2))
    pattern = (strong - faint)[pose.iris > 0.9] / 0.15
    assert 0.25 < pattern.std() < 1.2
    assert np.abs(pattern).max() < 3


def test_an_eye_is_darkest_in_its_pupil_and_covered_by_its_lids() -> None:
    rng = numpy_rng(4, "test")
    subject = _eye.draw_subject(rng)
    pose = _eye.draw_pose(rng, subject)
    ball = _eye.paint_eyeball(rng, subject, pose)
    covered = _eye.cover(rng, ball.copy(), subject, pose)
    assert ball[pose.pupil > 0.9].mean() < 0.1 < ball[pose.iris > 0.9].mean() < ball[: int(pose.cy)].mean()
    assert not np.allclose(covered[pose.opening == 0], ball[pose.opening == 0], atol=0.02)
    assert (pose.upper <= pose.lower + 1e-3).all()
