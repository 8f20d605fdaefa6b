"""Distances from training images: values by hand, what leaves their directions, a limit from validation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.seeding import numpy_rng
from pipeline.model import familiarity

LINE = np.array([[-1.0, -2.0, 5.0], [1.0, 2.0, 5.0], [-2.0, -4.0, 5.0], [2.0, 4.0, 5.0]])  # y = 2 x, z = 5


def test_only_what_leaves_the_directions_of_training_counts() -> None:
    found = familiarity.fit(LINE, LINE)
    assert found.directions.shape == (1, 3)
    far_along = np.array([[100.0, 200.0, 5.0]])
    beside = np.array([[1.0, 0.0, 5.0]])  # by the spread of x, 1 / sqrt(2.5), half of its square off the line
    np.testing.assert_allclose(found.distances(far_along), 0, atol=1e-9)
    np.testing.assert_allclose(found.distances(beside), np.sqrt(0.5 / 2.5))
    assert found.distances(np.array([[0.0, 0.0, 5.1]]))[0] > 1e6  # what never varied may not vary


def test_nearly_all_of_validation_is_like_training() -> None:
    rng = numpy_rng(0, "familiarity")
    training, validation = rng.normal(size=(300, 8)), rng.normal(size=(200, 8))
    training[:, 4:] *= 0.01
    found = familiarity.fit(training, validation)
    assert found.unlike(validation).sum() == 1  # the farthest of 200
    assert found.unlike(10 * validation).mean() > 0.9


@given(st.integers(0, 5))
def test_units_of_channels_do_not_matter(seed: int) -> None:
    rng = numpy_rng(seed, "units")
    training, other = rng.normal(size=(30, 5)), rng.normal(size=(4, 5))
    units = rng.uniform(0.1, 10, 5)
    one = familiarity.fit(training, training).distances(other)
    two = familiarity.fit(units * training, units * training).distances(units * other)
    np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-8)


def test_statistics_are_mean_and_spread_of_channels() -> None:
    features = torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]])  # (1, 2, 1, 2)
    assert familiarity.channel_statistics(features) == pytest.approx(np.array([[2.0, 2.0, 1.0, 0.0]]))
