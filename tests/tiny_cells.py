"""A small prepared phantom with unseen sources and exact masks, and cells trained on it by the real stage."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_store

from pipeline.common.config import Params
from pipeline.common.files import sha256_file, write_csv, write_json
from pipeline.data import manifest, protocol, store
from pipeline.train import train

SIDE = 32
SOURCES = {  # source -> (split, number of samples, labels in turn)
    "site_a": [("train", 20, (0, 1)), ("val", 12, (0, 1)), ("test", 10, (0, 1))],
    "site_b": [("test", 8, (0, 1))],  # unseen, both labels
    "live_b": [("test", 4, (0,))],  # unseen, normal only
    "lens": [("test", 5, (1,))],  # unseen, abnormal only
}
PROTOCOL = {
    "known": {"0": ["site_a"], "1": ["site_a"]},
    "held_out": {"0": ["site_b", "live_b"], "1": ["site_b", "lens"]},
    "excluded": [],
    "threshold": {"rule": "bpcer", "value": 0.2},
}


def settings(**changes: Any) -> Params:
    """Two methods, one seed, one epoch; curves and pictures of a few samples."""
    evaluate = {"batch_size": 7, "curve_steps": 3, "curve_samples": 4, "gallery": 3}
    return tiny_store.params(train={"epochs": 1, "batch_size": 10}, evaluate=evaluate, **changes)


def rows() -> pd.DataFrame:
    """The manifest."""
    known = [
        {"source": source, "split": split, "label": labels[index % len(labels)]}
        for source, parts in SOURCES.items()
        for split, count, labels in parts
        for index in range(count)
    ]
    table = pd.DataFrame(known).reindex(columns=list(manifest.COLUMNS), fill_value="")
    table["sample_id"] = [f"tiny:{index:03}" for index in range(len(table))]
    table["subject_id"] = [f"subject{index}" for index in range(len(table))]
    kinds = np.where(table.index % 4 == 1, "nodule", "opacity")
    table["class_name"] = np.where(table["label"] == 1, kinds, "normal")
    table["annotators"] = np.where(table["source"] == "site_a", 1, 0)
    return table


def write(folder: Path) -> Path:
    """The prepared data set: a bright square is the finding, a bright corner the shortcut of site_a."""
    table = rows()
    labels, n = table["label"].to_numpy(), len(table)
    images, maps, _ = tiny_store.arrays(n, SIDE)
    finding = maps * (labels == 1)[:, None, None].astype(np.uint8)
    corner = np.zeros_like(maps)
    corner[:, -4:, -4:] = 255
    corner[(labels == 0) & (table["source"] == "site_a")] = 0
    images = np.where((finding | corner)[:, None] > 0, np.uint8(220), np.minimum(images, 120))
    (folder / "truth").mkdir(parents=True)
    human = maps * (table["annotators"] > 0).to_numpy()[:, None, None].astype(np.uint8)
    arrays = {"images": images, "maps": human, "truth/causal": finding, "truth/shortcut": corner}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    write_csv(folder / "manifest.csv", table)
    open_set = protocol.build(PROTOCOL, "subject")
    open_set["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", open_set)
    sizes = {"image_size": SIDE, "channels": 1, "crop": "none", "max_megapixels": 4, "max_megabytes": 64}
    info = {"dataset": tiny_store.NAME, "title": "Tiny (phantom)", "notice": None, "phantom": True}
    store.seal(folder, {**info, "task": "cxr_anomaly", "n": n, "preprocessing": sizes})
    return folder


def project(root: Path) -> None:
    """Data set and trained cells below `root`, which must be the working directory."""
    write(root / "data" / "prepared" / tiny_store.NAME)
    train(settings(), tiny_store.NAME)


def copied(trained: Path, root: Path, run: Callable[[], None]) -> Path:
    """A copy of a project in the empty folder `root`, where a stage has run."""
    shutil.copytree(trained, root, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run()
    return root
