"""What is done again after which change: all, all but decoding, or nothing; the bytes never depend on it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.common.code import reached
from pipeline.common.config import Params, parse
from pipeline.common.seeding import numpy_rng
from pipeline.common.tree import hash_tree
from pipeline.data import images, intake, preparation, store
from tests.data import dicom_files

OUT = Path("prepared/tiny")
ADAPTER = {
    "name": "image_table",
    "collection": "tiny",
    "modality": "cxr",
    "glob": "[01]/*.png",
    "labels": {"0": 0, "1": 1},
    "patterns": {"label": r"(\d)/", "subject": r"/(\d\d)"},
    "constants": {"source": "here"},
    "maps": {"kind": "drawn", "folder": "maps"},
}
DATASET: dict[str, Any] = {
    "title": "Tiny",
    "phantom": False,
    "task": "mammography",
    "root": "raw",
    "adapters": [ADAPTER],
    "channels": 1,
    "crop": "none",
    "annotations": {"granularity": "map", "blur": 0},
    "split": {"by": "subject", "val": 0.25, "test": 0.25},
    "protocol": {
        "known": {"0": ["here"], "1": ["here"]},
        "held_out": {},
        "threshold": {"rule": "eer", "value": 0},
    },
}


def params(prepare: dict[str, Any], **changes: Any) -> Params:
    raw = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
    raw["phantoms"]["tasks"] = {}
    raw["datasets"] = {"tiny": DATASET | changes}
    raw["prepare"] |= {"image_size": 16, "pseudonyms": False, "max_quarantined": 1} | prepare
    raw["robustness"]["attacks"] = {}
    return parse(raw)


def draw(path: Path, *purpose: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = numpy_rng(0, "picture", path.as_posix(), *purpose).integers(0, 256, (24, 24), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def mark(path: Path, size: int) -> None:
    """A map that is white in a square at the top left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((24, 24), np.uint8)
    pixels[:size, :size] = 255
    Image.fromarray(pixels).save(path)


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Brings the store of 16 pictures, one of them unusable, up to date; gives how many were decoded."""
    monkeypatch.chdir(tmp_path)
    for number in range(16):
        draw(Path(f"raw/{number % 2}/{number:02}.png"))
    mark(Path("raw/maps/03.png"), 6)
    mark(Path("raw/maps/99.png"), 6)  # of no image
    Image.new("L", (24, 24), 7).save("raw/1/05.png")
    decoded: list[int] = []
    decode_all = intake.decode_all

    def counted(samples: Any, recipe: Any, workers: int) -> Any:
        decoded.append(len(samples))
        return decode_all(samples, recipe, workers)

    monkeypatch.setattr(intake, "decode_all", counted)

    def work(prepare: dict[str, Any] | None = None, **changes: Any) -> int:
        decoded.clear()
        settings = params(prepare or {}, **changes)
        preparation.prepare_store(OUT, "tiny", settings.datasets["tiny"], settings.prepare, workers=1)
        return sum(decoded)

    return work


def threshold(rule: str, value: float) -> dict[str, Any]:
    return {**DATASET["protocol"], "threshold": {"rule": rule, "value": value}}


def test_an_up_to_date_store_is_not_touched(bring: Callable[..., int]) -> None:
    assert bring() == 16
    before = {path: path.stat().st_mtime_ns for path in OUT.rglob("*")}
    assert bring() == 0
    assert {path: path.stat().st_mtime_ns for path in OUT.rglob("*")} == before


def test_arrays_are_taken_over_where_they_would_be_the_same(bring: Callable[..., int]) -> None:
    bring()
    arrays = {path: digest for path, digest in hash_tree(OUT).items() if path.endswith(".npy")}
    for prepare, changes in (
        ({}, {"protocol": threshold("bpcer", 0.1)}),
        ({}, {"split": {"by": "native", "val": 0.25, "test": 0.25}}),
        ({"seed": 1}, {}),
        ({"max_quarantined": 2}, {}),
        ({}, {"title": "Other", "notice": "words"}),
        ({"seed": 1}, {"split": {"by": "subject", "val": 0.2, "test": 0.3}}),
    ):
        sealed = hash_tree(OUT)
        assert bring(prepare, **changes) == 0
        assert hash_tree(OUT)["store.json"] != sealed["store.json"]
        assert arrays.items() <= hash_tree(OUT).items()
    taken_over = hash_tree(OUT)
    shutil.rmtree(OUT)
    assert bring(prepare, **changes) == 16
    assert hash_tree(OUT) == taken_over
    assert store.open_store(OUT).info["title"] == "Tiny"


def test_the_frame_of_files_with_several_is_a_setting(bring: Callable[..., int]) -> None:
    frames = numpy_rng(0, "frames").integers(0, 4096, (2, 24, 24)).astype(np.uint16)
    Path("raw/1/05.png").unlink()
    dicom_files.write(Path("raw/1/05.png"), frames[0], NumberOfFrames=2, PixelData=frames.tobytes())
    bring()
    assert "holds 2 frames" in (OUT / "quarantine.csv").read_text()
    assert (
        "dicom_frame" not in store.open_store(OUT).info["preprocessing"]
    )  # so that trainings keep their keys
    assert bring({"dicom_frame": 2}) == 16
    opened = store.open_store(OUT)
    assert opened.info["preprocessing"]["dicom_frame"] == 2
    (row,) = np.flatnonzero(opened.manifest["image_path"] == "1/05.png")
    expected = images.to_square((frames[1] - frames[1].min()) / np.ptp(frames[1]), roi="", crop="none",
                                image_size=16, channels=1)  # fmt: skip
    np.testing.assert_allclose(opened.images[row].astype(int), expected, atol=1)


def test_arrays_are_taken_over_from_another_fold(bring: Callable[..., int]) -> None:
    bring()
    before = hash_tree(OUT)
    OUT.rename(OUT.with_name("fold"))
    assert bring(protocol=threshold("bpcer", 0.1), title="Another fold") == 0
    assert {name for name, digest in hash_tree(OUT).items() if digest != before[name]} == {
        "protocol.json",
        "store.json",
    }
    assert hash_tree(OUT.with_name("fold")) == before
    (OUT.with_name("fold") / "images.npy").write_bytes(b"hurt")
    shutil.rmtree(OUT)
    assert bring() == 16


def test_a_threshold_rule_is_no_part_of_what_training_sees(bring: Callable[..., int]) -> None:
    bring()
    before = store.open_store(OUT).digest("train", "val", "test_closed")
    bring(protocol=threshold("bpcer", 0.1))
    changed = store.open_store(OUT)
    assert changed.protocol["threshold"] == {"rule": "bpcer", "value": 0.1}
    assert changed.digest("train", "val", "test_closed") == before


def test_what_makes_the_arrays_decodes_again(bring: Callable[..., int]) -> None:
    bring()
    for prepare, changes in (
        ({"image_size": 17}, {}),
        ({"max_megapixels": 1}, {}),
        ({}, {"channels": 3}),
        ({}, {"crop": "square"}),
        ({}, {"annotations": {"granularity": "box", "blur": 0}}),
        ({}, {"annotations": {"granularity": "map", "blur": 0.1}}),
        ({}, {"adapters": [{**ADAPTER, "maps": None}]}),
    ):
        assert bring(prepare, **changes) == 16
    assert bring(prepare, **changes) == 0


def _rename(old: str, new: str) -> None:
    Path(old).rename(new)


def test_every_file_below_the_root_counts(bring: Callable[..., int]) -> None:
    bring()
    for change in (
        lambda: draw(Path("raw/0/02.png"), 1),
        lambda: mark(Path("raw/maps/03.png"), 7),
        lambda: Path("raw/notes.txt").touch(),
        lambda: _rename("raw/1/03.png", "raw/1/99.png"),
    ):
        change()
        assert bring() == 16


def test_a_hurt_store_is_made_anew_with_the_same_bytes(bring: Callable[..., int]) -> None:
    bring()
    before = hash_tree(OUT)
    for name in ("images.npy", "manifest.csv", "quarantine.csv"):
        (OUT / name).write_bytes((OUT / name).read_bytes()[:-1])
        assert bring() == 16
        assert hash_tree(OUT) == before


def test_a_store_of_an_older_kind_is_made_anew(bring: Callable[..., int]) -> None:
    bring()
    text = (OUT / "store.json").read_text()
    (OUT / "store.json").write_text(text.replace('"schema": 2', '"schema": 1'))
    assert bring() == 16


def test_the_code_that_computes_counts(bring: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    bring()
    hashed = preparation.code_hash
    changed = "pipeline.data.preparation:arrange"
    monkeypatch.setattr(preparation, "code_hash", lambda *entries: f"{changed in entries}{hashed(*entries)}")
    assert bring() == 16  # the other entries' hash is another one too
    monkeypatch.setattr(preparation, "code_hash", lambda *entries: f"False{hashed(*entries)}")
    assert bring() == 0
    steps = {"list_samples", "hash_images", "decode_into"}
    found = reached(*(f"pipeline.data.intake:{step}" for step in steps))
    parts = {
        "annotations:_map_ellipses",
        "gaze:map_fixations",
        "dicom_grey:_apply_window",
        "picture:check_pixels",
    }
    assert {f"pipeline.data.{part}" for part in parts} <= set(found)
    assert not any(place.startswith("pipeline.common.c") for place in found)  # neither settings nor the stage


def test_a_tree_is_its_files_by_relative_path(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "x").write_text("abc")
    (tmp_path / "a").write_bytes(b"")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert list(hash_tree(tmp_path).items()) == [("a", empty), ("b/c/x", abc)]
    assert hash_tree(tmp_path / "absent") == {}
