"""Label Studio: shapes, turned ones, brushes, and people told apart."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.data.marks import brush
from pipeline.data.problems import UnusableImage
from pipeline.data.samples import Together
from tests.data.marks.exports import (
    STUDIO_BRUSH,
    STUDIO_MASK,
    STUDIO_RECTANGLE,
    blank,
    drawn,
    expand,
    marked,
    rectangle,
    save,
    studio,
    studio_shape,
)

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def test_label_studio_shapes(tmp_path: Path) -> None:
    for shape, expected in (
        (studio_shape("rectangle", x=25, y=20, width=20, height=60), rectangle(5, 2, 9, 8)),
        # turned by a right angle around its left top corner: what was right goes down
        (studio_shape("rectangle", x=45, y=20, width=30, height=40, rotation=90), rectangle(5, 2, 10, 9)),
        (studio_shape("polygon", points=[[25, 20], [40, 20], [40, 70], [25, 70]]), rectangle(5, 2, 9, 8)),
        (
            studio_shape("brush", rle=brush.pack(rectangle(5, 2, 9, 8) > 0), format="rle"),
            rectangle(5, 2, 9, 8),
        ),
    ):
        save(tmp_path / "ls.json", [studio([shape])])
        assert np.array_equal(drawn(marked(tmp_path, LABEL_STUDIO)["a.png"]), expected), shape


def test_a_turned_ellipse_has_its_axes_swapped(tmp_path: Path) -> None:
    ellipse = studio_shape("ellipse", x=50, y=50, radiusX=20, radiusY=20, rotation=90)  # 4 px by 2 px
    save(tmp_path / "ls.json", [studio([ellipse])])
    human_map = drawn(marked(tmp_path, LABEL_STUDIO)["a.png"])
    assert human_map[1:9, 10].all()
    assert human_map[5, 8:12].all()
    assert human_map[5, :7].sum() == 0 == human_map[5, 14:].sum()


def test_a_rectangle_that_label_studio_exported(tmp_path: Path) -> None:
    """Its other corners, by hand from its own: width along (cos r, sin r), height along (-sin r, cos r)."""
    blank(tmp_path / "images" / "c.png", (597, 768))
    save(tmp_path / "ls.json", [studio([STUDIO_RECTANGLE], image="/data/upload/7/0a1b2c3d-c.png")])
    sample = marked(tmp_path, LABEL_STUDIO, names=())["c.png"]
    (outline,) = sample.annotations[0].outlines  # type: ignore[union-attr]
    expected = [[62.906, 611.003], [159.681, 551.309], [192.467, 604.463], [95.693, 664.157]]
    assert np.allclose(outline, expected, atol=1e-2)
    assert sample.annotation_size == (597, 768)


LABEL_STUDIO = {"kind": "label_studio", "file": "ls.json"}


def test_people_are_told_apart_and_skips_say_nothing(tmp_path: Path) -> None:
    box = studio_shape("rectangle", x=0, y=0, width=50, height=100)
    task = studio([box], [], [box])
    task["annotations"][2]["was_cancelled"] = True
    save(tmp_path / "ls.json", [task])
    sample = marked(tmp_path, LABEL_STUDIO)["a.png"]
    assert len(sample.annotations) == 2  # the second looked, and marked nothing
    assert set(np.unique(drawn(sample))) == {0, 0.5}


def test_one_person_marks_in_several_ways(tmp_path: Path) -> None:
    box = studio_shape("rectangle", x=0, y=0, width=10, height=100)
    empty = studio_shape("brush", rle=brush.pack(np.zeros((10, 20), bool)))
    run = studio_shape("brush", rle=brush.pack(rectangle(5, 2, 9, 8) > 0))
    save(tmp_path / "ls.json", [studio([box, empty, run])])
    sample = marked(tmp_path, LABEL_STUDIO)["a.png"]
    assert isinstance(sample.annotations[0], Together)
    assert np.array_equal(drawn(sample), np.maximum(rectangle(0, 0, 2, 10), rectangle(5, 2, 9, 8)))


def test_marks_on_a_smaller_copy_of_the_image(tmp_path: Path) -> None:
    save(tmp_path / "ls.json", [studio([studio_shape("rectangle", (10, 5), x=0, y=0, width=50, height=100)])])
    sample = marked(tmp_path, LABEL_STUDIO)["a.png"]
    assert sample.annotation_size == (10, 5)
    assert np.array_equal(drawn(sample), np.repeat([[1, 0]], 5, axis=1).repeat(5, axis=0))


def test_the_brush_of_label_studio() -> None:
    assert np.array_equal(expand(brush.unpack(STUDIO_BRUSH, 6, 4)), np.array(STUDIO_MASK, bool))


@pytest.mark.parametrize("alpha", [0, 9])
def test_a_brush_marks_by_its_alpha(alpha: int) -> None:
    """Four single values, by hand: a white pixel that is transparent marks nothing."""
    head = f"{4:032b}" + f"{7:05b}" + f"{2:04b}" * 4
    bits = head + "0" + "00" + f"{3:03b}" + f"{255:08b}" * 3 + f"{alpha:08b}"
    packed = np.packbits([int(bit) for bit in bits]).tolist()
    assert expand(brush.unpack(packed, 1, 1)).tolist() == [[alpha > 0]]


@given(MASKS)
def test_brushes_come_back(mask: np.ndarray) -> None:
    height, width = mask.shape
    assert np.array_equal(expand(brush.unpack(brush.pack(mask), width, height)), mask)


@given(st.lists(st.integers(0, 255), max_size=40))
def test_broken_brushes_are_refused(packed: list[int]) -> None:
    with pytest.raises(UnusableImage, match="E_RLE"):
        brush.unpack([0, 0, 0, 96, *packed[:9]], 9, 9)  # another size
    try:
        brush.unpack([0, 0, 0, 96, 57, 27, *packed], 6, 4)
    except UnusableImage as error:
        assert error.problem.code == "E_RLE"


def test_a_broken_brush_is_the_problem_of_its_image(tmp_path: Path) -> None:
    save(tmp_path / "ls.json", [studio([studio_shape("brush", rle=[1, 2, 3])])])
    problem = marked(tmp_path, LABEL_STUDIO)["a.png"].problem
    assert problem is not None
    assert (problem.code, problem.where) == ("E_RLE", "ls.json task 7")
