"""What is planned and what was recorded of it: tables of all cells, and the grid that they fill."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.common import catalogue
from pipeline.common.config import Attack, Params
from pipeline.common.errors import UserError
from pipeline.common.paths import CELLS
from pipeline.data.store import Store
from pipeline.grid import records
from pipeline.grid.cells import Cell, cells
from pipeline.present.draws import Joined, joined
from pipeline.present.variants import is_guided

GROUP = ["dataset", "backbone", "method"]
UNIT = ["draw", "seed"]  # a training, paired with that of every other method; `draw`: its own data set
PLACE = [*GROUP, *UNIT]
AT = ["scope", "source", "stratum"]  # which images an AUROC compares; blank where no scores are known
ATTACKS = [*PLACE, "cell", "attack", "kind", "table", "settings", "robustness_key"]
STAGES = ("train", "evaluate", "identify")
CELL_COLUMNS = [*PLACE, "cell", *(f"{stage}_key" for stage in STAGES), "missing"]
COLUMNS = {  # what is read of every cell (and attack) -> its columns where no cell has it
    "metrics": "scope source metric value n_negative n_positive",
    "scores": "sample_id subject_id source label role marked logit_difference",
    "strata": "scope source stratum auroc n_negative n_positive",
    "counterfactuals": "role source region fill test auroc change n_negative n_positive n_annotated",
    "shown_scores": "sample_id role label region_of test logit_difference",
    "alignment": "role map reference metric value undefined",
    "faithfulness": "role order curve area",
    "summary": "role metric reference value",
    "concepts": "predicted concept",
    "alarm": "predicted concept score verdict evidence truth weight",
    "exemplars": "predicted concept rank sample_id",
    "history": "epoch classification guidance val_auroc",
    "values": "attack explanation metric budget value n undefined",
}
TEXTS = ("source", "reference", "sample_id", "subject_id", "region_of", "explanation", "evidence", "truth")
RULES = {  # metric of train.selection -> what is highest where an epoch, or an alpha, is chosen
    "auroc": "validation AUROC",
    "alignment": "agreement with human maps on validation",
    "counterfactual": "only − without on validation",
}
PHANTOM = "Phantoms are drawn by a program. What holds on them is no claim about real images."


class DatasetNote(NamedTuple):
    """What must be said wherever a data set is shown."""

    title: str
    notice: str
    phantom: bool
    task: str = ""  # such as cxr_anomaly


class Fold(NamedTuple):
    """Which data set with `held_out: each` a data set is a fold of, and the source that it leaves out."""

    of: str
    source: str


@dataclass(frozen=True)
class Grid:
    """The planned cells and how they are compared."""

    datasets: dict[str, DatasetNote]
    controls: frozenset[str]  # methods whose maps are not the image's own
    references: tuple[str, ...]  # methods that differences are taken to
    confidence: float
    cells: pd.DataFrame  # PLACE, cell (short key, blank if untrained), <stage>_key..., missing
    attacks: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ATTACKS))  # planned ones
    ceilings: frozenset[str] = frozenset()  # methods that are told what no data set of images tells
    floors: frozenset[str] = frozenset()  # models without a network, in tables that have them
    beside: pd.DataFrame = field(default_factory=pd.DataFrame)  # cells of floors, and of ceilings elsewhere
    rule: str = ""  # how epochs and alphas are chosen
    draws: dict[str, Joined] = field(default_factory=dict)  # data set -> what is joined in it
    folds: dict[str, Fold] = field(default_factory=dict)  # by name in params.yaml, like draws

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The cells and what stands beside them in tables."""
        return pd.concat([self.cells, self.beside], ignore_index=True).fillna("")

    def variants(self) -> list[str]:
        """The data sets that differ from what they are draws of."""
        return [name for name, group in self.draws.items() if group.variant]

    def families(self) -> list[list[str]]:
        """Data sets whose comparisons are one family: the plain ones, and those of each variant."""
        found: dict[str, list[str]] = {"": []}
        for name in self.datasets:
            variant = self.draws[name].variant if name in self.draws else ""
            found.setdefault(variant, []).append(name)
        return list(found.values())

    def kind(self, method: str) -> str:
        """`control`, `ceiling`, `floor`, or blank for a method in its own right."""
        kinds = {"control": self.controls, "ceiling": self.ceilings, "floor": self.floors}
        return next((kind for kind, names in kinds.items() if method in names), "")

    def label(self, method: str) -> str:
        """The method as tables and legends name it, with its kind."""
        return f"{method} ({kind})" if (kind := self.kind(method)) else method

    def under(self, *attacks: str) -> "Grid":
        """The same grid of the cells that these attacks are planned for, once per attack."""
        return replace(self, cells=self.attacks[self.attacks["attack"].isin(attacks)])


def gather(params: Params, stores: dict[str, Store]) -> tuple[Grid, dict[str, pd.DataFrame]]:
    """The planned cells and attacks with their keys, and every table of every finished one, by COLUMNS.

    Raises UserError if no cell has been evaluated.
    """
    planned, attacks = [], []
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    draws = joined(params.datasets)
    owners = {draw: name for name, group in draws.items() for draw in group.draws}
    for cell in (cell for name in owners for cell in cells(params, name)):
        found = current_records(cell)
        keys = {f"{stage}_key": record["key"] if record else "" for stage, record in found.items()}
        place = {**vars(cell), "dataset": owners[cell.dataset], "draw": cell.dataset}
        about = {**place, "cell": keys["train_key"][:8]}
        rows = [{**about, **row} for row in _planned_attacks(params, cell, keys["train_key"])]
        missing = [stage for stage, record in found.items() if not record]
        missing += [f"robustness/{row['attack']}" for row in rows if not row["robustness_key"]]
        planned.append({**about, **keys, "missing": " ".join(missing)})
        attacks += rows
        done = [row["attack"] for row in rows if row["robustness_key"]]
        for name, frame in _tables(cell, found, done):
            parts[name].append(frame.assign(**place))
    if not parts["metrics"]:
        raise UserError("reports: no cell has been evaluated; run `dvc repro` (train, evaluate) first")
    values = {
        name: pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame(columns=[*COLUMNS[name].split(), *PLACE])
        for name, frames in parts.items()
    }
    about_attacks = pd.DataFrame(attacks, columns=ATTACKS)
    return _grid(params, stores, draws, pd.DataFrame(planned)[CELL_COLUMNS], about_attacks), values


def cell_of(row: Mapping[Any, Any]) -> Cell:
    """The cell behind a row that says its PLACE."""
    return Cell(row["draw"], row["backbone"], row["method"], row["seed"])


def first_cells(grid: Grid, dataset: str, stage: str, controls: bool = False) -> dict[str, Cell]:
    """Method -> its cell of the first draw, backbone and seed that has a record of a stage.

    Methods in their own right, then on demand controls; no ceilings.
    """
    done = grid.cells[(grid.cells["dataset"] == dataset) & (grid.cells[f"{stage}_key"] != "")]
    first = done[done["method"].map(grid.kind).isin(["", "control"] if controls else [""])]
    return {row["method"]: cell_of(row) for row in first.drop_duplicates("method").to_dict("records")}


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


def _tables(
    cell: Cell, found: Mapping[str, dict[str, Any] | None], attacks: list[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """(name in COLUMNS, table) of what a cell's stages (their records, if any) and attacks have left."""
    for stage, record in found.items():
        for file in record["files"] if record else ():
            if (name := file.removesuffix(".csv")) in COLUMNS and file.endswith(".csv"):
                yield name, read_table(cell.folder(CELLS[stage]) / file)
    for attack in attacks:
        path = cell.folder(CELLS["robustness"]) / attack / "values.csv"
        yield "values", read_table(path).assign(attack=attack)


def read_table(path: Path) -> pd.DataFrame:
    """A table of a record; names that look like no name (null, nan) are names, blank ones are empty texts."""
    text = dict.fromkeys(TEXTS, str)
    frame = pd.read_csv(path, dtype=text, na_values=[""], keep_default_na=False)
    return frame.fillna({column: "" for column in text if column in frame})


def _grid(
    params: Params,
    stores: dict[str, Store],
    draws: dict[str, Joined],
    planned: pd.DataFrame,
    attacks: pd.DataFrame,
) -> Grid:
    notes = {}
    for name, group in draws.items():
        info = stores[group.draws[0]].info
        title = f"{info['title']}, {group.variant}" if group.variant else info["title"]
        notes[name] = DatasetNote(
            title, info["notice"] or PHANTOM * info["phantom"], info["phantom"], info["task"]
        )
    controls, ceilings = (
        frozenset(name for name, method in params.methods.items() if getattr(method, f"is_{kind}"))
        for kind in ("control", "ceiling")
    )
    unguided = [name for name, method in params.methods.items() if not is_guided(method)]
    references = tuple(dict.fromkeys([params.report.baseline, *unguided[:1]]))
    rule = _rule(params)
    return Grid(
        notes, controls, references, params.report.confidence, planned, attacks,
        ceilings=ceilings, rule=rule, draws=draws, folds=_folds(params),
    )  # fmt: skip


def _folds(params: Params) -> dict[str, Fold]:
    held_out = {name: dataset.protocol.held_out.get("1", []) for name, dataset in params.datasets.items()}
    return {
        name: Fold(dataset.fold_of, held_out[name][0])
        for name, dataset in params.datasets.items()
        if dataset.fold_of and held_out[name]
    }


def _rule(params: Params) -> str:
    """How an epoch is chosen, and an alpha where a loss lists several."""
    chosen = params.train.selection
    several = any(method.candidates() for method in params.methods.values())
    what = "epochs and alphas" if several else "epochs"
    within = f" within {chosen.tolerance:g} of the best validation AUROC"
    limits = "" if chosen.metric == "auroc" or not chosen.tolerance else within
    return f"Of all {what}{limits} the one with the highest {RULES[chosen.metric]} is kept."
