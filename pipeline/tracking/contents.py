"""What MLflow is given of one cell, read from its records: parameters, tags, curves, final metrics, files.

How a training was made (when, how long, at which commit) is not known of a cell that `dvc pull` restored;
what depends on that is then left out.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from pipeline.common.paths import CELLS, CIRCUMSTANCES, HISTORY, MODEL, RECORD
from pipeline.grid import records
from pipeline.grid.cells import Cell

CURVES = {  # column of history.csv -> name of the metric
    "lr": "lr",
    "loss": "train/loss",
    "classification": "train/classification",
    "guidance": "train/guidance",
    "penalty": "train/penalty",
    "val_loss": "val/loss",
    "val_auroc": "val/auroc",
    "val_alignment": "val/alignment",
    "val_counterfactual": "val/counterfactual",
}
MEASURED = {  # stage -> table -> how its metrics are called: prefix, columns joined by slashes; the value
    "evaluate": {
        "metrics": ("", ["scope", "source", "metric"], "value"),
        "strata": ("strata", ["scope", "source", "stratum"], "auroc"),
        "counterfactuals": ("counterfactuals", ["role", "source", "region", "fill", "test"], "auroc"),
        "alignment": ("alignment", ["role", "reference", "map", "metric"], "value"),
        "faithfulness": ("faithfulness", ["role", "curve", "order"], "area"),
    },
    "identify": {
        "summary": ("identify", ["role", "metric", "reference"], "value"),
        "alarm": ("alarm", ["predicted", "concept"], "score"),
    },
}
ARTIFACTS = {  # stage -> its files that MLflow keeps, as far as a cell has them
    "train": [RECORD, HISTORY, MODEL, "candidates.csv"],
    "evaluate": [
        "metrics.csv",
        "strata.csv",
        "counterfactuals.csv",
        "alignment.csv",
        "faithfulness.csv",
    ],
    "identify": ["summary.csv", "concepts.csv", "alarm.csv"],
}
ATTACKS = "robustness/"  # what stands before an attack's name in keys, metrics and artifacts


@dataclass(frozen=True)
class CellContents:
    """A cell as it shall stand in MLflow."""

    cell: Cell
    keys: dict[str, str]  # stage, or robustness/<attack> -> key of its record; blank where there is none yet
    record: dict[str, Any] = field(default_factory=dict)  # of training; empty while it runs
    circumstances: dict[str, Any] = field(default_factory=dict)  # of training; empty where they are not known

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        return bool(self.record)

    def origin_tags(self) -> dict[str, str]:
        """Tags that a run has from its start: which cell and which training."""
        return {"cell": self.cell.name, "cell_key": self.keys["train"], "dvc_stage": "train"}

    def final_tags(self) -> dict[str, str]:
        """Tags that lead back to code, data and records, set when the run shows all of them."""
        commit = self.circumstances.get("git_commit")
        commits = {"git_commit": commit, "mlflow.source.git.commit": commit} if commit else {}
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
        for column, name in CURVES.items():
            if column not in history:  # written before the column was
                continue
            for epoch, value in zip(history["epoch"], history[column], strict=True):
                if value == value:
                    yield name, float(value), int(epoch)

    def metrics(self) -> Iterator[tuple[str, float]]:
        """Final numbers: of the training, and of each measurement that exists."""
        timings = self.circumstances.get("timings", {})
        for name, value in {**self.record["results"], **timings}.items():
            if isinstance(value, int | float):
                yield f"train/{name}", float(value)
        for stage, tables in MEASURED.items():
            for table, naming in tables.items() if self.keys[stage] else ():
                yield from _read_metrics(self.cell.folder(CELLS[stage]) / f"{table}.csv", *naming)
        for attack in self.attacks():
            yield from _read_attack_metrics(_attack_folder(self.cell, attack), attack)

    def attacks(self) -> list[str]:
        """Names of the attacks that the cell has records of."""
        return [name.removeprefix(ATTACKS) for name in self.keys if name.startswith(ATTACKS)]

    def artifacts(self) -> Iterator[tuple[Path, str]]:
        """(file, folder in MLflow) of everything that is kept there."""
        for stage, names in ARTIFACTS.items():
            folder = self.cell.folder(CELLS[stage])
            for name in names if self.keys[stage] else ():
                if (folder / name).is_file():
                    yield folder / name, "model" if stage == "train" else stage
        if self.circumstances:
            yield self.cell.folder(CELLS["train"]) / CIRCUMSTANCES, "model"
        for attack in self.attacks():
            yield _attack_folder(self.cell, attack) / "values.csv", f"{ATTACKS}{attack}"

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
    cell: Cell, stages: Iterable[str] = tuple(ARTIFACTS), attacks: Iterable[str] = ()
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
    keys = dict.fromkeys(ARTIFACTS, "") | {"train": training["key"]}
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
    keys = dict.fromkeys(ARTIFACTS, "") | {"train": key}
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


def _read_metrics(path: Path, prefix: str, columns: list[str], value: str) -> Iterator[tuple[str, float]]:
    """`prefix/column/column/...` of each row of a table that has a value, without what is blank."""
    if not path.is_file():  # of real data, which have no strata
        return
    frame = pd.read_csv(path, dtype=dict.fromkeys(columns, str), na_values=[""], keep_default_na=False)
    for row in frame.dropna(subset=value).to_dict("records"):
        parts = [prefix, *(row[column] for column in columns)]
        yield "/".join(part for part in parts if isinstance(part, str) and part), row[value]


def _read_attack_metrics(folder: Path, attack: str) -> Iterator[tuple[str, float]]:
    """`robustness/attack/explanation/metric/budget`, without what is blank; MLflow allows no @ in names."""
    frame = pd.read_csv(folder / "values.csv", dtype={"explanation": str})
    for row in frame.dropna(subset="value").fillna({"explanation": ""}).to_dict("records"):
        budget = "" if pd.isna(row["budget"]) else f"{row['budget']:.4g}"
        parts = (row["explanation"], row["metric"], budget)
        yield f"{ATTACKS}{attack}/" + "/".join(part for part in parts if part), row["value"]
