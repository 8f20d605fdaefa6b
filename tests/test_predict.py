"""Scoring files: the training's own preprocessing, every bad file named, nothing half-written."""

import json
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
from pipeline.data.decoding import Recipe
from pipeline.data.images import load, to_square
from pipeline.data.store import label_names, open_store
from pipeline.grid.trained import Trained
from pipeline.model import build, save
from pipeline.predict import predict
from pipeline.present import sheet
from tests.data.test_decoding import Deadly

SIZES = {"image_size": 32, "channels": 1, "crop": "square", "max_megapixels": 1, "max_megabytes": 8}
COLUMNS = [
    "file", "score", "logit_difference", "threshold", "decision", "label", "unlike_training", "model",
    "notice",
]  # fmt: skip
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
    assert list(table) == COLUMNS
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
    assert table["model"].eq("k" * 64).all()
    unknown = ["threshold", "decision", "label", "unlike_training", "notice"]
    assert table[unknown].isna().all(axis=None)  # not evaluated, and no data


def test_a_file_that_ends_its_decoder_costs_no_other_score(model: Path, images: Path) -> None:
    deadly, problems = Deadly(images / "b.png"), []
    looked = list(Trained(model).look([images / "grey.png", deadly, images / "deep/x_ray"], problems))
    assert [one.path.name for one in looked] == ["grey.png", "x_ray"]
    assert [line.split(";")[0] for line in problems] == [f"E_DECODE {deadly}: its decoder died (SIGABRT)"]


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
            table = pd.read_csv(tmp_path / "cut.csv")
            assert table["decision"].dropna().tolist() == wanted
            if wanted:
                np.testing.assert_array_equal(table["score"] >= table["threshold"], np.array(wanted) == 1)
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
    assert looked == ["deep/colour.overlay.png", "deep/x_ray.overlay.png", "grey.overlay.png"]


def test_overlay_shows_the_image_and_both_signs(model: Path, images: Path, tmp_path: Path) -> None:
    predict(model, [images / "grey.png"], tmp_path / "scores.csv", tmp_path)
    picture = np.asarray(Image.open(tmp_path / "grey.overlay.png")).astype(int)
    left, right = np.array_split(picture[:320], 2, axis=1)
    assert picture.shape[1] == 2 * 320 + sheet.GAP  # a small file is enlarged
    assert (left[..., 0] == left[..., 2]).all()  # the grey image
    assert np.abs(right[..., 0] - right[..., 2]).max() > 30  # coloured
    assert picture[320:].min() < 60 and picture[-1].min() == 255  # the key and what is said below


def test_overlays_have_the_files_shape_and_resolution(model: Path, tmp_path: Path) -> None:
    wide = numpy_rng(0, "wide").integers(0, 255, (400, 700), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    recipe = Recipe(**(SIZES | {"crop": "none"}), granularity="map", blur=0)
    np.testing.assert_array_equal(sheet.shown(tmp_path / "wide.png", recipe).shape, (400, 700, 3))
    square = sheet.shown(tmp_path / "wide.png", Recipe(**SIZES, granularity="map", blur=0))
    np.testing.assert_array_equal(square[..., 0], wide[:, 150:550])  # what the model sees, pixel by pixel
    Image.fromarray(wide).resize((2000, 500)).save(tmp_path / "wide.png")
    assert sheet.shown(tmp_path / "wide.png", recipe).shape == (256, 1024, 3)


def test_overlays_of_relative_and_absolute_inputs_stay_in_their_folder(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    inputs = [Path("../images/grey.png"), images / "deep"]
    predict(model, inputs, tmp_path / "scores.csv", tmp_path / "looked")
    looked = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.overlay.png"))
    assert looked == [f"looked/{name}.overlay.png" for name in ("deep/colour", "deep/x_ray", "grey")]


def test_overlays_of_files_that_differ_in_their_suffix_do_not_meet() -> None:
    names = sheet.names([Path("a/x.png"), Path("a/x.jpg"), Path("a/y.png"), Path("b/x.png")])
    told = ["a/x.png.overlay.png", "a/x.jpg.overlay.png", "a/y.overlay.png", "b/x.overlay.png"]
    assert [path.as_posix() for path in names.values()] == told


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


@pytest.fixture
def trained(tiny_project: Path) -> Path:
    """A trained cell whose data are there; as files, images of validation, and others than it has seen."""
    store = open_store(Path("data/prepared/tiny"))
    for name, rows in (("like", store.rows("val")), ("unlike", store.rows("val")[:6])):
        Path(name).mkdir()
        for row in rows:
            image = store.images[row, 0] if name == "like" else np.indices((32, 32)).sum(0) % 2 * 255 ^ row
            Image.fromarray(np.asarray(image).astype(np.uint8)).save(f"{name}/{row}.png")
    return Path("runs/tiny/compact/cross_entropy/0")


def test_images_unlike_the_training_images_are_told(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(trained, [Path("like"), Path("unlike")], Path("scores.csv"))
    told, said = pd.read_csv("scores.csv"), capsys.readouterr()
    by_folder = told.groupby(told["file"].str.split("/").str[0])["unlike_training"].mean()
    assert by_folder["like"] <= 1 / 12 and by_folder["unlike"] == 1
    assert told["notice"].str.startswith("trained on phantoms").all()
    assert "Tiny (phantom): trained on phantoms, which are drawn" in said.err and "no threshold" in said.err
    assert "18 images scored; 6 unlike the training images; scores.csv" in said.out


def test_decisions_go_by_the_names_of_labels(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = json.loads((trained / "record.json").read_text())["key"]
    folder = Path("evaluate") / trained.relative_to("runs")
    folder.mkdir(parents=True, exist_ok=True)
    settings, results = {"train": key}, {"threshold": -1e9}
    write_record(folder, "evaluate", CELL, "e", settings=settings, results=results)
    predict(trained, [Path("like")], Path("scores.csv"), page=Path("page.html"))
    assert pd.read_csv("scores.csv")["label"].eq("not normal").all()
    assert "12 images scored, 12 called not normal" in capsys.readouterr().out
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 12 and page.count("called not normal") == 12
    assert "say nothing about real images" in page and 'src="http' not in page


def test_other_data_than_the_trainings_tell_nothing(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((trained / "record.json").read_text())
    (trained / "record.json").write_text(json.dumps(record | {"data_hash": "other"}))
    predict(trained, [Path("like")], Path("scores.csv"))
    assert pd.read_csv("scores.csv")[["label", "unlike_training"]].isna().all(axis=None)
    assert "the data of this training are not in data/prepared/" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (("normal", "pneumonia", "pneumonia"), ("normal", "pneumonia")),
        (("live", "print_attack", "contact"), ("live", "not live")),
        (("a", "b", "c"), ("a", "not a")),
    ],
)
def test_labels_go_by_their_classes(trained: Path, classes: tuple[str, ...], names: tuple[str, str]) -> None:
    store = open_store(Path("data/prepared/tiny"))
    store.manifest["class_name"] = np.where(
        store.labels == 0, classes[0], np.where(np.arange(len(store.labels)) % 4 == 1, *classes[1:])
    )
    assert label_names(store) == names
    store.manifest["class_name"] = [str(row) for row in range(len(store.labels))]
    assert label_names(store) == ("label 0", "label 1")


def test_a_file_name_stays_text(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "=cmd|'calc'!A1 $x$ <b>[red].png"
    Image.fromarray(numpy_rng(0, "images").integers(0, 255, (40, 50), dtype=np.uint8)).save(name, "PNG")
    predict(model, [Path(name)], Path("scores.csv"), page=Path("page.html"))
    assert pd.read_csv("scores.csv")["file"].tolist() == [f"./{name}"]
    page = Path("page.html").read_text()
    assert "&lt;b&gt;[red]" in page and "<b>[red]" not in page
