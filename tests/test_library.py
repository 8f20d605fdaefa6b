"""A trained cell from Python: the command's own table, maps on the image's grid, identify's regions."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_cells
import torch
from PIL import Image

from pipeline import load
from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.common.files import write_csv
from pipeline.common.seeding import numpy_rng
from pipeline.data.decoding import Recipe
from pipeline.data.store import open_store
from pipeline.explain.explanations import explain
from pipeline.grid.trained import Trained
from pipeline.identify import identify
from pipeline.model.batches import as_floats
from pipeline.predict import predict

EXPLANATIONS = catalogue.names("explain/explanations")


@pytest.fixture(scope="module")
def root(trained_project: Path) -> Path:
    """The tiny project, with two of its validation images as files beside it."""
    store = open_store(trained_project / "data/prepared/tiny")
    folder = trained_project.with_name("as_files")
    folder.mkdir()
    for row in store.rows("val")[:2]:
        Image.fromarray(np.asarray(store.images[row, 0])).save(folder / f"{row}.png")
    return trained_project


@pytest.fixture(scope="module")
def model(root: Path) -> Trained:
    return load(root / "runs/tiny/compact/cross_entropy/0")


@pytest.fixture(scope="module")
def files(root: Path) -> list[Path]:
    return sorted((root.with_name("as_files")).iterdir())


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'pandas', 'scipy', 'sklearn', 'matplotlib', 'monai', 'PIL'}"
    program = f"import sys, pipeline; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_predict_gives_what_the_command_writes(
    model: Trained, root: Path, files: list[Path], tmp_path: Path
) -> None:
    found = model.predict(files[0].parent)
    predict(root / "runs/tiny/compact/cross_entropy/0", files, tmp_path / "theirs.csv")
    write_csv(tmp_path / "ours.csv", found)
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()
    pd.testing.assert_frame_equal(model.predict([str(path) for path in files]), found)
    assert len(found) == 2 and found["notice"].str.startswith("trained on phantoms").all()
    assert found["unlike_training"].isin([0, 1]).all() and found["threshold"].isna().all()


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_every_explanation_is_a_map_on_the_images_grid(name: str, model: Trained, files: list[Path]) -> None:
    found = model.explain(files[0], name)
    assert found.shape == (32, 32) and found.dtype == np.float32 and np.isfinite(found).all()
    picture = Image.open(files[0])
    for same in (picture, np.asarray(picture), np.asarray(picture) / 255, str(files[0])):
        np.testing.assert_array_equal(model.explain(same, name), found)


def test_the_larger_logit_is_explained_unless_a_label_is_asked_for(model: Trained, files: list[Path]) -> None:
    batch = as_floats(np.array(Image.open(files[1]))[None, None], torch.device("cpu"))
    with torch.no_grad():
        larger = model.network(batch).logits.argmax(1)
    for label, wanted in ((None, larger), (0, torch.tensor([0])), (1, torch.tensor([1]))):
        maps = explain("gradient", model.network, batch, wanted)[0].numpy()
        np.testing.assert_allclose(model.explain(files[1], "gradient", label), maps, atol=1e-6)
    both = [model.explain(files[1], "difference_salience", label) for label in (0, 1)]
    np.testing.assert_array_equal(both[0], -both[1])


def test_a_map_covers_what_the_network_sees_of_a_larger_image(
    model: Trained, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = np.asarray(Image.open(files[0]).resize((100, 60)))
    squashed = model.explain(wide, "cam")
    assert squashed.shape == (60, 100) and (squashed != 0).all()
    monkeypatch.setattr(model, "recipe", Recipe(**(model.recipe._asdict() | {"crop": "square"})))
    cropped = model.explain(wide, "cam")
    assert cropped.shape == (60, 100)
    assert (cropped[:, :20] == 0).all() and (cropped[:, 80:] == 0).all() and (cropped[:, 20:80] != 0).all()
    np.testing.assert_allclose(cropped[:, 20:80], model.explain(wide[:, 20:80], "cam"), atol=1e-5)


def test_regions_are_those_of_identify(model: Trained, root: Path, tmp_path: Path) -> None:
    project = tiny_cells.copied(root, tmp_path, lambda: identify(tiny_cells.settings(), "tiny"))
    told = pd.read_csv(project / "identify/tiny/compact/cross_entropy/0/regions.csv")
    store = open_store(root / "data/prepared/tiny")
    assert len(told) > 0
    for sample_id, wanted in told.groupby("sample_id"):
        row = int(np.flatnonzero(store.manifest["sample_id"] == sample_id)[0])
        found = model.regions(np.asarray(store.images[row, 0]))
        columns = list(found)
        assert columns == ["region", "x", "y", "width", "height", "area", "sign", "importance", "share"]
        same = wanted[columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, same, check_dtype=False, rtol=1e-3, atol=1e-6)


def test_bad_input_is_one_clear_line(model: Trained, files: list[Path], tmp_path: Path) -> None:
    noise = numpy_rng(0, "noise").random((8, 8))
    (tmp_path / "cut.png").write_bytes(files[0].read_bytes()[:60])
    for work, told in (
        (lambda: load(tmp_path), "no record of a trained cell"),
        (lambda: model.predict(tmp_path / "nowhere"), "nowhere: not found"),
        (lambda: model.predict([*files, tmp_path / "cut.png"]), "cut.png"),
        (lambda: model.explain(files[0], "cams"), "did you mean 'cam'?"),
        (lambda: model.explain(files[0], "cam", 2), "label 2: expected 0, 1, or None"),
        (lambda: model.explain(tmp_path / "no.png", "cam"), "no.png.*expected an image file"),
        (lambda: model.explain(255 * noise, "cam"), r"floats in \[0, 1\]; got float64 \(8, 8\)"),
        (lambda: model.explain(np.zeros((2, 8, 8)), "cam"), r"got float64 \(2, 8, 8\)"),
        (lambda: model.explain(np.full((8, 8), np.nan), "cam"), "got float64"),
        (lambda: model.regions(np.zeros((8, 8))), "all pixels are equal"),
    ):
        with pytest.raises(UserError, match=told) as caught:
            work()
        assert len(caught.value.problems) == 1
