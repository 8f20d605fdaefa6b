"""Writes a small prepared store and settings to train on it; a bright blob marks the abnormal images."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline.common.config import Params, parse
from pipeline.common.files import sha256_file, write_json, write_text
from pipeline.common.seeding import numpy_rng
from pipeline.data import manifest, protocol, store

NAME = "tiny"
PROTOCOL = {
    "known": {"0": ["site_a"], "1": ["site_a"]},
    "held_out": {},
    "excluded": [],
    "threshold": {"rule": "eer", "value": 0},
}
METHODS = {
    "cross_entropy": {"loss": {"name": "cross_entropy"}},
    "difference_salience": {"loss": {"name": "difference_salience", "alpha": 0.5}},
}


def params(**changes: Any) -> Params:
    """The project's own settings for two epochs of the tiny data set; `changes` are laid over sections."""
    raw = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8"))
    raw["phantoms"]["tasks"] = {}
    raw["datasets"] = {
        NAME: {
            "title": "Tiny (phantom)",
            "phantom": True,
            "task": "cxr_anomaly",
            "root": "data/raw",
            "adapters": [],
            "channels": 1,
            "crop": "none",
            "annotations": {"granularity": "map", "blur": 0},
            "split": {"by": "subject", "val": 0.2, "test": 0.2},
            "protocol": PROTOCOL,
        }
    }
    raw["backbones"] = {"compact": {"name": "compact"}}
    raw["methods"] = METHODS
    raw["report"]["baseline"] = "cross_entropy"
    raw["robustness"]["attacks"] = {}  # a test that attacks says with what
    raw["train"] |= {"seeds": [0], "epochs": 2, "device": "cpu"}
    raw["engine"] |= {"workers": 1}
    for section, value in changes.items():
        raw[section] = {**raw[section], **value} if section in ("train", "engine") else value
    return parse(raw)


def arrays(n: int, side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 1, side, side), maps (n, side, side) and labels; both classes have a map."""
    rng = numpy_rng(seed, "tiny")
    images = rng.integers(60, 120, (n, 1, side, side), dtype=np.uint8)
    maps = np.zeros((n, side, side), np.uint8)
    labels = np.arange(n) % 2
    for index, label in enumerate(labels):
        y, x = rng.integers(0, side // 2, 2)
        spot = (slice(y, y + side // 3), slice(x, x + side // 3))
        maps[index][spot] = 255
        images[index, 0][spot] += np.uint8(60 * label)
    return images, maps, labels


def write(folder: Path, *, name: str = NAME, n: int = 24, side: int = 32, annotated: bool = True) -> Path:
    """A prepared data set; every third image is for validation, the rest for training."""
    images, maps, labels = arrays(n, side)
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images, allow_pickle=False)
    np.save(folder / "maps.npy", maps * annotated, allow_pickle=False)
    rows = pd.DataFrame("", index=range(n), columns=list(manifest.COLUMNS))
    rows["sample_id"] = [f"tiny:{index:03}" for index in range(n)]
    rows["label"] = labels
    rows["source"] = "site_a"
    rows["split"] = ["val" if index % 6 in (4, 5) else "train" for index in range(n)]
    rows["annotators"] = int(annotated)
    write_text(folder / "manifest.csv", rows.to_csv(index=False, lineterminator="\n"))
    open_set = protocol.build(PROTOCOL, "subject")
    open_set["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", open_set)
    sizes = {"image_size": side, "channels": 1, "crop": "none", "max_megapixels": 4, "max_megabytes": 64}
    info = {"dataset": name, "title": "Tiny (phantom)", "notice": None, "phantom": False}
    store.seal(folder, {**info, "task": "cxr_anomaly", "n": n, "preprocessing": sizes})
    return folder
