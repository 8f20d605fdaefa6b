"""The probe finds what gives a class away in the pixels, and nothing where there is nothing."""

import numpy as np
import pytest

from pipeline.common.seeding import numpy_rng
from pipeline.data.probe import GROUPS, measure_looks, picture, probe

N, SIDE = 120, 32
UNITS = np.arange(N)
LABELS = np.arange(N) % 2 == 1


def films(channels: int = 1) -> np.ndarray:
    return numpy_rng(0, "films").integers(60, 200, (N, channels, SIDE, SIDE)).astype(np.uint8)


def marked(share: float) -> np.ndarray:
    """Which films get the mark: their label, in `share` of them."""
    return np.where(numpy_rng(0, "marked").random(N) < share, LABELS, ~LABELS)


@pytest.mark.parametrize("plant", ["border", "corners", "exposure"])
def test_a_plant_in_four_of_five_films_is_found_in_its_group(plant: str) -> None:
    images, mark = films(), marked(0.85)
    if plant == "border":
        images[mark, :, 0] = images[mark, :, -1] = 0
    if plant == "corners":
        images[mark, :, 2:4, 2:6] = 255
    if plant == "exposure":
        images[mark] = images[mark] // 2
    found = probe(measure_looks(images, UNITS), LABELS, UNITS)
    assert found and found.p[plant] <= 0.01 and found.auroc[plant] > 0.7


def test_clean_films_tell_nothing() -> None:
    found = probe(measure_looks(films(), UNITS), LABELS, UNITS)
    assert found and min(found.p.values()) > 0.01


def test_a_patient_with_many_films_counts_once() -> None:
    """Twelve patients with ten films each, darker where they are ill: sure as films, not as patients."""
    images = films()
    images[LABELS] = images[LABELS] // 2
    patients = np.arange(N) // 20 * 2 + LABELS
    assert probe(measure_looks(images, UNITS), LABELS, patients) is None


def test_scores_are_of_rows_that_the_fit_has_not_seen() -> None:
    """A feature of its own for each row fits every label, and says nothing of the others."""
    found = probe({"own": np.eye(N)}, LABELS, UNITS)
    assert found and found.auroc["own"] < 0.7 and found.p["own"] > 0.01


def test_features_are_finite_and_colour_adds_its_means() -> None:
    flat = np.zeros((2, 1, 16, 16), np.uint8)
    assert all(np.isfinite(values).all() for values in measure_looks(flat, np.arange(2)).values())
    grey, colour = (measure_looks(films(channels), UNITS)["exposure"].shape[1] for channels in (1, 3))
    assert colour == grey + 3 and set(measure_looks(films(), UNITS)) == set(GROUPS)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_shows_both_classes(channels: int) -> None:
    """Mean, four examples and a difference in a row for each class."""
    shown = picture(films(channels), UNITS, LABELS, np.linspace(0, 1, N))
    assert shown.size == (6 * SIDE, 2 * SIDE) and shown.mode == ("L" if channels == 1 else "RGB")
