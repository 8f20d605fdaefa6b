"""Face phantoms: the published layout, and portraits that keep their person."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.seeding import numpy_rng
from pipeline.drawing import _head, _portrait, face


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("face")
    face.generate(folder, 1, known_authentic=1, known_generator=1, held_out_authentic=2, held_out_generator=1)
    return folder


def test_lists_and_pictures_have_the_published_form(root: Path) -> None:
    known = (root / "csvs" / "original.csv").read_text().splitlines()
    assert known[0] == "train,Real,/train/original_data/studio_a/sa001_1.png"
    assert len(known) == 2 + 3
    lists = {path.stem: path.read_text().splitlines() for path in (root / "csvs" / "gan_test_sets").iterdir()}
    assert {name: len(lines) for name, lines in lists.items()} == {"street": 2, "gen_x": 1, "gen_y": 1}
    for line in [*known, *lists["street"]]:
        with Image.open(root / "Data" / line.split(",")[2].lstrip("/")) as image:
            assert (image.size, image.mode, image.format) == ((224, 224), "RGB", "PNG")
    assert {path.stem for path in (root / "Data/train/heatmaps").iterdir()} == {
        Path(line).stem for line in known
    }


def test_defects_lie_on_the_head_and_move_between_images() -> None:
    centres = []
    for number in range(12):
        rng = numpy_rng(number, "test")
        view = _head.draw_framing(rng)
        spot = face._place_spot(rng, view, "cheek")
        assert (spot.window > 0.5).sum() > 0.5 * np.pi * (0.7 * spot.radius) ** 2
        assert np.hypot(spot.x - view.centre[0], spot.y - view.centre[1]) < view.scale
        centres.append(spot.x)
    assert min(centres) < 100 < 124 < max(centres)  # on both cheeks


@pytest.mark.parametrize("place", sorted(face._DEFECTS))
def test_defects_smooth_the_skin_and_add_a_pattern(place: str) -> None:
    rng = numpy_rng(0, "test", place)
    view = _head.draw_framing(rng)
    image = np.full((*_head.SHAPE, 3), 0.5, dtype=np.float32)
    spot = face._place_spot(rng, view, place)
    faint, strong = (
        face._DEFECTS[place](numpy_rng(1, "test"), image, spot, strength) for strength in (0.01, 0.3)
    )
    pattern = (strong - faint)[spot.window > 0.5].mean(axis=-1)
    assert pattern.std() > 0.04
    assert abs(pattern.mean()) < 0.6 * pattern.std()


def test_one_person_looks_alike_and_two_do_not() -> None:
    anna, bert = (_head.draw_person(numpy_rng(seed, "person")) for seed in (1, 3))
    view = _head.draw_framing(numpy_rng(0, "view"))
    first, again = (_portrait.paint(numpy_rng(0, "light"), anna, view, outdoors=False) for _ in range(2))
    other = _portrait.paint(numpy_rng(0, "light"), bert, view, outdoors=False)
    assert np.array_equal(first, again)
    middle = np.s_[90:140, 90:140]
    assert np.abs(first[middle] - other[middle]).mean() > 0.03
    assert first.dtype == np.float32 and first.min() >= 0 and first.max() <= 1


def test_the_middle_of_a_view_is_the_middle_of_the_face() -> None:
    view = _head.draw_framing(numpy_rng(2, "view"))
    x, y = view.pixel(0.3, -0.2)
    column, row = round(x), round(y)
    assert abs(view.u[row, column] - 0.3) < 0.02
    assert abs(view.v[row, column] + 0.2) < 0.02
