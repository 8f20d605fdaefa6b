"""What MLflow is given of one cell, read from its records: parameters, tags, curves, metrics, tables, files.

How a training was made (when, how long, at which commit) is not known of a cell that `dvc pull` restored;
what depends on that is then left out.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from pipeline.common.paths import CANDIDATES, CELLS, CIRCUMSTANCES, HISTORY, RECORD
from pipeline.grid import records
from pipeline.grid.cells import Cell
from pipeline.tracking import headlines

TABLES = {  # stage -> its tables that MLflow shows, as far as a cell has them
    "evaluate": ("metrics", "strata", "counterfactuals", "alignment", "faithfulness"),
    "identify": ("summary", "concepts", "alarm"),
}
STAGES = ("train", *TABLES)
FILES = (RECORD, HISTORY, CANDIDATES, CIRCUMSTANCES)  # of a training, kept as they are
LAYOUT = "2"  # of what a run holds: one of another layout is replaced
ATTACKS = "robustness/"  # what stands before an attack's name in keys, metrics and tables


@dataclass(frozen=True)
class CellContents:
    """A cell as it shall stand in MLflow."""

    cell: Cell
    keys: dict[str, str]  # stage, or robustness/<attack> -> key of its record; blank where there is none yet
    record: dict[str, Any] = field(default_factory=dict)  # of training; empty while it runs
    circumstances: dict[str, Any] = field(default_factory=dict)  # of training; empty where they are not known

    @property
    def name(self) -> str:
        """How its run is called."""
        return self.cell.name

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        return bool(self.record)

    def origin_tags(self) -> dict[str, str]:
        """Tags that a run has from its start: which cell and which training."""
        about = {
            "cell": self.cell.name,
            "cell_key": self.keys["train"],
            "dvc_stage": "train",
            "layout": LAYOUT,
        }
        return {**about, "mlflow.source.name": "pipeline/train.py", "mlflow.source.type": "LOCAL"}

    def final_tags(self) -> dict[str, str]:
        """Tags that lead back to code, data and records, set when the run shows all of them."""
        commit = self.circumstances.get("git_commit")
        commits = {"mlflow.source.git.commit": commit} if commit else {}
        hashes = {name: self.record[name] for name in ("data_hash", "code_hash")}
        return {**self.key_tags(), **commits, **hashes}

    def key_tags(self) -> dict[str, str]:
        """`<stage>_key` of every record that exists."""
        return {f"{stage}_key": key for stage, key in self.keys.items() if key}

    def parameters(self) -> dict[str, str]:
        """The cell's coordinates and every setting of its training, flat."""
        coordinates = {name: str(value) for name, value in vars(self.cell).items()}
        return {**dict(flatten(self.record.get("settings", {}))), **coordinates}

    def curves(self) -> Iterator[tuple[str, float, int]]:
        """(metric, value, epoch) of every finished epoch."""
        history = pd.read_csv(self.cell.folder(CELLS["train"]) / HISTORY)
        for column, name in headlines.CURVES.items():
            if column not in history:  # written before the column was
                continue
            for epoch, value in zip(history["epoch"], history[column], strict=True):
                if value == value:
                    yield name, float(value), int(epoch)

    @cached_property
    def metrics(self) -> list[tuple[str, float]]:
        """Final numbers, so many that a run has at most `headlines.MOST` with its curves."""
        found = list(headlines.of_training(self.record["results"], self.circumstances.get("timings", {})))
        tables = self.tables
        found += headlines.of_measurements(tables)
        for attack in self.attacks():
            found += headlines.of_attack(attack, tables[f"{ATTACKS}{attack}"])
        return found[: headlines.MOST - len(headlines.CURVES)]

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """`<stage>/<table>`, and `robustness/<attack>`, of every measurement that exists."""
        places = {
            f"{stage}/{name}": self.cell.folder(CELLS[stage]) / f"{name}.csv"
            for stage, names in TABLES.items()
            for name in names
            if self.keys[stage]
        }
        places |= {
            f"{ATTACKS}{each}": _attack_folder(self.cell, each) / "values.csv" for each in self.attacks()
        }
        return {name: pd.read_csv(path) for name, path in places.items() if path.is_file()}

    def attacks(self) -> list[str]:
        """Names of the attacks that the cell has records of."""
        return [name.removeprefix(ATTACKS) for name in self.keys if name.startswith(ATTACKS)]

    def files(self) -> list[Path]:
        """What its training left beside the model."""
        folder = self.cell.folder(CELLS["train"])
        return [folder / name for name in FILES if (folder / name).is_file()]

    def times(self) -> tuple[int, int] | None:
        """Start of the training and its end (so far), ms since 1970; None where they are not known."""
        if not self.circumstances:
            return None
        start, end = (datetime.fromisoformat(self.circumstances[name]) for name in ("started", "ended"))
        return int(start.timestamp() * 1000), int(end.timestamp() * 1000)

    def epoch_ends(self) -> list[int]:
        """When each epoch ended, ms since the first began; empty where that is not known."""
        timings = self.circumstances.get("timings", {})
        return [round(1000 * seconds) for seconds in timings.get(records.EPOCH_ENDS, [])]


def read_finished(
    cell: Cell, stages: Iterable[str] = STAGES, attacks: Iterable[str] = ()
) -> CellContents | None:
    """A trained cell with what was measured of that very training; None if it is not trained.

    `attacks` are the names of those planned for it.
    """
    folders = {stage: cell.folder(CELLS[stage]) for stage in stages}
    folders |= {f"{ATTACKS}{attack}": _attack_folder(cell, attack) for attack in attacks}
    found = {name: records.read(folder) for name, folder in folders.items()}
    training = found["train"]
    if training is None:
        return None
    keys = dict.fromkeys(STAGES, "") | {"train": training["key"]}
    for name, record in found.items():
        if record and record["settings"].get("train") == training["key"]:
            keys[name] = record["key"]
    return CellContents(cell, keys, training, records.circumstances(folders["train"]))


def read_running(cell: Cell, since: float) -> CellContents | None:
    """A cell that is being trained: one whose checkpoint was written after `since` (s since 1970)."""
    from pipeline.grid import checkpoint  # brings torch, which finished cells do without

    path = cell.folder(CELLS["train"]) / checkpoint.NAME
    try:
        written = path.stat().st_mtime
        if written < since:
            return None
        with safe_open(path, "np") as file:
            about = file.metadata() or {}
        key, ends = about["key"], json.loads(about["about"])[records.EPOCH_ENDS]
    except (OSError, SafetensorError, KeyError):  # it ended, is being replaced, or another version's
        return None
    last = datetime.fromtimestamp(written, UTC)
    spent = {"started": last - timedelta(seconds=ends[-1]), "ended": last}
    so_far = {name: moment.isoformat() for name, moment in spent.items()}
    keys = dict.fromkeys(STAGES, "") | {"train": key}
    return CellContents(cell, keys, circumstances={**so_far, "timings": {records.EPOCH_ENDS: ends}})


def flatten(value: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and texts.

    >>> dict(flatten({"method": {"loss": {"name": "cyborg"}, "activation": {}}, "seed": 0}))
    {'method.loss.name': 'cyborg', 'seed': '0'}
    """
    if isinstance(value, dict):
        for name, item in value.items():
            yield from flatten(item, f"{above}.{name}" if above else str(name))
    else:
        yield above, str(value)


def _attack_folder(cell: Cell, attack: str) -> Path:
    return cell.folder(CELLS["robustness"]) / attack
