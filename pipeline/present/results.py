"""What is planned and what was recorded of it: tables of all cells, and the grid that they fill."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pandas as pd

from pipeline.common import catalogue
from pipeline.common.config import Attack, Params
from pipeline.common.errors import UserError
from pipeline.common.paths import CELLS, HISTORY, TABLES
from pipeline.data.store import Store
from pipeline.grid import records
from pipeline.grid.cells import Cell, cells
from pipeline.present.variants import is_guided

GROUP = ["dataset", "backbone", "method"]
PLACE = [*GROUP, "seed"]
ATTACKS = [*PLACE, "cell", "attack", "kind", "table", "settings", "robustness_key"]
STAGES = ("train", "evaluate", "identify")
COLUMNS = {  # what is read of every cell (and attack) -> its columns where no cell has it
    "metrics": "scope source metric value n_negative n_positive",
    "scores": "label role logit_difference",
    "alignment": "role map reference metric value undefined",
    "faithfulness": "role order curve area",
    "summary": "role metric reference value",
    "concepts": "predicted concept",
    "exemplars": "predicted concept rank sample_id",
    "history": "epoch classification guidance val_auroc",
    "values": "attack explanation metric budget value n undefined",
}
PHANTOM = "Phantoms are drawn by a program. What holds on them is no claim about real images."


class DatasetNote(NamedTuple):
    """What must be said wherever a data set is shown."""

    title: str
    notice: str
    phantom: bool


@dataclass(frozen=True)
class Grid:
    """The planned cells and how they are compared."""

    datasets: dict[str, DatasetNote]
    controls: frozenset[str]  # methods whose maps are not the image's own
    references: tuple[str, ...]  # methods that differences are taken to
    confidence: float
    cells: pd.DataFrame  # PLACE, cell (short key, blank if untrained), <stage>_key..., missing
    attacks: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ATTACKS))  # planned ones

    def under(self, *attacks: str) -> "Grid":
        """The same grid of the cells that these attacks are planned for, once per attack."""
        return replace(self, cells=self.attacks[self.attacks["attack"].isin(attacks)])


def gather(params: Params, stores: dict[str, Store]) -> tuple[Grid, dict[str, pd.DataFrame]]:
    """The planned cells and attacks with their keys, and every table of every finished one, by COLUMNS.

    Raises UserError if no cell has been evaluated.
    """
    planned, attacks = [], []
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    for cell in (cell for name in params.datasets for cell in cells(params, name)):
        found = current_records(cell)
        keys = {f"{stage}_key": record["key"] if record else "" for stage, record in found.items()}
        about = {**vars(cell), "cell": keys["train_key"][:8]}
        rows = [{**about, **row} for row in _planned_attacks(params, cell, keys["train_key"])]
        missing = [stage for stage, record in found.items() if not record]
        missing += [f"robustness/{row['attack']}" for row in rows if not row["robustness_key"]]
        planned.append({**about, **keys, "missing": " ".join(missing)})
        attacks += rows
        done = [row["attack"] for row in rows if row["robustness_key"]]
        for name, frame in _tables(cell, [stage for stage, record in found.items() if record], done):
            parts[name].append(frame.assign(**vars(cell)))
    if not parts["metrics"]:
        raise UserError("reports: no cell has been evaluated; run `dvc repro` (train, evaluate) first")
    values = {
        name: pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame(columns=[*COLUMNS[name].split(), *PLACE])
        for name, frames in parts.items()
    }
    return _grid(params, stores, pd.DataFrame(planned), pd.DataFrame(attacks, columns=ATTACKS)), values


def current_records(cell: Cell) -> dict[str, dict[str, Any] | None]:
    """A cell's record of each stage; a measurement of another training than the present one is missing."""
    found = {stage: records.read(cell.folder(CELLS[stage])) for stage in STAGES}
    trained = found["train"]["key"] if found["train"] else None
    return {
        stage: record if record and (stage == "train" or record["settings"].get("train") == trained) else None
        for stage, record in found.items()
    }


def _planned_attacks(params: Params, cell: Cell, trained: str) -> Iterator[dict[str, str]]:
    """The attacks planned for a cell; a blank key where no record has these settings and this training."""
    for name, attack in params.robustness.planned(cell.dataset, cell.method, cell.seed).items():
        record = records.read(cell.folder(CELLS["robustness"]) / name)
        made_of = record["settings"] if record else {}
        present = bool(trained) and made_of.get("train") == trained
        present &= made_of.get("robustness") == params.robustness.settings_of(attack)
        kind = attack.attack["name"]
        yield {
            "attack": name,
            "kind": kind,
            "table": catalogue.declared("explain/attacks", kind, "TABLE"),
            "settings": _settings_text(attack),
            "robustness_key": record["key"] if record and present else "",
        }


def _settings_text(attack: Attack) -> str:
    """An attack's settings as text, defaults too."""
    known = catalogue.filled("explain/attacks", attack.attack)
    return ", ".join(f"{key} {_value_text(value)}" for key, value in known.items() if key != "name")


def _value_text(value: Any) -> str:
    """A setting as people write it.

    >>> _value_text(8 / 255), _value_text([0.5, 1.0]), _value_text(None)
    ('0.0313725', '0.5 1.0', 'none')
    """
    if isinstance(value, list):
        return " ".join(map(_value_text, value)) or "none"
    if isinstance(value, float):
        return str(float(f"{value:.6g}"))
    return "none" if value in (None, "") else str(value)


def _tables(cell: Cell, stages: list[str], attacks: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """(name in COLUMNS, table) of what a cell's stages and attacks have left."""
    for stage in stages:
        names = [HISTORY] if stage == "train" else [f"{name}.csv" for name in TABLES[stage]]
        for file in names:
            if (name := file.removesuffix(".csv")) in COLUMNS:
                yield name, _read_table(cell, stage, file)
    for attack in attacks:
        yield "values", _read_table(cell, "robustness", f"{attack}/values.csv").assign(attack=attack)


def _read_table(cell: Cell, stage: str, file: str) -> pd.DataFrame:
    """A table of a record; names that look like no name (null, nan) are names, blank ones are empty texts."""
    text = dict.fromkeys(("source", "reference", "sample_id", "explanation"), str)
    path = cell.folder(CELLS[stage]) / file
    frame = pd.read_csv(path, dtype=text, na_values=[""], keep_default_na=False)
    return frame.fillna({column: "" for column in text if column in frame})


def _grid(params: Params, stores: dict[str, Store], planned: pd.DataFrame, attacks: pd.DataFrame) -> Grid:
    notes = {
        name: DatasetNote(info["title"], info["notice"] or PHANTOM * info["phantom"], info["phantom"])
        for name, info in ((name, store.info) for name, store in stores.items())
    }
    controls = frozenset(name for name, method in params.methods.items() if method.is_control)
    unguided = [name for name, method in params.methods.items() if not is_guided(method)]
    references = tuple(dict.fromkeys([params.report.baseline, *unguided[:1]]))
    return Grid(notes, controls, references, params.report.confidence, planned, attacks)
