"""Scoring files: the training's own preprocessing, every bad file named, nothing half-written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fake_results import write_record
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.common.errors import UserError
from pipeline.common.seeding import numpy_rng
from pipeline.data.images import load, to_square
from pipeline.model import build, save
from pipeline.predict import predict

SIZES = {"image_size": 32, "channels": 1, "crop": "square", "max_megapixels": 1, "max_megabytes": 8}
CELL = {"dataset": "d", "backbone": "compact", "method": "cyborg", "seed": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cell with random weights."""
    folder = tmp_path_factory.mktemp("cells") / "runs/d/compact/cyborg/0"
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save(build("compact", in_channels=1), folder / "model.safetensors")
    write_record(folder, "train", CELL, "k" * 64, settings={"preprocessing": SIZES})
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """One grey PNG, one colour JPEG below, one DICOM without suffix, and a text."""
    rng = numpy_rng(0, "images")
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).save(folder / "grey.png")
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(
        folder / "deep/colour.JPG", "JPEG"
    )
    write_dicom(folder / "deep/x_ray", rng.integers(0, 4095, (40, 40), dtype=np.uint16))
    (folder / "notes.txt").write_text("not an image")
    return folder


def write_dicom(path: Path, stored: np.ndarray) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "2.25.99"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation, dataset.PixelData = 0, stored.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def test_scores_are_the_models_own(model: Path, images: Path, tmp_path: Path) -> None:
    predict(model, [images], tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv")
    assert list(table) == ["file", "score", "logit_difference", "decision"]
    names = [Path(file).relative_to(images).as_posix() for file in table["file"]]
    assert names == ["deep/colour.JPG", "deep/x_ray", "grey.png"]
    from pipeline.model import load as load_model

    limits = {name: SIZES[name] for name in ("max_megapixels", "max_megabytes")}
    geometry = {name: SIZES[name] for name in ("crop", "image_size", "channels")}
    for row in table.itertuples():
        square = to_square(load(Path(str(row.file)), **limits).pixels, roi="", **geometry)
        with torch.no_grad():
            logits = load_model(model / "model.safetensors")(torch.tensor(square[None]) / 255).logits[0]
        assert row.logit_difference == pytest.approx((logits[1] - logits[0]).item(), abs=1e-5)
        assert row.score == pytest.approx(torch.softmax(logits, 0)[1].item(), abs=1e-5)
    assert table["decision"].isna().all()  # not evaluated: no threshold


def test_decision_at_the_threshold_of_this_training(model: Path, images: Path, tmp_path: Path) -> None:
    predict(model, [images], tmp_path / "free.csv")
    differences = pd.read_csv(tmp_path / "free.csv")["logit_difference"]
    folder = model.parents[4] / "evaluate/d/compact/cyborg/0"
    folder.mkdir(parents=True)
    middle = float(differences.median()) - 1e-6  # the table has ten digits
    try:
        called = (differences >= middle).astype(float).tolist()
        cases = (("k" * 64, middle, called), ("other", middle, []), ("k" * 64, None, []))
        for trained_on, threshold, wanted in cases:  # null in a record: an infinite threshold
            results = {"threshold": threshold}
            write_record(folder, "evaluate", CELL, "e", settings={"train": trained_on}, results=results)
            predict(model, [images], tmp_path / "cut.csv")
            assert pd.read_csv(tmp_path / "cut.csv")["decision"].dropna().tolist() == wanted
    finally:
        (folder / "record.json").unlink()


def test_bad_file_is_named_and_the_others_are_scored(model: Path, images: Path, tmp_path: Path) -> None:
    (images / "cut.png").write_bytes((images / "grey.png").read_bytes()[:60])
    Image.new("L", (9, 9), 7).save(images / "flat.png")
    with pytest.raises(UserError) as caught:
        predict(model, [images], tmp_path / "scores.csv", tmp_path / "looked")
    lines = caught.value.problems
    assert len(lines) == 3 and lines[2] == "2 of 5 files were skipped"
    assert lines[0].startswith("E_DECODE") and "cut.png" in lines[0]
    assert lines[1].startswith("E_FLAT") and "flat.png" in lines[1]
    assert len(pd.read_csv(tmp_path / "scores.csv")) == 3
    looked = sorted(
        path.relative_to(tmp_path / "looked").as_posix() for path in (tmp_path / "looked").rglob("*.png")
    )
    assert looked == ["deep/colour.JPG.png", "deep/x_ray.png", "grey.png.png"]


def test_overlay_shows_the_image_and_both_signs(model: Path, images: Path, tmp_path: Path) -> None:
    predict(model, [images / "grey.png"], tmp_path / "scores.csv", tmp_path)
    picture = np.asarray(Image.open(tmp_path / "grey.png.png")).astype(int)
    left, right = np.array_split(picture, 2, axis=1)
    assert (left[..., 0] == left[..., 2]).mean() > 0.95  # the grey image
    assert np.abs(right[..., 0] - right[..., 2]).max() > 30  # coloured


def test_overlays_of_relative_and_absolute_inputs_stay_in_their_folder(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    inputs = [Path("../images/grey.png"), images / "deep"]
    predict(model, inputs, tmp_path / "scores.csv", tmp_path / "looked")
    looked = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png.png"))
    assert looked == ["looked/grey.png.png"]
    assert (tmp_path / "looked/deep/colour.JPG.png").is_file()


def test_only_bad_files_leave_no_table(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"bad\.png"):
        predict(model, [tmp_path / "bad.png"], tmp_path / "scores.csv")
    assert not (tmp_path / "scores.csv").exists()


def test_mistyped_inputs_are_listed_together(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        predict(model, [tmp_path / "empty", tmp_path / "nowhere"], tmp_path / "scores.csv")
    assert "no image in this folder" in caught.value.problems[0]
    assert "not found" in caught.value.problems[1]


def test_mistyped_model_names_a_near_one(model: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no record of a trained cell.*cyborg/0"):
        predict(model.parents[1] / "cyborgg/0", [images], tmp_path / "scores.csv")


def test_damaged_model_is_refused(model: Path, images: Path, tmp_path: Path) -> None:
    path = model / "model.safetensors"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(UserError, match="damaged"):
            predict(model, [images], tmp_path / "scores.csv")
        path.unlink()
        with pytest.raises(UserError, match="not found"):
            predict(model, [images], tmp_path / "scores.csv")
    finally:
        path.write_bytes(whole)
