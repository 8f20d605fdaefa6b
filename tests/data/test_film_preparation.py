"""Videos through the whole of `prepare`: frames are images of their own, those of one video stay together."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from pipeline.common.config import Params, parse
from pipeline.common.errors import UserError
from pipeline.data import duplicates, intake, preparation, store
from pipeline.data.adapters.oulu_npu import read
from tests.data.adapters.trees import faceforensics, faces_140k, oulu_npu, replay_attack, text
from tests.data.videos import film, pictures

OUT = Path("prepared/films")


def params(
    adapter: dict[str, Any],
    known: dict[str, list[str]],
    by: str,
    held_out: dict[str, list[str]],
    **changes: Any,
) -> Params:
    raw = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
    raw["phantoms"]["tasks"] = {}
    raw["datasets"] = {
        "films": {
            "title": "Films",
            "phantom": False,
            "task": "face_attacks",
            "root": "raw",
            "adapters": [adapter],
            "channels": 3,
            "crop": "none" if adapter["name"] == "faceforensics" else "roi",
            "annotations": {"granularity": "map", "blur": 0},
            "split": {"by": by, "val": 0.33, "test": 0.33},
            "protocol": {
                "known": known,
                "held_out": held_out,
                "threshold": {"rule": "eer", "value": 0},
            },
        }
    }
    raw["prepare"] |= {"image_size": 16, "max_quarantined": 0, "pseudonyms": False} | changes
    raw["robustness"]["attacks"] = {}
    return parse(raw)


def prepared(
    adapter: dict[str, Any],
    known: dict[str, list[str]],
    by: str = "subject",
    held_out: dict[str, list[str]] | None = None,
    **changes: Any,
) -> pd.DataFrame:
    """The manifest of a store that was made of `raw`."""
    settings = params(adapter, known, by, held_out or {}, **changes)
    preparation.prepare_store(OUT, "films", settings.datasets["films"], settings.prepare, workers=1)
    assert store.open_store(OUT).info["n"] == len(pd.read_csv(OUT / "manifest.csv"))
    return pd.read_csv(OUT / "manifest.csv", dtype=str, keep_default_na=False).set_index("sample_id")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(duplicates, "find_copies", lambda *_: [])  # frames of twelve blocks are all alike


def test_oulu_npu() -> None:
    """Three users, so one in each split; frame 2 of the first video is cropped to its face."""
    oulu_npu.build(Path("raw"))
    known = {"0": ["live"], "1": ["print1", "print2", "replay1"]}
    frame = prepared({"name": "oulu_npu", "frames": 2}, known)
    assert len(frame) == 12
    assert frame["sha256"].nunique() == 12
    assert (frame.groupby("subject_id")["split"].nunique() == 1).all()
    assert sorted(frame["split"].unique()) == ["test", "train", "val"]
    assert frame.loc["oulu_npu:1_1_01_1:00002", "image_path"] == "Train_files/1_1_01_1.avi"
    assert frame.loc["oulu_npu:1_1_01_1:00002", "group_id"] == "oulu_npu:1_1_01_1"
    first = np.load(OUT / "images.npy")[0]
    whole = pictures(10, 1)[2][1:21, 4:24]  # the region 4,1,24,21, in blocks of 8 px
    assert np.array_equal(first[:, 0, 0], whole[0, 0])
    assert np.array_equal(first[:, -1, -1], whole[-1, -1])


def test_replay_attack() -> None:
    settings = replay_attack.build(Path("raw"))
    known = {"0": ["live"], "1": ["highdef_photo", "print_photo"]}
    frame = prepared({"name": "replay_attack", **settings}, known, by="native")
    assert frame.groupby("split").size().to_dict() == {"train": 6, "val": 6, "test": 9}
    assert (frame["split"] == frame["native_split"]).all()


def test_faces_140k() -> None:
    faces_140k.build(Path("raw"))
    frame = prepared({"name": "faces_140k"}, {"0": ["ffhq"], "1": ["stylegan"]}, by="native")
    assert frame["label"].to_dict() == {
        f"faces_140k:{split}:{name}{number}": label
        for number, split in enumerate(("train", "valid", "test"))
        for name, label in (("real:0990", "0"), ("fake:INV", "1"))
    }


def test_faceforensics_with_a_method_held_out() -> None:
    """Pairs stay whole, masks reach the store, and nothing of the method is known to training."""
    root = Path("raw")
    faceforensics.build(root)
    text(root / "splits" / "test.json", ['[["001", "002"]]'])
    fakes = root / "manipulated_sequences"
    for seed, name in enumerate(("001", "002"), start=20):
        film(root / "original_sequences" / "youtube" / "c23" / "videos" / f"{name}.mp4", pictures(10, seed))
    for seed, name in enumerate(("720_672", "001_002"), start=30):
        film(fakes / "Deepfakes" / "c23" / "videos" / f"{name}.mp4", pictures(10, seed))
        film(fakes / "Deepfakes" / "masks" / "videos" / f"{name}.mp4", [faceforensics.mask()] * 10)
    for place in ("c23", "masks"):
        shutil.copytree(
            fakes / "FaceSwap" / place / "images" / "720_672",
            fakes / "FaceSwap" / place / "images" / "001_002",
        )
        for path in (fakes / "FaceSwap" / "c23" / "images" / "001_002").glob("*.png"):
            Image.fromarray(pictures(1, 40 + int(path.stem))[0]).save(path)
    adapter = {"name": "faceforensics", "frames": 2, "methods": ["Deepfakes", "FaceSwap"]}
    known = {"0": ["original"], "1": ["deepfakes"]}
    with pytest.raises(UserError, match="P_LEAK"):
        prepared(adapter, known, by="native", held_out={"0": [], "1": ["faceswap"]})
    frame = prepared(
        {**adapter, "test_only": ["FaceSwap"]}, known, by="native", held_out={"0": [], "1": ["faceswap"]}
    )
    assert (frame["split"] == frame["native_split"]).all()
    assert frame.groupby(["source", "split"]).size().to_dict() == {
        ("deepfakes", "train"): 4,
        ("deepfakes", "val"): 2,
        ("deepfakes", "test"): 2,
        **{("original", split): 4 for split in ("train", "val", "test")},
        ("faceswap", "test"): 2,
    }
    assert (frame.groupby("group_id")["split"].nunique() == 1).all()
    assert set(zip(frame["label"], frame["annotators"], strict=True)) == {("0", "0"), ("1", "1")}
    marked = np.load(OUT / "maps.npy")[(frame["label"] == "1").to_numpy()]
    assert marked[:, 0, 0].min() == 255
    assert marked[:, -1, -1].max() == 0


def test_one_video_under_two_labels_is_a_conflict_of_all_its_frames() -> None:
    root = Path("raw")
    oulu_npu.build(root)
    shutil.copyfile(root / "Train_files" / "1_1_01_1.avi", root / "Train_files" / "1_1_01_2.avi")
    samples = read(root, frames=2)
    for sample in samples:
        sample.adapter = "oulu_npu"
    hashes = intake.hash_images(samples, root, {})
    problems = {s.native_id: s.problem.code for s in samples if s.problem}
    copies = {f"1_1_01_{file}:0000{frame}" for file in (1, 2) for frame in (2, 7)}
    assert problems == dict.fromkeys(copies, "E_LABEL_CONFLICT")
    assert hashes["oulu_npu:1_1_01_1:00002"] == hashes["oulu_npu:1_1_01_2:00002"]
    assert hashes["oulu_npu:1_1_01_1:00002"] != hashes["oulu_npu:1_1_01_1:00007"]


def test_a_damaged_video_is_set_aside_with_its_name() -> None:
    root = Path("raw")
    oulu_npu.build(root)
    path = root / "Test_files" / "1_3_36_1.avi"
    film(path, pictures(10, 77, size=(64, 48)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    known = {"0": ["live"], "1": ["print1", "print2", "replay1"]}
    adapter = {"name": "oulu_npu", "frames": 2}
    with pytest.raises(UserError) as caught:
        prepared(adapter, known)
    told = [line for line in caught.value.problems if line.startswith("E_DECODE")]
    assert len(told) == 1
    assert "Test_files/1_3_36_1.avi" in told[0]
    assert len(prepared(adapter, known, max_quarantined=2)) == 11
    quarantine = pd.read_csv(OUT / "quarantine.csv")
    assert quarantine[["sample_id", "code"]].to_numpy().tolist() == [["oulu_npu:1_3_36_1:00007", "E_DECODE"]]
