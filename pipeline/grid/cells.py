"""Cells of the grid: (backbone, method, seed) on one data set, and the key of what it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pipeline.common.config import Params
from pipeline.common.files import canonical_json, sha256_text
from pipeline.common.code import PACKAGE, closure


@dataclass(frozen=True)
class Cell:
    """One training, and later its evaluation."""

    dataset: str
    backbone: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """How a cell is called in messages and in MLflow: `method/backbone/seed`."""
        return f"{self.method}/{self.backbone}/{self.seed}"

    def folder(self, root: Path) -> Path:
        """Where a stage keeps the cell below its own folder: `root/dataset/backbone/method/seed`."""
        return root / self.dataset / self.backbone / self.method / str(self.seed)


def cells(params: Params, dataset: str) -> list[Cell]:
    """All cells of a data set, in the order of params.yaml.

    This and not the folders on disk says which cells exist: results of a method that was since removed
    stay where they are, and appear nowhere.
    """
    chosen = params.datasets[dataset].methods
    methods = [method for method in params.methods if chosen is None or method in chosen]
    axes = product(params.backbones, methods, params.train.seeds)
    return [Cell(dataset, backbone, method, seed) for backbone, method, seed in axes]


def code_hash(*files: Path) -> str:
    """Hex SHA-256 of the sources that `files` import inside the package, themselves included."""
    parts = [
        (str(path.relative_to(PACKAGE.resolve())), path.read_text(encoding="utf-8"))
        for path in closure(files)
    ]
    return sha256_text(canonical_json(parts))


def key(settings: Mapping[str, Any], data_hash: str, code_hash: str) -> str:
    """What a cell is a pure function of, as one hex SHA-256.

    >>> key({"seed": 0}, "d", "c") == key({"seed": 1}, "d", "c")
    False
    """
    return sha256_text(canonical_json([dict(settings), data_hash, code_hash]))
