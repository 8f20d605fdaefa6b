"""What MLflow is given of one cell, read from its records: parameters, tags, curves, final metrics, files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from pipeline.grid import attacked, records
from pipeline.grid.cells import Cell

STAGES = {"train": "runs", "evaluate": "evaluate", "identify": "identify"}
CURVES = {  # column of history.csv -> name of the metric
    "lr": "lr",
    "loss": "train/loss",
    "classification": "train/classification",
    "guidance": "train/guidance",
    "penalty": "train/penalty",
    "val_loss": "val/loss",
    "val_auroc": "val/auroc",
}
NAMES = {  # file -> name of the table's metrics: the columns that make it, joined by slashes
    "evaluate/metrics.csv": ("", ["scope", "source", "metric"], "value"),
    "evaluate/alignment.csv": ("alignment", ["role", "reference", "map", "metric"], "value"),
    "evaluate/faithfulness.csv": ("faithfulness", ["role", "curve", "order"], "area"),
    "identify/summary.csv": ("identify", ["role", "metric", "reference"], "value"),
}
ARTIFACTS = {
    "runs": ["record.json", "history.csv", "model.safetensors"],
    "evaluate": ["metrics.csv", "alignment.csv", "faithfulness.csv"],
    "identify": ["summary.csv", "features.csv"],
}


@dataclass(frozen=True)
class Copy:
    """A cell as it shall stand in MLflow."""

    cell: Cell
    keys: dict[str, str]  # stage, or robustness/attack -> key of its record; blank where there is none yet
    record: dict[str, Any] = field(default_factory=dict)  # of training; empty while it runs

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        return bool(self.record)

    def origin(self) -> dict[str, str]:
        """Tags that a run has from its start: which cell and which training."""
        stage = f"train@{self.cell.dataset}"
        return {"cell": self.cell.name, "cell_key": self.keys["train"], "dvc_stage": stage}

    def tags(self) -> dict[str, str]:
        """Tags that lead back to code, data and records, set when the run shows all of them."""
        commit = self.record.get("git_commit") or ""
        return {
            **{f"{stage}_key": key for stage, key in self.keys.items() if key},
            "git_commit": commit,
            "mlflow.source.git.commit": commit,
            "data_hash": self.record["data_hash"],
            "code_hash": self.record["code_hash"],
        }

    def parameters(self) -> dict[str, str]:
        """The cell's coordinates and every setting of its training, flat."""
        coordinates = {name: str(value) for name, value in vars(self.cell).items()}
        return {**dict(flatten(self.record.get("settings", {}))), **coordinates}

    def curves(self) -> Iterator[tuple[str, float, int]]:
        """(metric, value, epoch) of every finished epoch."""
        history = pd.read_csv(self.cell.folder(Path("runs")) / "history.csv")
        for column, name in CURVES.items():
            if column not in history:  # written before the column was
                continue
            for epoch, value in zip(history["epoch"], history[column], strict=True):
                if value == value:
                    yield name, float(value), int(epoch)

    def metrics(self) -> Iterator[tuple[str, float]]:
        """Final numbers: of the training, and of each measurement that exists."""
        for name, value in {**self.record["results"], **self.record["timings"]}.items():
            if isinstance(value, int | float):
                yield f"train/{name}", float(value)
        for path, (above, columns, value_column) in NAMES.items():
            root, name = path.split("/")
            if self.keys[root]:
                file, text = self.cell.folder(Path(root)) / name, dict.fromkeys(columns, str)
                frame = pd.read_csv(file, dtype=text, na_values=[""], keep_default_na=False)
                for row in frame.dropna(subset=value_column).to_dict("records"):
                    parts = [above, *(row[column] for column in columns)]
                    metric = "/".join(part for part in parts if isinstance(part, str) and part)
                    yield metric, row[value_column]
        for attack in self.attacks():
            yield from _attack_metrics(self.cell, attack)

    def attacks(self) -> list[str]:
        """Names of the attacks that the cell has records of."""
        above = f"{attacked.ROBUSTNESS}/"
        return [name.removeprefix(above) for name in self.keys if name.startswith(above)]

    def artifacts(self) -> Iterator[tuple[Path, str]]:
        """(file, folder in MLflow) of everything that is kept there."""
        for stage, root in STAGES.items():
            if self.keys[stage]:
                for name in ARTIFACTS[root]:
                    yield self.cell.folder(Path(root)) / name, "model" if stage == "train" else stage
        for attack in self.attacks():
            yield attacked.folder(self.cell, attack) / "values.csv", f"{attacked.ROBUSTNESS}/{attack}"

    def times(self) -> tuple[int, int]:
        """Start and end of the training, ms since 1970."""
        start = int(datetime.fromisoformat(self.record["started"]).timestamp() * 1000)
        return start, start + int(1000 * self.record["timings"].get("total_s", 0))


def _attack_metrics(cell: Cell, attack: str) -> Iterator[tuple[str, float]]:
    """`robustness/attack/explanation/metric/budget`, without what is blank; MLflow allows no @ in names."""
    frame = pd.read_csv(attacked.folder(cell, attack) / "values.csv", dtype={"explanation": str})
    for row in frame.dropna(subset="value").fillna({"explanation": ""}).to_dict("records"):
        budget = "" if pd.isna(row["budget"]) else f"{row['budget']:.4g}"
        parts = (str(attacked.ROBUSTNESS), attack, row["explanation"], row["metric"], budget)
        yield "/".join(part for part in parts if part), row["value"]


def read(cell: Cell, stages: Iterable[str] = STAGES, attacks: Iterable[str] = ()) -> Copy | None:
    """A trained cell with what was measured of that very training; None if it is not trained.

    `attacks` are the names of those planned for it.
    """
    folders = {stage: cell.folder(Path(STAGES[stage])) for stage in stages}
    folders |= {f"{attacked.ROBUSTNESS}/{attack}": attacked.folder(cell, attack) for attack in attacks}
    found = {stage: records.read(place) for stage, place in folders.items()}
    trained = found["train"]
    if trained is None:
        return None
    keys = dict.fromkeys(STAGES, "") | {"train": trained["key"]}
    for stage, record in found.items():
        if record and record["settings"].get("train") == trained["key"]:
            keys[stage] = record["key"]
    return Copy(cell, keys, trained)


def read_running(cell: Cell, since: float) -> Copy | None:
    """A cell that is being trained: one whose checkpoint was written after `since` (s since 1970)."""
    from pipeline.grid import checkpoint  # brings torch, which copies of finished cells do without

    path = cell.folder(Path("runs")) / checkpoint.NAME
    try:
        if path.stat().st_mtime < since:
            return None
        with safe_open(path, "np") as file:
            key = (file.metadata() or {}).get("key")
    except (OSError, SafetensorError):  # it ended, or is being replaced
        return None
    return Copy(cell, dict.fromkeys(STAGES, "") | {"train": key}) if key else None


def flatten(value: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and texts.

    >>> dict(flatten({"method": {"loss": "cyborg", "settings": {}}, "seed": 0}))
    {'method.loss': 'cyborg', 'seed': '0'}
    """
    if isinstance(value, dict):
        for name, item in value.items():
            yield from flatten(item, f"{above}.{name}" if above else str(name))
    else:
        yield above, str(value)
