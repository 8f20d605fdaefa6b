"""Phantoms with a bright square as cause and a dark one as shortcut, and networks that see one alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import tiny_store
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from pipeline.common.files import sha256_file, write_csv, write_json
from pipeline.common.seeding import numpy_rng
from pipeline.data import manifest, protocol, store
from pipeline.data.store import Store, open_store
from pipeline.model import CamClassifier

SIDE, SQUARE = 48, 8
GROUPS = {  # source -> split -> number of images, both labels in turn
    "site_a": {"train": 40, "val": 20, "test": 40},
    "site_b": {"test": 40},  # unseen: the shortcut says nothing
    "site_c": {"test": 40},
}
PROTOCOL = {
    "known": {"0": ["site_a"], "1": ["site_a"]},
    "held_out": {"0": ["site_b", "site_c"], "1": ["site_b", "site_c"]},
    "excluded": [],
    "novel": ["site_c"],
    "threshold": {"rule": "eer", "value": 0},
}


def rows() -> pd.DataFrame:
    """The manifest; `marked`, not of it, says who carries the shortcut."""
    listed = [
        {"source": source, "split": split, "label": index % 2, "turn": index // 2}
        for source, parts in GROUPS.items()
        for split, count in parts.items()
        for index in range(count)
    ]
    table = pd.DataFrame(listed)
    marked = np.where(table["source"] == "site_a", table["label"], table["turn"] % 2)
    table = table.reindex(columns=list(manifest.COLUMNS), fill_value="").assign(marked=marked == 1)
    table["sample_id"] = [f"planted:{index:03}" for index in range(len(table))]
    table["subject_id"] = table["sample_id"]
    table["class_name"] = np.where(table["label"] == 1, "square", "normal")
    table["annotators"] = 1
    return table


def write(folder: Path, *, phantom: bool = True, twins: bool = True) -> Store:
    """The prepared data set; human maps mark the cause, in negatives another place of its size."""
    table = rows()
    n, positive, marked = len(table), (table["label"] == 1).to_numpy(), table["marked"].to_numpy()
    rng = numpy_rng(0, "planted")
    plain = rng.integers(96, 112, (n, 1, SIDE, SIDE), dtype=np.uint8)
    causes, shortcuts = _squares(rng, n)
    arrays = {
        "images": _painted(plain, causes & positive[:, None, None], shortcuts & marked[:, None, None]),
        "maps": 255 * causes.astype(np.uint8),
        "truth/causal": 255 * (causes & positive[:, None, None]).astype(np.uint8),
        "truth/shortcut": 255 * (shortcuts & marked[:, None, None]).astype(np.uint8),
    }
    if twins:
        arrays["truth/without_cause"] = _painted(plain, causes & False, shortcuts & marked[:, None, None])
        arrays["truth/without_shortcut"] = _painted(
            plain, causes & positive[:, None, None], shortcuts & False
        )
    (folder / "truth").mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    write_csv(folder / "manifest.csv", table.drop(columns="marked"))
    open_set = protocol.build(PROTOCOL, "subject")
    write_json(folder / "protocol.json", open_set | {"manifest_sha256": sha256_file(folder / "manifest.csv")})
    sizes = {"image_size": SIDE, "channels": 1, "crop": "none", "max_megapixels": 4, "max_megabytes": 64}
    info = {"dataset": tiny_store.NAME, "title": "Planted", "notice": None, "phantom": phantom}
    store.seal(folder, {**info, "task": "cxr_anomaly", "n": n, "preprocessing": sizes})
    return open_store(folder)


def _squares(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of cause and shortcut, bool (n, SIDE, SIDE): never in the same half of the image."""
    masks = np.zeros((2, n, SIDE, SIDE), bool)
    for index in range(n):
        for kind, half in enumerate(rng.permutation(2)):
            y = rng.integers(0, SIDE - SQUARE)
            x = half * SIDE // 2 + rng.integers(2, SIDE // 2 - SQUARE - 2)
            masks[kind, index, y : y + SQUARE, x : x + SQUARE] = True
    return masks[0], masks[1]


def _painted(plain: np.ndarray, bright: np.ndarray, dark: np.ndarray) -> np.ndarray:
    return np.where(bright[:, None], np.uint8(240), np.where(dark[:, None], np.uint8(10), plain))


class Squares(nn.Module):
    """Two channels: where a patch of 4 px is bright, and where it is dark."""

    out_channels = 2

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, images: Tensor) -> Tensor:
        grey = avg_pool2d(images * self.std + self.mean, 4, 2)
        return torch.cat([grey - 0.7, 0.2 - grey], dim=1).relu()


def network(*, cause: float, shortcut: float) -> CamClassifier:
    """A hand-made network that weighs bright squares by `cause` and dark ones by `shortcut`."""
    model = CamClassifier({"name": "compact"}, 1)
    model.features = Squares(model.mean, model.std)
    model.head = nn.Linear(2, 2)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[0.0, 0.0], [cause, shortcut]]))
        model.head.bias.zero_()
    return model.eval()
