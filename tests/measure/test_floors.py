"""Floors: their features by hand, what each can and cannot see, and that test data choose nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import planted
import pytest
import tiny_cells
import torch
from tiny_store import NAME

from pipeline import evaluate
from pipeline.common.config import Params
from pipeline.common.paths import FLOORS, PREPARED
from pipeline.data.store import Store, open_store, seal
from pipeline.grid import records
from pipeline.measure import Measurement, floors

SETTINGS = {"batch_size": 16, "gallery": 2, "threshold": {"rule": "eer", "value": 0}, "novel": []}
NAMES = {
    "block_means",
    "sorted_block_means",
    "radial_spectrum",
    "band_energies",
    "patch_detector",
    "patch_detector_shuffled",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return planted.write(tmp_path_factory.mktemp("planted") / NAME)


@pytest.fixture(scope="module")
def fitted(store: Store) -> dict[str, floors.Floor]:
    return floors.fitted(store)


@pytest.fixture(scope="module")
def found(store: Store) -> Measurement:
    return floors.measure(store, SETTINGS)


def waves(side: int, count: int, axis: int) -> torch.Tensor:
    """A grey image (1, 1, side, side) of so many waves across."""
    line = torch.cos(2 * torch.pi * count * torch.arange(side) / side)
    image = line.expand(side, side)
    return (image if axis else image.T)[None, None] * 0.25 + 0.5


def test_block_means_by_hand() -> None:
    images = torch.arange(2 * 24 * 24).float().reshape(1, 2, 24, 24)
    found = floors.block_means(images)
    assert found.shape == (1, 2 * 144)
    assert found[0, 0] == (0 + 1 + 24 + 25) / 4
    assert found[0, 144] == found[0, 0] + 24 * 24
    shuffled = images.flip(2, 3)
    assert not torch.equal(floors.block_means(shuffled), found)
    torch.testing.assert_close(floors.sorted_block_means(shuffled), floors.sorted_block_means(images))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_spectrum_peaks_at_its_waves_in_any_direction(axis: int) -> None:
    found = floors.radial_spectrum(waves(96, 12, axis))
    assert found.shape == (1, 47)
    assert found.argmax() == 12 - 1  # rings begin at one wave
    assert found[0, 11] - found[0, 30] > 5


def test_a_spectrum_knows_no_brightness_and_no_place() -> None:
    image = waves(96, 12, 0)
    torch.testing.assert_close(
        floors.radial_spectrum(image + 0.1), floors.radial_spectrum(image), atol=1e-2, rtol=0
    )
    noise = torch.from_numpy(np.random.default_rng(0).random((1, 1, 96, 96))).float()
    torch.testing.assert_close(floors.radial_spectrum(noise.flip(2)), floors.radial_spectrum(noise))


def test_band_energies_tell_where_power_is_but_not_in_which_patch() -> None:
    image = torch.full((1, 1, 64, 64), 0.5)
    image[..., 16:32, 16:32] = waves(16, 4, 0)
    found = floors.band_energies(image).unflatten(1, (len(floors.QUANTILES), len(floors.BANDS) - 1))
    assert found[0, -1].argmax() == 3  # four to six waves a patch
    assert found[0, 0].max() < -8  # most patches are flat
    moved = image.roll((16, 8), (2, 3))
    torch.testing.assert_close(floors.band_energies(moved)[0], found[0].flatten(), atol=1e-4, rtol=0)


def test_large_images_are_reduced_first() -> None:
    images = torch.rand(2, 1, 192, 192)
    torch.testing.assert_close(floors.reduced(images)[0, 0, 0, 0], images[0, 0, :2, :2].mean())
    assert floors.reduced(images).shape[-1] == 96
    assert floors.reduced(images[..., :50, :50]).shape[-1] == 50


def test_every_floor_scores_every_row(store: Store, fitted) -> None:
    assert fitted.keys() == NAMES
    scored = {name: floors.score(floor, store, np.arange(180)) for name, floor in fitted.items()}
    assert all(scores.shape == (180,) and np.isfinite(scores).all() for scores in scored.values())
    images = torch.tensor(store.images[60:70]) / 255
    for name, floor in fitted.items():
        np.testing.assert_allclose(floor(images), scored[name][60:70], rtol=1e-4, atol=1e-4)


def test_the_right_maps_teach_the_detector_the_cause_and_others_do_not(found: Measurement) -> None:
    """A bright square is the cause, a dark one the shortcut, of equal power: maps alone tell them apart."""
    results = found.results
    assert results["patch_detector_conflict_auroc"] > 0.85
    assert results["patch_detector_conflict_auroc"] > results["patch_detector_shuffled_conflict_auroc"] + 0.2
    assert results["radial_spectrum_closed_auroc"] > 0.95  # two squares have more power than none ...
    assert 0.3 < results["radial_spectrum_conflict_auroc"] < 0.7  # ... and one as much as the other


def test_tables_name_the_floor(found: Measurement) -> None:
    assert found.tables.keys() == {"scores", "metrics", "strata", "counterfactuals", "shown_scores"}
    assert all(
        set(table["floor"]) == NAMES and table.columns[0] == "floor" for table in found.tables.values()
    )
    assert len(found.tables["scores"]) == len(NAMES) * 140


def test_without_annotated_positives_there_is_no_detector(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = store.rows("train")
    has = np.zeros(len(store.labels), bool)
    monkeypatch.setattr(store, "has_map", has)
    assert not any("patch" in name for name in floors.fitted(store))
    has[train[store.labels[train] == 1][0]] = True
    assert floors.fitted(store).keys() == NAMES - {"patch_detector_shuffled"}  # nobody to exchange with


def test_test_data_choose_nothing(store: Store, fitted, tmp_path: Path) -> None:
    """Other test images, maps and labels; the same floors."""
    copy = tmp_path / NAME
    shutil.copytree(store.folder, copy)
    other = open_store(copy)
    for name in ("images", "maps"):
        array = np.array(getattr(other, name))
        array[60:] = 255 - array[60:]
        setattr(other, name, array)
    other.labels = np.where(np.arange(180) < 60, other.labels, 1 - other.labels)
    images = torch.tensor(store.images) / 255
    for name, floor in floors.fitted(other).items():
        np.testing.assert_array_equal(floor(images), fitted[name](images))


def test_seeds_change_whose_maps_are_exchanged(store: Store, fitted) -> None:
    images = torch.tensor(store.images) / 255
    name = "patch_detector_shuffled"
    assert not np.allclose(floors.fitted(store, seed=1)[name](images), fitted[name](images))


def test_evaluate_leaves_floors_once(tiny_project: Path) -> None:
    evaluate.evaluate(tiny_cells.settings(), NAME)
    folder = Path("evaluate") / NAME / FLOORS
    record = records.read(folder)
    assert (
        record is not None and {"scores.csv", "strata.csv", "counterfactuals.csv"} <= record["files"].keys()
    )
    before = (folder / "record.json").stat().st_mtime_ns
    evaluate.evaluate(tiny_cells.settings(), NAME)
    assert (folder / "record.json").stat().st_mtime_ns == before


def test_the_key_of_floors_knows_settings_and_data_but_no_cell(tiny_project: Path) -> None:
    def key(params: Params) -> str:
        return evaluate.floors_task(params, open_store(PREPARED / NAME)).key

    params = tiny_cells.settings()
    first = key(params)
    fewer = params.model_copy(update={"methods": {}, "backbones": {}})
    assert key(fewer) == first
    shown = params.evaluate.model_copy(update={"gallery": 2})
    assert key(params.model_copy(update={"evaluate": shown})) != first
    save_images(np.load(PREPARED / NAME / "images.npy") // 2)
    assert key(params) != first


def save_images(images: np.ndarray) -> None:
    """Other images of the tiny project, as if it had been prepared anew."""
    folder = PREPARED / NAME
    np.save(folder / "images.npy", images, allow_pickle=False)
    info = json.loads((folder / "store.json").read_text())
    seal(folder, {name: value for name, value in info.items() if name not in ("schema", "sha256")})
