"""Hand values on 2x2 maps, the MIT benchmark's own formulas sample by sample, and identities."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.explain import alignment
from pipeline.model import cam

MAP = np.array([[[0.0, 1.0], [2.0, 5.0]]])
HUMAN = np.array([[[0.0, 0.0], [0.5, 1.0]]])


def random_pairs(count: int, height: int, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng, shape = np.random.default_rng(0), (count, height, width or height)
    references = rng.random(shape) ** 3
    return rng.normal(size=shape), references / references.max(axis=(1, 2), keepdims=True)


def test_values_by_hand() -> None:
    """Region: the lower row. Map mean 2, sample deviation sqrt(14 / 3).

    S' = (0, 1, 2, 5) / 8, G' = (0, 0, 1, 2) / 3.
    """
    found = {name: float(value[0]) for name, value in alignment.measure(MAP, HUMAN).items()}
    deviations, centred = np.array([-2, -1, 0, 3]), np.array([-0.375, -0.375, 0.125, 0.625])
    assert found["cc"] == pytest.approx(deviations @ centred / np.sqrt(14 * (centred @ centred)))
    assert found["sim"] == pytest.approx(2 / 8 + 5 / 8)
    assert found["kl"] == pytest.approx(np.log((1 / 3) / (2 / 8)) / 3 + np.log((2 / 3) / (5 / 8)) * 2 / 3)
    assert found["nss"] == pytest.approx(1.5 / np.sqrt(14 / 3))
    assert found["auc_judd"] == 1  # both region cells above both others
    assert found["pointing"] == 1
    assert found["energy_pointing"] == pytest.approx(7 / 8)
    assert found["iou"] == 1


def test_a_map_that_points_elsewhere() -> None:
    found = {name: float(value[0]) for name, value in alignment.measure(-MAP, HUMAN).items()}
    assert found["cc"] < 0
    assert found["nss"] < 0
    assert (found["pointing"], found["iou"]) == (0, 0)
    assert found["auc_judd"] == 0.25  # the line from (0, 0) to the first hit, (1, 1/2)
    assert found["energy_pointing"] == 0  # nothing above zero
    assert found["sim"] == pytest.approx(1 / 4 + 1 / 4)  # against the uniform map


def test_one_of_two_region_cells_found() -> None:
    """Cells by height: inside, outside, inside, outside. Hits 1/2 then 1 at false alarms 0 and 1/2."""
    maps, human = np.array([[[4.0, 3.0], [2.0, 1.0]]]), np.array([[[1.0, 0.0], [1.0, 0.0]]])
    found = alignment.measure(maps, human)
    assert found["auc_judd"][0] == pytest.approx(0.5 * 0.75 + 0.5)
    assert found["iou"][0] == pytest.approx(1 / 3)


def test_a_region_of_one_cell_is_hit_or_not() -> None:
    maps, region = np.array([[3.0, 1.0, 2.0]] * 2), np.eye(2, 3, dtype=bool)
    assert alignment.iou(maps, region).tolist() == [1, 0]


def mit_auc_judd(saliency: np.ndarray, fixated: np.ndarray) -> float:
    """The benchmark's AUC_Judd.m, line by line, without jitter."""
    thresholds = np.sort(saliency[fixated])[::-1]
    hits, false_alarms = [0.0], [0.0]
    for number, threshold in enumerate(thresholds, start=1):
        above = np.sum(saliency >= threshold)
        hits.append(number / fixated.sum())
        false_alarms.append((above - number) / np.sum(~fixated))
    return float(np.trapezoid([*hits, 1.0], [*false_alarms, 1.0]))


def test_mit_code_sample_by_sample() -> None:
    maps, references = random_pairs(6, 9, 7)
    found = alignment.measure(maps, references)
    for index, (saliency, human) in enumerate(zip(maps, references, strict=True)):
        fixated = human >= 0.5
        standard = (saliency - saliency.mean()) / saliency.std(ddof=1)
        positive = np.maximum(saliency, 0)
        assert found["cc"][index] == pytest.approx(np.corrcoef(saliency.ravel(), human.ravel())[0, 1])
        assert found["nss"][index] == pytest.approx(standard[fixated].mean())
        assert found["auc_judd"][index] == pytest.approx(mit_auc_judd(saliency, fixated))
        given_, expected = positive / positive.sum(), human / human.sum()
        eps = 2.220446049250313e-16  # of MATLAB
        kl = np.sum(expected * np.log(eps + expected / (given_ + eps)))
        assert found["kl"][index] == pytest.approx(kl)
        span = (human - human.min()) / np.ptp(human)
        sim = np.minimum(positive / positive.sum(), span / span.sum()).sum()
        assert found["sim"][index] == pytest.approx(sim)


def test_games_and_overlap_sample_by_sample() -> None:
    maps, references = random_pairs(8, 5, 7)
    found = alignment.measure(maps, references)
    assert set(found["pointing"]) == {0.0, 1.0}
    for index, (saliency, human) in enumerate(zip(maps, references, strict=True)):
        region = {(y, x) for y in range(5) for x in range(7) if human[y, x] >= 0.5}
        cells = sorted(np.ndindex(5, 7), key=lambda cell: -saliency[cell])
        assert found["pointing"][index] == (cells[0] in region)
        inside, everywhere = (
            sum(saliency[cell] for cell in where if saliency[cell] > 0) for where in (region, cells)
        )
        assert found["energy_pointing"][index] == pytest.approx(inside / everywhere)
        chosen = set(cells[: len(region)])
        assert found["iou"][index] == pytest.approx(len(chosen & region) / len(chosen | region))


@pytest.mark.parametrize("name", ["cc", "nss"])
def test_the_opposite_map_has_the_opposite_score(name: str) -> None:
    maps, references = random_pairs(4, 6)
    found, opposite = (alignment.measure(signed, references)[name] for signed in (maps, -maps))
    np.testing.assert_allclose(opposite, -found)
    assert (np.abs(found) > 1e-3).all()


def test_auc_judd_of_tied_cells_is_in_between() -> None:
    """One region cell among three equal ones above the fourth: the fixed jitter orders these three."""
    maps, region = np.array([[1.0, 1.0, 1.0, 0.0]] * 3), np.eye(3, 4, dtype=bool)
    found = alignment.auc_judd(maps, region)
    assert sorted(found) == pytest.approx([1 / 3 * (1 / 2 + 1 / 2 + 1), 1 / 3 * (1 / 2 + 1 + 1), 1.0])


def test_flat_is_flat_in_numpy_and_in_torch() -> None:
    """A range of a millionth of the largest value, of either sign; N() of both is the same."""
    shapes = np.random.default_rng(0).random((3, 2, 3))
    shapes = (shapes - shapes.min(axis=(1, 2), keepdims=True)) / np.ptp(shapes, axis=(1, 2), keepdims=True)
    levels = [(0.0, 1e-12), (0.0, 0.0), (1.0, 2e-6), (1.0, 0.9e-6), (-1e9, 2e3), (-1e9, 0.9e3), (5.0, 1.0)]
    expected = [False, True, False, True, False, True, False]
    for shape in shapes:
        maps = np.stack([level + span * shape for level, span in levels])
        rows, tensor = maps.reshape(len(maps), -1), torch.from_numpy(maps)
        assert alignment.is_flat(rows).tolist() == cam.is_flat(tensor).tolist() == expected
        ours, theirs = alignment.normalise(rows), cam.normalise(tensor).numpy().reshape(rows.shape)
        np.testing.assert_allclose(ours, theirs)
        np.testing.assert_allclose(ours[6], shape.ravel())
        assert (ours[expected] == 0).all()


def test_a_map_with_nan_is_undefined_everywhere() -> None:
    maps = np.array([[0.0, np.nan, 1.0]])
    assert not alignment.is_flat(maps).any()
    assert np.isnan(alignment.normalise(maps)).all()
    assert np.isnan(cam.normalise(torch.from_numpy(maps)[None])).all()


def test_a_map_equal_to_its_reference_is_perfect() -> None:
    _, references = random_pairs(5, 8)
    found = alignment.measure(references, references)
    np.testing.assert_allclose(found["cc"], 1)
    np.testing.assert_allclose(found["sim"], 1)
    np.testing.assert_allclose(found["kl"], 0, atol=1e-12)
    for name in ("auc_judd", "pointing", "iou"):
        np.testing.assert_allclose(found[name], 1)


@given(st.floats(0.01, 100), st.floats(-10, 10))
def test_scale_and_offset_of_a_map_do_not_matter(scale: float, offset: float) -> None:
    maps, references = random_pairs(3, 6)
    plain, changed = (alignment.measure(m, references) for m in (maps, scale * maps + offset))
    for name in ("cc", "nss", "auc_judd", "pointing", "iou"):
        np.testing.assert_allclose(changed[name], plain[name], atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 3.0, -3.0])
def test_flat_maps(level: float) -> None:
    """Undefined where the definition divides by the deviation, else the value of a map that says nothing."""
    found = {name: float(v[0]) for name, v in alignment.measure(np.full((1, 2, 2), level), HUMAN).items()}
    assert np.isnan(found["cc"])
    assert np.isnan(found["nss"])
    assert (found["auc_judd"], found["pointing"], found["iou"]) == (0.5, 0, 0)
    assert found["energy_pointing"] == (0.5 if level > 0 else 0)
    assert found["sim"] == pytest.approx(1 / 4 + 1 / 4)
    assert found["kl"] == pytest.approx(np.log((1 / 3) / (1 / 4)) / 3 + np.log((2 / 3) / (1 / 4)) * 2 / 3)


def test_all_mass_in_one_cell() -> None:
    """A map and a reference that share their only cell are as alike as two maps can be."""
    one = np.array([[[0.0, 0.0], [1.0, 0.0]]])
    found = {name: float(v[0]) for name, v in alignment.measure(one, one).items()}
    assert (found["sim"], found["energy_pointing"], found["iou"]) == (1, 1, 1)
    assert found["kl"] == pytest.approx(0, abs=1e-9)


def test_a_flat_map_of_a_reference_that_covers_everything() -> None:
    """There is no cell outside, so that no area is defined."""
    found = alignment.measure(np.ones((1, 2, 2)), np.ones((1, 2, 2)))
    assert np.isnan(found["auc_judd"][0])


def test_a_reference_that_covers_everything() -> None:
    found = alignment.measure(MAP, np.ones((1, 2, 2)))
    assert np.isnan(found["cc"][0])
    assert np.isnan(found["auc_judd"][0])
    assert (found["pointing"][0], found["energy_pointing"][0], found["iou"][0]) == (1, 1, 1)


def test_batches_equal_single_samples() -> None:
    maps, references = random_pairs(4, 7)
    together = alignment.align(maps, references)
    alone = [alignment.align(maps[i : i + 1], references[i : i + 1]) for i in range(4)]
    for name in alignment.METRICS:
        np.testing.assert_array_equal(together[name], [single[name][0] for single in alone])


def test_common_grid_is_four_times_the_maps_but_not_beyond_the_reference() -> None:
    maps = np.zeros((1, 3, 3))
    fine, coarse = alignment.to_common_grid(maps, np.ones((1, 24, 24), np.uint8))
    assert fine.shape == coarse.shape == (1, 12, 12)
    assert alignment.to_common_grid(maps, np.ones((1, 8, 8)))[0].shape == (1, 8, 8)


def test_small_regions_survive_the_coarser_grid() -> None:
    """A single pixel of 255 is a sixteenth of its cell; averaging alone would lose it below 0.5."""
    reference = np.zeros((1, 16, 16), np.uint8)
    reference[0, 5, 9] = 255
    _, coarse = alignment.to_common_grid(np.zeros((1, 1, 1)), reference)
    assert (coarse >= alignment.REGION).sum() == 1
    assert coarse[0, 1, 2] == 1


def test_an_upsampled_map_keeps_its_mean_and_place() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 5, 5))
    fine = alignment.resize(maps, (20, 20), "bilinear")
    np.testing.assert_allclose(fine.mean(axis=(1, 2)), maps.mean(axis=(1, 2)), atol=1e-7)
    peak = np.zeros((1, 5, 5))
    peak[0, 1, 3] = 1
    y, x = np.unravel_index(alignment.resize(peak, (20, 20), "bilinear").argmax(), (20, 20))
    assert (y // 4, x // 4) == (1, 3)
