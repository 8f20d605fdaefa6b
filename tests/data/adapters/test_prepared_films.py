"""Chest X-rays from their published layout to a store: splits, maps, what is set aside or left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.data import preparation, store
from tests.data.adapters.trees import edit, film, nih_cxr14, picture, siim_acr, vindr_cxr
from tests.data.test_preparation import params

MORE = range(10, 22)  # films beside those of the tree, half of them with a finding
OUT = Path("prepared/tiny")


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., store.Store]:
    monkeypatch.chdir(tmp_path)

    def work(adapter: dict[str, Any], source: str, **prepare: Any) -> store.Store:
        protocol = {
            "known": {"0": [source], "1": [source]},
            "held_out": {},
            "threshold": {"rule": "eer", "value": 0},
        }
        settings = params(prepare, adapters=[adapter], protocol=protocol)
        preparation.prepare_store(OUT, "tiny", settings.datasets["tiny"], settings.prepare, workers=1)
        return store.open_store(OUT)

    return work


def findings() -> dict[str, str]:
    audit = json.loads((OUT / "audit.json").read_text())
    return {found["code"]: found["message"] for found in audit["findings"]}


def more_of_nih(root: Path) -> None:
    rows, boxes = [], []
    for number in MORE:
        name = f"990000{number}_000.png"
        picture(root / "images_001/images" / name, (64, 64), number)
        told = "Mass" if number % 2 else "No Finding"
        rows.append(f"{name},{told},0,990000{number},50,F,PA,2048,2500,0.14,0.14,")
        if number % 2:
            boxes.append(f"{name},Mass,0,0,512,512,,,")
    for path, lines in (("Data_Entry_2017_v2020.csv", rows), ("BBox_List_2017.csv", boxes)):
        with (root / path).open("a") as table:
            table.writelines(line + "\r\n" for line in lines)


def test_nih(prepare: Callable[..., store.Store]) -> None:
    nih_cxr14.build(Path("raw"))
    more_of_nih(Path("raw"))
    made = prepare({"name": "nih_cxr14", "views": ["PA"]}, "nih")
    frame = made.manifest.set_index("sample_id")
    assert len(frame) == 3 + len(MORE)
    assert set(frame["split"]) == {"train", "val", "test"}
    assert frame.loc["nih_cxr14:99000011_000", ["annotators", "width", "label"]].tolist() == ["1", "64", "1"]
    maps = np.load(OUT / "maps.npy")
    row = made.manifest["sample_id"].tolist().index("nih_cxr14:99000011_000")
    expected = np.zeros((16, 16))
    expected[:8, :8] = 255  # a quarter of 1024 px is a quarter of the square
    np.testing.assert_array_equal(maps[row], expected)
    assert findings()["W_VIEW"] == "film in another view, left out"
    noticed = pd.read_csv(OUT / "noticed.csv", keep_default_na=False)
    assert noticed["code"].tolist() == ["W_VIEW"]
    assert json.loads((OUT / "audit.json").read_text())["quarantined"] == 0


def test_what_is_left_out_is_told_as_long_as_the_arrays_are_kept(prepare: Callable[..., store.Store]) -> None:
    nih_cxr14.build(Path("raw"))
    more_of_nih(Path("raw"))
    adapter = {"name": "nih_cxr14", "views": ["PA"]}
    prepare(adapter, "nih", max_quarantined=0)  # what is left out is nothing broken
    first = findings()
    prepare(adapter, "nih", seed=1)  # the arrays are taken over
    assert findings()["W_VIEW"] == first["W_VIEW"]


def test_siim(prepare: Callable[..., store.Store]) -> None:
    root = Path("raw")
    siim_acr.build(root)
    edit(root / "train-rle.csv", "inv.1,524800 512\n", "")
    for number in MORE:
        film(root / f"dicom-images-train/a/b/inv.{number}.dcm", number)
    rows = [f"inv.{number},{'0 524288' if number % 2 else ' -1'}" for number in MORE]
    with (root / "train-rle.csv").open("a") as table:
        table.writelines(row + "\n" for row in rows)
    made = prepare({"name": "siim_acr"}, "nih")
    maps = np.load(OUT / "maps.npy")
    row = made.manifest["sample_id"].tolist().index("siim_acr:inv.11")
    expected = np.zeros((16, 16))
    expected[:, :8] = 255  # 512 whole columns of 1024
    np.testing.assert_array_equal(maps[row], expected)
    assert findings()["W_UNLABELLED"] == "image without a row in train-rle.csv, left out"
    assert "W_SUBJECT" in findings()


def test_vindr(prepare: Callable[..., store.Store]) -> None:
    root = Path("raw")
    vindr_cxr.build(root)
    labels, boxes = [], []
    for number in MORE:
        film(root / f"train/inv-{number}.dicom", number)
        seen = number % 2
        labels += [f"inv-{number},R{reader},{seen},0,0,0,{1 - seen}" for reader in (1, 2, 3)]
        boxes += [f"inv-{number},R{reader},Cardiomegaly,0,0,12,10" for reader in (1, 2) if seen]
    for path, lines in (("image_labels_train", labels), ("annotations_train", boxes)):
        with (root / f"annotations/{path}.csv").open("a") as table:
            table.writelines(line + "\n" for line in lines)
    edit(
        root / "annotations/annotations_train.csv",
        "inv-13,R1,Cardiomegaly,0,0,12,10",
        "inv-13,R1,ILD,0,0,99,9",
    )
    made = prepare({"name": "vindr_cxr"}, "vindr")
    ids = made.manifest["sample_id"].tolist()
    assert "vindr_cxr:inv-13" not in ids  # its box reaches far outside
    set_aside = pd.read_csv(OUT / "quarantine.csv", keep_default_na=False)
    assert set_aside[["sample_id", "code"]].to_numpy().tolist() == [["vindr_cxr:inv-13", "E_BOX"]]
    frame = made.manifest.set_index("sample_id")
    assert frame.loc["vindr_cxr:inv-11", "annotators"] == "3"
    assert frame.loc["vindr_cxr:inv-10", "annotators"] == "0"
    maps = np.load(OUT / "maps.npy")[ids.index("vindr_cxr:inv-11")]
    expected = np.zeros((16, 16))
    expected[:8, :8] = 255  # two of three readers, stretched to the peak
    np.testing.assert_array_equal(maps, expected)
