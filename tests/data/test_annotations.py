"""Human annotations to maps: values by hand, PIL as second opinion, and all ways to say nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pipeline.data import annotations
from pipeline.data.images import load
from pipeline.data.problems import UnusableImage
from pipeline.data.samples import (
    Annotation,
    Boxes,
    Drawn,
    Ellipses,
    Fixations,
    Pasted,
    Polygons,
    Runs,
    Together,
)


def combine(
    *given: Annotation, width: int = 8, height: int = 6, granularity: str = "map", blur: float = 0
) -> np.ndarray | None:
    maps = annotations.draw_maps(given, width, height)
    return annotations.combine(maps, granularity=granularity, blur=blur)


def mapped(*given: Annotation, **settings: Any) -> np.ndarray:
    human_map = combine(*given, **settings)
    assert human_map is not None
    assert human_map.dtype == np.float32
    assert human_map.min() >= 0
    assert human_map.max() <= 1
    return human_map


def refused(*given: Annotation, **settings: Any) -> str:
    with pytest.raises(UnusableImage) as caught:
        combine(*given, **settings)
    return str(caught.value)


def gaze(
    points: list[tuple[float, float]],
    sigma: float = 1.0,
    weight: list[float] | None = None,
    shown: list[list[float]] | None = None,
) -> Fixations:
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    sigmas = np.full(len(x), sigma)
    weights = np.ones(len(x)) if weight is None else np.array(weight)
    return Fixations(x, y, sigmas, sigmas, weights, None if shown is None else np.array(shown))


def boxes(*corners: list[float]) -> Boxes:
    return Boxes(np.array(corners, dtype=float).reshape(-1, 4))


def ellipses(*corners: list[float]) -> Ellipses:
    return Ellipses(np.array(corners, dtype=float).reshape(-1, 4))


def drawn(path: Path, values: Any) -> Drawn:
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)
    return Drawn(path)


# fixations


def test_one_fixation_is_a_gaussian_with_peak_one() -> None:
    human_map = mapped(gaze([(3, 2)], sigma=1.5))
    y, x = np.mgrid[:6, :8]
    np.testing.assert_allclose(human_map, np.exp(-((x - 3) ** 2 + (y - 2) ** 2) / (2 * 1.5**2)), atol=1e-6)


def test_durations_weigh() -> None:
    human_map = mapped(gaze([(1, 1), (6, 4)], sigma=0.5, weight=[0.5, 2.0]))
    assert human_map[4, 6] == pytest.approx(1, abs=1e-5)
    assert human_map[1, 1] == pytest.approx(0.25, abs=1e-5)


def test_gaze_is_clipped_to_what_was_shown() -> None:
    human_map = mapped(gaze([(3, 2)], sigma=2, shown=[[2, 1, 5, 6]]))
    assert (human_map[:, :2] == 0).all()
    assert (human_map[0] == 0).all()
    assert (human_map[:, 5:] == 0).all()
    assert (human_map[1:, 2:5] > 0).all()


def test_axes_have_their_own_sigma() -> None:
    one = Fixations(*(np.array([v]) for v in (3.0, 2.0, 2.0, 0.5, 1.0)))
    human_map = mapped(one)
    assert human_map[2, 5] == pytest.approx(np.exp(-0.5), abs=1e-5)
    assert human_map[3, 3] == pytest.approx(np.exp(-2), abs=1e-5)


def test_off_image_and_instant_fixations_are_dropped() -> None:
    inside = gaze([(3, 2)])
    more = gaze([(3, 2), (-1, 2), (8, 2), (3, 6), (5, 5)], weight=[1, 1, 1, 1, 0])
    np.testing.assert_array_equal(mapped(more), mapped(inside))


def test_unusable_gaze() -> None:
    assert refused(gaze([(-5, 2), (99, 2)])).startswith("E_FIX")
    assert refused(gaze([])).startswith("E_FIX")
    assert refused(gaze([(3, 2)], weight=[-1])).startswith("E_FIX")
    assert refused(gaze([(3, np.nan)])).startswith("E_FIX")
    assert refused(gaze([(1, 1)], sigma=0.1, shown=[[6, 4, 8, 6]])).startswith("E_FIX")


def test_large_images_get_a_reduced_grid_with_the_same_shape() -> None:
    large = mapped(gaze([(1000, 600)], sigma=100), width=2048, height=1024)
    assert large.shape == (128, 256)
    y, x = np.unravel_index(large.argmax(), large.shape)
    assert abs(x - 125) <= 1
    assert abs(y - 75) <= 1
    assert large[75, 137] == pytest.approx(np.exp(-0.5), abs=0.03)
    narrow = mapped(gaze([(1000, 600)], sigma=0.1), width=2048, height=1024)
    assert narrow.max() == pytest.approx(1)


# boxes and ellipses


def test_boxes_are_half_open_and_united() -> None:
    human_map = mapped(boxes([1.2, 1, 2.5, 3], [2, 2, 4, 4]))
    expected = np.zeros((6, 8))
    expected[1:3, 1:3] = expected[2:4, 2:4] = 1
    np.testing.assert_array_equal(human_map, expected)


def test_readers_are_averaged() -> None:
    """Three readers, one of whom saw nothing: 2/3 where the others agree."""
    human_map = mapped(boxes([1, 1, 4, 4]), boxes(), boxes([2, 2, 5, 5]))
    assert human_map[3, 3] == pytest.approx(2 / 3)
    assert human_map[1, 1] == pytest.approx(1 / 3)


def test_a_box_slightly_over_the_edge_is_clipped() -> None:
    np.testing.assert_array_equal(mapped(boxes([-2, 1, 3, 8])), mapped(boxes([0, 1, 3, 6])))


@pytest.mark.parametrize("box", [[3, 1, 3, 4], [4, 1, 3, 4], [9, 1, 12, 4], [-3, 1, 3, 4], [1, 1, np.nan, 4]])
def test_bad_boxes(box: list[float]) -> None:
    assert refused(boxes(box)).startswith("E_BOX")


def test_boxes_on_a_reduced_grid_keep_their_area() -> None:
    human_map = mapped(boxes([101, 203, 1001, 1011]), width=2048, height=1024)
    assert human_map.mean() == pytest.approx(900 * 808 / (2048 * 1024), rel=1e-6)


def test_ellipse() -> None:
    human_map = mapped(ellipses([2, 1, 6, 5]))
    y, x = np.mgrid[:6, :8] + 0.5
    np.testing.assert_array_equal(human_map, ((x - 4) ** 2 + (y - 3) ** 2 <= 4))


@given(st.integers(5, 60), st.integers(5, 60), st.integers(20, 90), st.integers(20, 90))
def test_ellipse_has_the_area_of_an_ellipse(x0: int, y0: int, a: int, b: int) -> None:
    human_map = mapped(ellipses([x0, y0, x0 + a, y0 + b]), width=200, height=200)
    assert human_map.sum() == pytest.approx(np.pi * a * b / 4, rel=0.05)


def test_ellipse_equals_pil() -> None:
    picture = Image.new("L", (200, 100))
    ImageDraw.Draw(picture).ellipse((20, 10, 159, 79), fill=1)
    theirs = np.asarray(picture)
    ours = mapped(ellipses([20, 10, 160, 80]), width=200, height=100)
    assert np.abs(ours - theirs).mean() < 0.005


def test_bad_ellipses() -> None:
    assert refused(ellipses([3, 1, 3, 4])).startswith("E_SHAPE")
    assert refused(ellipses([20, 1, 30, 4])).startswith("E_SHAPE")


# files


def test_drawn_map_is_its_grey_values(tmp_path: Path) -> None:
    values = np.arange(48).reshape(6, 8) * 5
    np.testing.assert_allclose(mapped(drawn(tmp_path / "a.png", values)), values / 255, atol=1e-6)


def test_unusable_map_files(tmp_path: Path) -> None:
    assert refused(Drawn(tmp_path / "none.png")).startswith("E_ANN_MISSING none.png")
    assert refused(drawn(tmp_path / "a.png", np.eye(8, 6) * 9)).startswith("E_ANN_DIMS a.png")
    assert refused(drawn(tmp_path / "b.png", np.zeros((6, 8)))).startswith("E_ANN_EMPTY b.png")
    assert refused(drawn(tmp_path / "c.png", np.full((6, 8), 7))).startswith("E_ANN_EMPTY c.png")
    assert refused(drawn(tmp_path / "e.png", np.arange(144).reshape(6, 8, 3))).startswith("E_ANN_RANGE e.png")
    Image.fromarray(np.eye(6, 8).astype(np.uint16) * 900).save(tmp_path / "f.png")
    assert refused(Drawn(tmp_path / "f.png")).startswith("E_ANN_RANGE f.png")
    (tmp_path / "g.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    assert refused(Drawn(tmp_path / "g.png")).startswith("E_DECODE g.png")


def test_equal_colours_are_grey(tmp_path: Path) -> None:
    values = np.arange(48).reshape(6, 8) * 5
    for name, planes in (("rgb", [values] * 3), ("rgba", [*[values] * 3, np.full((6, 8), 128)])):
        human_map = mapped(drawn(tmp_path / f"{name}.png", np.stack(planes, axis=2)))
        np.testing.assert_allclose(human_map, values / 255, atol=1e-6)


def test_a_black_map_marks_nothing_where_it_may(tmp_path: Path) -> None:
    black = replace(drawn(tmp_path / "a.png", np.zeros((6, 8))), empty="none")
    assert combine(black) is None
    np.testing.assert_array_equal(np.unique(mapped(black, boxes([0, 0, 8, 3]))), [0, 0.5])  # a share of two
    white = replace(drawn(tmp_path / "b.png", np.full((6, 8), 255)), empty="none")
    assert refused(white).startswith("E_ANN_EMPTY b.png")


def test_maps_of_another_size_are_squeezed_as_told(tmp_path: Path) -> None:
    small = drawn(tmp_path / "a.png", [[255, 0], [0, 0]])
    near = mapped(replace(small, resize="nearest"), width=4, height=4)
    assert near.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    smooth = np.array([1, 0.75, 0.25, 0])  # between the centres of two pixels
    area = mapped(replace(small, resize="area"), width=4, height=4)
    np.testing.assert_allclose(area, np.outer(smooth, smooth), atol=1e-6)
    large = drawn(tmp_path / "b.png", [[255, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 51]])
    area = mapped(replace(large, resize="area"), width=2, height=2)
    np.testing.assert_allclose(area, [[0.25, 0], [0, 0.05]], atol=1e-6)
    near = mapped(replace(large, resize="nearest"), width=2, height=2)
    np.testing.assert_allclose(near, [[0, 0], [0, 0.2]], atol=1e-6)  # the pixel below and right of a centre


def test_pasted_masks_are_united_and_alpha_is_ignored(tmp_path: Path) -> None:
    mask = np.zeros((2, 3, 4), np.uint8)
    mask[..., 3] = 255
    mask[0, :, 1] = 200
    Image.fromarray(mask).save(tmp_path / "a.png")
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(tmp_path / "b.png")
    human_map = mapped(Pasted(((tmp_path / "a.png", 4, 1), (tmp_path / "b.png", 0, 5))))
    expected = np.zeros((6, 8))
    expected[1, 4:7] = expected[5, 1] = 1
    np.testing.assert_array_equal(human_map, expected)


def test_unusable_pasted_masks(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "a.png")
    assert refused(Pasted(((tmp_path / "a.png", 0, 0),))).startswith("E_ANN_EMPTY a.png")
    assert refused(Pasted(((tmp_path / "a.png", 8, 0),))).startswith("E_BOX")


# maps that say nothing, and what is done to those that do


def test_nothing_marked_is_none_never_zeros() -> None:
    assert combine() is None
    assert combine(boxes(), boxes()) is None
    assert combine(ellipses()) is None
    assert combine(boxes([0, 0, 8, 6])) is None  # everything is marked: nothing is said


def test_granularity_box() -> None:
    human_map = mapped(ellipses([1, 1, 4, 4], [5, 3, 8, 6]), granularity="box")
    expected = np.zeros((6, 8))
    expected[1:4, 1:4] = expected[3:6, 5:8] = 1
    np.testing.assert_array_equal(human_map, expected)


def test_granularity_box_of_gaze_keeps_the_core() -> None:
    human_map = mapped(gaze([(20, 20)], sigma=4), width=64, height=64, granularity="box")
    half_width = 4 * np.sqrt(2 * np.log(2))
    assert human_map.sum() == (2 * int(half_width) + 1) ** 2


def test_blur_spreads_and_keeps_the_sum() -> None:
    sharp = mapped(boxes([28, 28, 36, 36]), width=64, height=64)
    soft = mapped(boxes([28, 28, 36, 36]), width=64, height=64, blur=0.05)
    assert soft.max() < 1
    assert soft.sum() == pytest.approx(sharp.sum(), rel=1e-3)


def test_real_lesion_masks(sample_data: Path) -> None:
    """A mask put at its corner covers the share of the image that its own pixels say."""
    folder = sample_data / "cxr" / "generalblockchain"
    name = "0fc7f55c1dac1528b4459ef3adbae236acab1fee_QKEMjEaCZDdAipPna.png"
    loaded = load(
        folder / "images" / "X-ray_of_cyst_in_pneumocystis_pneumonia_1.jpg",
        max_megapixels=64,
        max_megabytes=512,
    )
    mask = np.asarray(Image.open(folder / "masks" / name))
    human_map = mapped(Pasted(((folder / "masks" / name, 47, 38),)), width=loaded.width, height=loaded.height)
    marked = mask[..., :3].any(axis=2).sum()
    assert human_map.mean() == pytest.approx(marked / (loaded.width * loaded.height), rel=1e-4)


def outline(*points: list[float]) -> np.ndarray:
    return np.array(points, dtype=float)


def test_outlines_are_filled_with_their_edges_and_holes_are_cut_out() -> None:
    square, hole = outline([1, 1], [5, 1], [5, 4], [1, 4]), outline([2, 2], [3, 2], [3, 3], [2, 3])
    human_map = mapped(Polygons((square,), (hole,)))
    expected = np.zeros((6, 8))
    expected[1:5, 1:6] = 1
    expected[2:4, 2:4] = 0
    assert human_map.tolist() == expected.tolist()


def test_outlines_that_enclose_nothing_are_refused() -> None:
    assert "E_SHAPE" in refused(Polygons((outline([1, 1], [5, 1]),)))
    assert "E_SHAPE" in refused(Polygons((outline([1, 1], [5, 1], [3, 1]),)))
    assert "E_SHAPE" in refused(Polygons((outline([9, 1], [12, 1], [10, 4]),)))
    assert "E_SHAPE" in refused(Polygons((outline([1, 1], [5, np.nan], [3, 3]),)))


def test_runs_pass_row_by_row_or_column_by_column_and_several_masks_are_joined() -> None:
    lengths = np.array([1, 2, 3, 1])  # pixels 1, 2 and 6 are marked
    by_row = mapped(Runs((lengths,), 2, 4, "C"), width=4, height=2)
    by_column = mapped(Runs((lengths, np.array([0, 1])), 2, 4, "F"), width=4, height=2)
    assert by_row.tolist() == [[0, 1, 1, 0], [0, 0, 1, 0]]
    assert by_column.tolist() == [[1, 1, 0, 1], [1, 0, 0, 0]]


def test_runs_that_leave_the_image_are_refused() -> None:
    assert "E_RLE" in refused(Runs((np.array([1, 8]),), 2, 4, "C"), width=4, height=2)
    assert "E_RLE" in refused(Runs((np.array([3, -1]),), 2, 4, "C"), width=4, height=2)
    assert "E_ANN_DIMS" in refused(Runs((np.array([1, 1]),), 2, 4, "C"), width=4, height=3)
    assert "E_ANN_EMPTY" in refused(Runs((np.array([8]),), 2, 4, "C"), width=4, height=2)


def test_holes_and_parts_stay_apart() -> None:
    """The hole of one outline does not cut into another."""
    ring = np.array([[1, 1], [7, 1], [7, 7], [1, 7]])
    one = Polygons((ring,), (np.array([[3, 3], [5, 3], [5, 5], [3, 5]]),))
    both = Together((one, Boxes(np.array([[4, 4, 6, 6]]))))
    human_map = combine(both, width=20, height=10)
    assert human_map is not None
    assert human_map[3, 3] == 0
    assert human_map[4, 4] == 1
