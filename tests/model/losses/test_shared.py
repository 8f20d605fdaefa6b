"""The human map on the CAM grid, and which samples count."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model.losses import combine, on_grid

CAMS = torch.zeros(1, 2, 2, 2)


def test_maps_are_averaged_over_cells_and_scaled() -> None:
    human = torch.zeros(1, 4, 4)
    human[0, :2, :2] = 0.8  # one whole cell
    human[0, 2, 2] = 0.8  # a quarter of another
    found, usable = on_grid(human, torch.tensor([True]), CAMS)
    assert usable.tolist() == [True]
    torch.testing.assert_close(found[0], torch.tensor([[1, 0], [0, 0.25]]))


def test_maps_already_on_the_grid_are_only_scaled() -> None:
    found, _ = on_grid(torch.tensor([[[1.0, 2.0], [3.0, 5.0]]]), torch.tensor([True]), CAMS)
    assert found.tolist() == [[[0, 0.25], [0.5, 1]]]


@pytest.mark.parametrize("side", [4, 5, 7, 96])
@settings(deadline=None, max_examples=20)
@given(value=st.floats(0, 1))
def test_a_constant_map_is_not_usable_whatever_its_value(side: int, value: float) -> None:
    cams = torch.zeros(1, 2, 3, 3)
    found, usable = on_grid(torch.full((1, side, side), value), torch.tensor([True]), cams)
    assert not usable.any() and not found.any()


def test_one_faint_pixel_is_a_usable_map() -> None:
    human = torch.zeros(1, 224, 224)
    human[0, 50, 50] = 1 / 255
    found, usable = on_grid(human, torch.tensor([True]), torch.zeros(1, 2, 7, 7))
    assert usable.all() and found.max() == 1


def test_has_map_decides_even_where_there_are_values() -> None:
    found, usable = on_grid(torch.rand(1, 4, 4), torch.tensor([False]), CAMS)
    assert not usable.any() and not found.any()


def test_only_usable_samples_enter_the_mean() -> None:
    guidance = torch.tensor([1.0, 100.0, 3.0])
    usable = torch.tensor([True, False, True])
    found = combine(torch.zeros(3, 2), torch.tensor([0, 1, 0]), guidance, usable, alpha=0.25)
    assert found.guidance.item() == 2
    assert found.total.item() == pytest.approx(0.25 * torch.tensor(2.0).log().item() + 0.75 * 2)


def test_without_usable_samples_guidance_is_zero() -> None:
    none = torch.zeros(2, dtype=torch.bool)
    found = combine(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([torch.nan, 1.0]), none, alpha=0.5)
    assert found.guidance.item() == 0 and found.total.isfinite()
