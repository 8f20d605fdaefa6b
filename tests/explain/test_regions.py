"""The post-hoc tool: exact sums, regions on drawn maps, planted concepts found again."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.explain import regions
from pipeline.model import Outputs, build, cam


@pytest.fixture(scope="module")
def seen() -> tuple[Outputs, np.ndarray, np.ndarray]:
    """A random model's outputs on noise, its head's weight and bias."""
    torch.manual_seed(0)
    model = build("compact", 1).eval()
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([0.3, -0.4]))
        outputs = model(torch.rand(6, 1, 64, 64))
    return outputs, model.head.weight.detach().numpy(), model.head.bias.detach().numpy()


def explained(seen: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted classes, their margins without the bias, their difference salience."""
    outputs, _, bias = seen
    classes = outputs.logits.argmax(1)
    sign = 2 * classes.numpy() - 1
    margins = sign * (outputs.logits[:, 1] - outputs.logits[:, 0] - (bias[1] - bias[0])).numpy()
    return classes.numpy(), margins, cam.difference_salience(outputs.cams, classes).numpy()


@pytest.mark.parametrize("share", [0.05, 0.2, 0.9])
def test_regions_and_the_rest_sum_to_the_margin(seen: tuple, share: float) -> None:
    _, margins, salience = explained(seen)
    places = regions.find_regions(salience, share)
    rest = np.mean(regions.refine(salience), axis=(1, 2), where=places.labels == 0)
    rest *= np.mean(places.labels == 0, axis=(1, 2))
    found = places.table.groupby("image")["importance"].sum().reindex(range(6), fill_value=0).to_numpy()
    np.testing.assert_allclose(found + rest, margins, atol=1e-6)


def test_channels_sum_to_the_margin(seen: tuple) -> None:
    outputs, weight, _ = seen
    classes, margins, _ = explained(seen)
    pooled = outputs.features.mean((2, 3)).numpy()
    parts = regions.channel_importance(pooled, weight, classes)
    assert parts.shape == pooled.shape
    np.testing.assert_allclose(parts.sum(axis=1), margins, atol=1e-6)


def test_regions_of_a_drawn_map() -> None:
    """Two positive squares, one negative cell; the heavier positive region comes first."""
    salience = np.zeros((2, 8, 8), np.float32)
    salience[1, 0:2, 0:2] = 2
    salience[1, 5:7, 5:8] = 3
    salience[1, 3, 6] = -4
    places = regions.find_regions(salience, share=0.5)
    table = places.table
    assert table[["image", "region", "sign"]].to_numpy().tolist() == [[1, 1, 1], [1, 2, 1], [1, 3, -1]]
    centres = regions.centres(table)
    np.testing.assert_allclose(centres[0], [6.5 / 8, 6 / 8], atol=1 / 16)
    np.testing.assert_allclose(centres[1], [1 / 8, 1 / 8], atol=1 / 16)
    np.testing.assert_allclose(centres[2], [6.5 / 8, 3.5 / 8], atol=1 / 16)
    assert list(table.columns[:4]) == ["image", "region", "x", "y"]
    assert table["importance"].iloc[0] > table["importance"].iloc[1] > 0 > table["importance"].iloc[2]
    assert (places.labels[0] == 0).all()


def test_table_rows_are_the_labelled_places(seen: tuple) -> None:
    _, _, salience = explained(seen)
    places, fine = regions.find_regions(salience, 0.3), regions.refine(salience)
    cells = fine[0].size
    for number, row in enumerate(places.table.itertuples(), start=1):
        image, y, x = np.nonzero(places.labels == number)
        assert set(image) == {row.image}
        assert row.area == pytest.approx(len(image) / cells)
        assert row.importance == pytest.approx(fine[image, y, x].sum() / cells)
        assert (row.x, row.y) == (x.min() / fine.shape[2], y.min() / fine.shape[1])
        assert row.x + row.width == pytest.approx((x.max() + 1) / fine.shape[2])
        assert np.sign(row.importance) == row.sign


def test_parts_smaller_than_a_cell_of_the_cam_are_no_regions() -> None:
    """A plateau of 4 x 4 fine cells is one cell of the CAM; without one of them it is less."""
    cells = np.zeros((2, 8, 8), bool)
    cells[0, 2:6, 2:6] = cells[1, 2:6, 2:6] = True
    cells[1, 2, 2] = False
    labels, count = regions._number_parts(cells)
    assert count == 1
    assert (labels == cells * np.array([1, 0])[:, None, None]).all()


def test_regions_do_not_reach_into_the_next_image() -> None:
    salience = np.ones((3, 4, 4), np.float32)
    assert regions.find_regions(salience, 0.9).table["image"].tolist() == [0, 1, 2]


@given(st.floats(0.01, 0.99), st.integers(0, 1000))
def test_important_cells_are_the_top_share_of_the_positive_ones(share: float, seed: int) -> None:
    salience = np.random.default_rng(seed).normal(size=(3, 5, 5))
    chosen = regions.important(salience, share)
    for cells, mask in zip(salience, chosen, strict=True):
        assert mask.sum() == np.ceil(share * (cells > 0).sum())
        assert cells[mask].min() > 0
        assert cells[mask].min() >= np.max(cells[~mask & (cells > 0)], initial=0)


def test_nothing_positive_is_nothing_important() -> None:
    assert not regions.important(-np.ones((2, 3, 3)), 0.5).any()
    assert not regions.important(np.zeros((1, 3, 3)), 0.5).any()
    assert regions.find_regions(np.zeros((2, 3, 3)), 0.5).table.empty


def test_shared_salience_by_hand() -> None:
    """Only a common map: 1. Opposite maps: 0. Flat maps: undefined. Identity I6 gives the energies' sum."""
    pattern = np.arange(9.0).reshape(3, 3)
    cams = np.stack(
        [[pattern, pattern], [pattern, -pattern], [0 * pattern, 0 * pattern], [pattern, 0 * pattern]]
    )
    np.testing.assert_allclose(regions.shared_salience(cams), [1, 0, np.nan, 0.5])


def test_shared_salience_is_the_shared_part_of_all_energy() -> None:
    """E(M_0) + E(M_1) = 2 E(mean) + E(difference) / 2; a constant adds no energy, rounding of one neither."""
    cams = np.random.default_rng(0).normal(size=(5, 2, 3, 4))
    whole = cams.var(axis=(2, 3)).sum(axis=1)
    expected = 2 * cams.mean(axis=1).var(axis=(1, 2)) / whole
    np.testing.assert_allclose(regions.shared_salience(cams), expected)
    np.testing.assert_allclose(regions.shared_salience(3 * cams + 7), expected)
    assert np.isnan(regions.shared_salience(np.full((1, 2, 3, 3), 0.1, np.float32))).all()


def test_channels_count_for_class_1_and_against_class_0() -> None:
    pooled, weight = np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([[3.0, 1.0], [4.0, -1.0]])
    found = regions.channel_importance(pooled, weight, np.array([1, 0]))
    np.testing.assert_allclose(found, [[1, -4], [-1, 4]])


def test_patterns_are_the_region_own_contributions(seen: tuple) -> None:
    """A region that covers the whole image shows the image's channel importances, at its centre."""
    outputs, weight, _ = seen
    classes, _, _ = explained(seen)
    maps = outputs.features.numpy()
    places = regions.find_regions(np.ones((6, *maps.shape[2:])), 0.9)
    vectors = regions.patterns(places, maps, weight, classes)
    whole = regions.channel_importance(maps.mean(axis=(2, 3)), weight, classes)
    np.testing.assert_allclose(
        vectors[:, :-2], whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-5
    )
    np.testing.assert_allclose(vectors[:, -2:], 0.5)


def test_patterns_pool_over_the_region_only() -> None:
    maps = np.zeros((1, 2, 4, 4), np.float32)
    maps[0, 0, :2] = 5  # channel 0 above, channel 1 below
    maps[0, 1, 2:] = 7
    salience = np.where(np.arange(4) < 1, 3.0, -1.0)[None, :, None] * np.ones((1, 4, 4))
    places = regions.find_regions(salience, 0.5)
    weight = np.array([[0.0, 0.0], [1.0, 1.0]])
    upper = regions.patterns(places, maps, weight, np.array([1]))[places.table["sign"] > 0]
    np.testing.assert_allclose(upper[:, :2], [[1, 0]], atol=1e-6)


def planted(spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Ninety vectors around three corners of a simplex, and which corner."""
    which = np.repeat(np.arange(3), 30)
    return np.eye(3)[which] + np.random.default_rng(0).normal(0, spread, (90, 3)), which


def test_planted_concepts_are_found_again() -> None:
    vectors, which = planted(0.05)
    centre = regions.concepts(vectors, max_concepts=6, seed=1)
    assert len(centre) == 3
    found, distance = regions.nearest_concept(vectors, centre)
    assert all(len(set(found[which == corner])) == 1 for corner in range(3))
    assert distance.max() < 0.5


@pytest.mark.parametrize(("corners", "at_most", "expected"), [(2, 6, 2), (4, 6, 4), (4, 3, 3)])
def test_as_many_concepts_as_separate_but_no_more_than_asked(
    corners: int, at_most: int, expected: int
) -> None:
    which = np.repeat(np.arange(corners), 20)
    vectors = np.eye(4)[which] + np.random.default_rng(0).normal(0, 0.02, (len(which), 4))
    assert len(regions.concepts(vectors, at_most, 0)) == expected


def test_clustering_is_reproducible() -> None:
    vectors, _ = planted(0.2)
    np.testing.assert_array_equal(regions.concepts(vectors, 6, 1), regions.concepts(vectors, 6, 1))


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (2, 1)])
def test_too_few_regions_are_one_concept_or_none(count: int, expected: int) -> None:
    centre = regions.concepts(planted(0.05)[0][:count], 6, 0)
    assert centre.shape == (expected, 3)


def test_one_blob_is_one_concept() -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 20))
    assert len(regions.concepts(vectors, 6, 0)) == 1


def test_overlap_by_hand() -> None:
    """Found: the left half of the mask and as much outside it. Salience 3 above, 1 below.

    Interpolated to eight rows, the upper four average 2.75 and the lower four 1.25.
    """
    masks = np.zeros((1, 8, 8), np.uint8)
    masks[0, :4] = 255
    found = np.zeros((1, 8, 8), bool)
    found[0, :, :4] = True
    salience = np.array([3.0, 1.0])[None, :, None] * np.ones((1, 2, 2))
    scores = regions.overlap(found, salience, masks)
    assert [float(value[0]) for value in scores] == pytest.approx([1 / 2, 1 / 2, 1 / 3, 2.75 / 4])


def test_overlap_cell_by_cell() -> None:
    """On random maps of 2 x 3 cells, against masks of the fine grid's size."""
    rng = np.random.default_rng(0)
    salience, masks = rng.normal(1, 2, size=(4, 2, 3)), rng.random((4, 8, 12)) < 0.3
    found = rng.random((4, 8, 12)) < 0.4
    scores, fine = regions.overlap(found, salience, masks.astype(np.uint8)), regions.refine(salience)
    for index in range(4):
        chosen, inside = ({*zip(*np.nonzero(where[index]), strict=True)} for where in (found, masks))
        assert scores.precision[index] == pytest.approx(len(chosen & inside) / len(chosen))
        assert scores.recall[index] == pytest.approx(len(chosen & inside) / len(inside))
        assert scores.iou[index] == pytest.approx(len(chosen & inside) / len(chosen | inside))
        energy = np.maximum(fine[index], 0)
        assert scores.energy[index] == pytest.approx(energy[masks[index]].sum() / energy.sum())


def test_the_nearest_concept_and_how_far_it_is() -> None:
    vectors, centres = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]]), np.array([[3.0, 3.0], [0.0, 0.0]])
    nearest, distance = regions.nearest_concept(vectors, centres)
    assert (nearest.tolist(), distance.tolist()) == ([1, 0, 1], [0, 1, 1])


def test_overlap_of_nothing_found() -> None:
    scores = regions.overlap(np.zeros((1, 8, 8), bool), -np.ones((1, 2, 2)), np.ones((1, 8, 8), np.uint8))
    assert [float(value[0]) for value in scores] == [0, 0, 0, 0]


def test_many_regions_are_learned_from_a_drawn_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "LEARNED", 30)
    vectors, which = planted(0.05)
    found, _ = regions.nearest_concept(vectors, regions.concepts(vectors, 6, 1))
    assert all(len(set(found[which == corner])) == 1 for corner in range(3))


def test_the_share_of_a_region_in_a_mask() -> None:
    """Of each region's importance, not of its area: a region of evidence against the class too."""
    salience = np.zeros((2, 8, 8), np.float32)
    salience[0, :, 2:6] = [1, 1, 3, 3]
    salience[1, 4:, :4] = -2
    found = regions.find_regions(salience, share=1.0)
    masks = np.zeros((2, 64, 64), bool)
    masks[0, :, 32:] = True  # the right half
    whole = regions.share_inside(found, salience, np.ones_like(masks))
    np.testing.assert_allclose(whole, 1)
    left, right = (regions.share_inside(found, salience, mask) for mask in (~masks, masks))
    np.testing.assert_allclose(left + right, 1)
    fine = regions.refine(salience)[0]
    assert right[0] == pytest.approx(fine[:, 16:].sum() / fine.sum())
    assert right[1] == 0
