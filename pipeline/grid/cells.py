"""Cells of the grid, (backbone, method, seed) on one data set, and tasks, each with its key."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.common.config import Params
from pipeline.common.files import canonical_json, sha256_text


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


class Task(NamedTuple):
    """One piece of work on a cell: where its files go, and what its result is a pure function of."""

    cell: Cell
    folder: Path
    key: str  # of the three that follow, see `key`
    settings: dict[str, Any]
    data_hash: str = ""
    code_hash: str = ""
    part: str = ""  # which of several tasks of the cell
    code: tuple[str, ...] = ()  # what `code_hash` is of: entry points, `package.module:name`

    @property
    def name(self) -> str:
        """How it is called in messages: `data set: cell`, and which part of it after another colon."""
        return ": ".join(filter(None, (self.cell.dataset, self.cell.name, self.part)))


def cells(params: Params, dataset: str) -> list[Cell]:
    """All cells of a data set, in the order of params.yaml.

    This and not the folders on disk says which cells exist: results of a method that was since removed
    stay where they are, and appear nowhere.
    """
    chosen = params.datasets[dataset]
    backbones = [each for each in params.backbones if chosen.backbones is None or each in chosen.backbones]
    methods = [method for method in params.methods if chosen.methods is None or method in chosen.methods]
    axes = product(backbones, methods, chosen.seeds or params.train.seeds)
    return [
        Cell(dataset, backbone, method, seed)
        for backbone, method, seed in axes
        if seed in (params.methods[method].seeds or [seed])
    ]


def key(settings: Mapping[str, Any], data_hash: str, code_hash: str) -> str:
    """What a result is a pure function of, as one hex SHA-256.

    >>> key({"seed": 0}, "d", "c") == key({"seed": 1}, "d", "c")
    False
    """
    return sha256_text(canonical_json([dict(settings), data_hash, code_hash]))
