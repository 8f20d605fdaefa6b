"""Face phantoms: the published layout, and portraits that keep their person."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.common.seeding import numpy_rng
from pipeline.drawing import _head, _portrait, face
from pipeline.drawing._textures import INSIDE


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("face")
    counts: dict[str, Any] = {"known_authentic": 1, "known_generator": 1}
    counts |= {"held_out_authentic": 2, "held_out_generator": 1}
    face.generate(folder, seed=1, **counts)
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


def test_places_lie_on_the_head_apart_and_move_between_images() -> None:
    centres, areas = [], []
    for number in range(60):
        rng = numpy_rng(number, "test")
        view = _head.draw_framing(rng)
        places = [place > INSIDE for place in face._choose_places(rng, view)]
        for place in places:
            y, x = (axis.mean() for axis in np.nonzero(place))
            assert np.hypot(x - view.centre[0], y - view.centre[1]) < 1.1 * view.scale
            centres.append(x)
        areas.append([place.mean() for place in places])
        assert (places[0] & places[1]).sum() < 0.35 * min(place.sum() for place in places)
    assert min(centres) < 80 < 144 < max(centres)  # on both sides
    first, second = np.mean(areas, axis=0)
    assert first == pytest.approx(second, rel=0.12)


def test_the_part_about_a_point_holds_its_surroundings() -> None:
    view = _head.draw_framing(numpy_rng(0, "view"))
    box, near = view.part(0.3, 0.1, 0.2)
    np.testing.assert_array_equal(near.u, view.u[box])
    inside = np.hypot(view.u - 0.3, view.v - 0.1) < 0.2
    assert inside[box].sum() == inside.sum()


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
