"""Report: tables, figures and one page from the records of all cells; nothing is computed anew.

Reads runs/, evaluate/, identify/, robustness/ and data/prepared/; writes reports/tables, reports/figures and
reports/index.html. A planned cell or attack without a record is listed as missing and lowers `n` where it
is missed.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common import catalogue
from pipeline.common.cli import run_stage
from pipeline.common.config import Attack, Params
from pipeline.common.errors import UserError
from pipeline.common.files import write_csv, write_text
from pipeline.common.progress import track
from pipeline.data.protocol import sources
from pipeline.data.store import Store, open_store
from pipeline.grid import attacked, records
from pipeline.grid.cells import Cell, cells
from pipeline.present import page
from pipeline.present import markup
from pipeline.present import tables
from pipeline.present import gallery
from pipeline.present import figures
from pipeline.present import attacks
from pipeline.present import attack_gallery
from pipeline.present import attack_figures
from pipeline.present.pictures import CAUSAL, HUMAN, SHORTCUT
from pipeline.present.comparisons import ATTACKS, Grid, Note, verdicts
from pipeline.present.variants import variants

TABLES, FIGURES = Path("reports/tables"), Path("reports/figures")
FILES = {  # what is read of every cell (and attack): folder and file, its columns where no cell has one
    "metrics": ("evaluate/metrics.csv", "scope source metric value n_negative n_positive"),
    "scores": ("evaluate/scores.csv", "label role margin"),
    "alignment": ("evaluate/alignment.csv", "role map reference metric value undefined"),
    "faithfulness": ("evaluate/faithfulness.csv", "role order curve area"),
    "summary": ("identify/summary.csv", "role metric reference value"),
    "features": ("identify/features.csv", "predicted feature"),
    "exemplars": ("identify/exemplars.csv", "predicted feature rank sample_id"),
    "history": ("runs/history.csv", "epoch classification guidance val_auroc"),
    "attacks": ("robustness/values.csv", "attack explanation metric budget value n undefined"),
}
COORDINATES = ("dataset", "backbone", "method", "seed")
STAGES = {"train": "runs", "evaluate": "evaluate", "identify": "identify"}
PHANTOM = "Phantoms are drawn by a program. What holds on them is no claim about real images."
IN_GALLERY = 5  # methods side by side; more do not fit a page
ATTACKED = 3  # methods below each other in the picture of an attack, evenly picked


def report(params: Params) -> None:
    """Write everything below reports/."""
    stores = {name: open_store(Path("data/prepared") / name) for name in params.datasets}
    grid, values = gather(params, stores)
    for folder in (TABLES, FIGURES):
        shutil.rmtree(folder, ignore_errors=True)
    found = [
        tables.generalisation(values["metrics"], grid),
        tables.attack_errors(values["metrics"], grid),
        tables.alignment(values["alignment"], grid),
        tables.faithfulness(values["faithfulness"], grid),
        tables.features(values["summary"], grid),
        *attacks.tables(values["attacks"], grid, variants(params)),
        tables.cost(values["cost"], grid),
    ]
    for table in found:
        markup.write(table, TABLES)
    write_csv(TABLES / "cells.csv", grid.cells)
    if len(grid.attacks):
        write_csv(TABLES / "attacks.csv", grid.attacks)
    write_csv(TABLES / "features_found.csv", values["features"])
    write_text(TABLES / "readme.md", markup.readme(found[0], grid))
    auroc = found[0].tidy
    jobs = [job for name in stores for job in _figures(params, name, stores[name], grid, values, auroc)]
    for job in track(jobs, "figures"):
        job()
    beaten = verdicts(found[0].tidy, grid)
    page.write(Path("reports/index.html"), grid, found, beaten, {n: s.folder for n, s in stores.items()})


def gather(params: Params, stores: dict[str, Store]) -> tuple[Grid, dict[str, pd.DataFrame]]:
    """The planned cells and attacks with their keys, and every csv of every finished one.

    Raises UserError if no cell has been evaluated.
    """
    planned, costs, threats = [], [], []
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in FILES}
    for cell in (cell for name in params.datasets for cell in cells(params, name)):
        found = _records(cell)
        where: dict[str, Any] = {name: getattr(cell, name) for name in COORDINATES}
        keys = {f"{stage}_key": record["key"] if record else "" for stage, record in found.items()}
        short = keys["train_key"][:8]
        rows = [{**where, "cell": short, **row} for row in _attacks(params, cell, keys["train_key"])]
        threats += rows
        missing = [stage for stage, record in found.items() if not record]
        missing += [f"robustness/{row['attack']}" for row in rows if not row["robustness_key"]]
        planned.append({**where, "cell": short, **keys, "missing": " ".join(missing)})
        costs += [{**where, "quantity": name, "value": value} for name, value in _cost(found)]
        for name, frame in _csvs(cell, found):
            parts[name].append(frame.assign(**where))
        for row in rows:
            if row["robustness_key"]:
                frame = _csv(attacked.folder(cell, row["attack"]) / "values.csv")
                parts["attacks"].append(frame.assign(attack=row["attack"], **where))
    if not parts["metrics"]:
        raise UserError("reports: no cell has been evaluated; run `dvc repro` (train, evaluate) first")
    values = {
        name: pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame(columns=[*FILES[name][1].split(), *COORDINATES])
        for name, frames in parts.items()
    }
    values["cost"] = pd.DataFrame(costs)
    return _grid(params, stores, pd.DataFrame(planned), pd.DataFrame(threats, columns=ATTACKS)), values


def _records(cell: Cell) -> dict[str, dict[str, Any] | None]:
    """A cell's record of each stage; a measurement of another training than the present one is missing."""
    found = {stage: records.read(cell.folder(Path(folder))) for stage, folder in STAGES.items()}
    trained = found["train"]["key"] if found["train"] else None
    return {
        stage: record if record and (stage == "train" or record["settings"].get("train") == trained) else None
        for stage, record in found.items()
    }


def _attacks(params: Params, cell: Cell, trained: str) -> list[dict[str, str]]:
    """The attacks planned for a cell; a blank key where no record has these settings and this training."""
    rows = []
    for name, attack in attacked.attacks_of(params, cell).items():
        record = records.read(attacked.folder(cell, name))
        made_of = record["settings"] if record else {}
        present = bool(trained) and made_of.get("train") == trained
        present &= made_of.get("robustness") == attacked.settings(params, attack)
        key = record["key"] if record and present else ""
        about = {"attack": name, "kind": attack.attack, "settings": _in_full(attack)}
        rows.append({**about, "robustness_key": key})
    return rows


def _in_full(attack: Attack) -> str:
    """An attack's settings as text, defaults too."""
    known = catalogue.settings_model("explain/attacks", attack.attack)(**attack.settings).model_dump()
    texts = {
        key: " ".join(map(str, value)) if isinstance(value, list) else value for key, value in known.items()
    }
    return ", ".join(f"{key} {'none' if text in (None, '') else text}" for key, text in texts.items())


def _csvs(cell: Cell, found: dict[str, dict[str, Any] | None]) -> list[tuple[str, pd.DataFrame]]:
    frames = []
    for name, (path, _) in FILES.items():
        root, file = path.split("/")
        if any(found[stage] for stage, folder in STAGES.items() if folder == root):
            frames.append((name, _csv(cell.folder(Path(root)) / file)))
    return frames


def _csv(path: Path) -> pd.DataFrame:
    """A table of a record; names that look like no name (null, nan) are names, blank ones are empty texts."""
    text = dict.fromkeys(("source", "reference", "sample_id", "explanation"), str)
    frame = pd.read_csv(path, dtype=text, na_values=[""], keep_default_na=False)
    return frame.fillna({column: "" for column in text if column in frame})


def _cost(found: dict[str, dict[str, Any] | None]) -> list[tuple[str, float]]:
    """Named numbers of a cell's records: seconds per stage and epoch, memory, size of the model."""
    numbers = []
    for stage, record in found.items():
        timings = record["timings"] if record else {}
        if "total_s" in timings:
            numbers.append((f"{stage}_s", float(timings["total_s"])))
        if stage == "train" and record:
            more = {name: timings.get(name) for name in ("epoch_s", "peak_memory_mb")}
            more["parameters_k"] = record["results"].get("parameters", np.nan) / 1000
            numbers += [(name, float(value)) for name, value in more.items() if value is not None]
    return numbers


def _grid(params: Params, stores: dict[str, Store], planned: pd.DataFrame, threats: pd.DataFrame) -> Grid:
    notes = {
        name: Note(info["title"], info["notice"] or (PHANTOM if info["phantom"] else ""), info["phantom"])
        for name, info in ((name, store.info) for name, store in stores.items())
    }
    controls = frozenset(name for name, method in params.methods.items() if method.map_source != "human")
    unguided = [name for name, method in params.methods.items() if method.loss == "cross_entropy"]
    references = tuple(dict.fromkeys([params.report.baseline, *unguided[:1]]))
    return Grid(notes, controls, references, params.report.confidence, planned, threats)


def _figures(
    params: Params,
    dataset: str,
    store: Store,
    grid: Grid,
    values: dict[str, pd.DataFrame],
    auroc: pd.DataFrame,
) -> list[Callable[[], None]]:
    """What draws each figure of a data set, in the order of the page."""
    dpi = params.report.dpi
    mine = {name: frame[frame["dataset"] == dataset] for name, frame in values.items()}
    jobs: list[Callable[[], None]] = [lambda: _contact_sheet(dataset, store, grid, dpi)]
    if len(mine["history"]):
        path = FIGURES / f"training_{dataset}"
        jobs.append(lambda: figures.training(mine["history"], grid, dataset, path, dpi))
    if len(mine["metrics"]):
        jobs += [
            lambda: figures.roc(mine["scores"], grid, dataset, FIGURES / f"roc_{dataset}", dpi),
            lambda: figures.sources(auroc, grid, dataset, FIGURES / f"sources_{dataset}", dpi),
            lambda: _gallery(params, dataset, store, grid),
        ]
    if len(mine["exemplars"]):
        jobs.append(lambda: _exemplars(params, dataset, store, grid, mine))
    if len(mine["attacks"]):
        jobs += _attack_figures(params, dataset, store, grid, mine["attacks"])
    return jobs


def _attack_figures(
    params: Params, dataset: str, store: Store, grid: Grid, values: pd.DataFrame
) -> list[Callable[[], None]]:
    dpi, methods = params.report.dpi, variants(params)
    held, stood = (FIGURES / f"{stem}_{dataset}" for stem in ("manipulability", "robust_decisions"))
    return [
        lambda: attack_figures.manipulability(values, methods, grid, dataset, held, dpi),
        lambda: attack_figures.decisions(values, grid, dataset, stood, dpi),
        *(partial(_attack, name, dataset, store, grid, dpi) for name in values["attack"].unique()),
    ]


def _contact_sheet(dataset: str, store: Store, grid: Grid, dpi: int) -> None:
    sheet = gallery.contact_sheet(_samples(store))
    legend = [("human map", HUMAN)]
    if store.info["phantom"]:
        legend += [("causal pixels", CAUSAL), ("shortcut", SHORTCUT)]
    title = f"Images by source and class — {figures.heading(grid, dataset)}"
    path = FIGURES / f"contact_sheet_{dataset}"
    figures.sheet(sheet, title, path, dpi, legend)


def _gallery(params: Params, dataset: str, store: Store, grid: Grid) -> None:
    shown = _first_cells(params, dataset, "evaluate")
    if not shown:
        return
    maps = {m: gallery.read_maps(cell.folder(Path("evaluate")) / "gallery.npz") for m, cell in shown.items()}
    samples, first = _samples(store), next(iter(maps.values()))
    chosen = gallery.choose(samples, first.rows, 6, sources(store.protocol, "held_out"))
    sheet = gallery.gallery(samples, maps, chosen)
    cell = next(iter(shown.values()))
    title = f"{figures.heading(grid, dataset)} — {cell.backbone}, seed {cell.seed}"
    legend = [("causal pixels", CAUSAL), ("shortcut", SHORTCUT)] if store.info["phantom"] else []
    figures.sheet(sheet, title, FIGURES / f"gallery_{dataset}", params.report.dpi, legend)


def _exemplars(params: Params, dataset: str, store: Store, grid: Grid, mine: dict[str, pd.DataFrame]) -> None:
    shown = _first_cells(params, dataset, "identify")
    if not shown:
        return
    found = {}
    for method, cell in shown.items():
        features, regions = (
            frame[
                (frame["backbone"] == cell.backbone)
                & (frame["method"] == method)
                & (frame["seed"] == cell.seed)
            ]
            for frame in (mine["features"], mine["exemplars"])
        )
        found[method] = (features, regions)
    sheet = gallery.exemplars(_samples(store), found, predicted=1)
    title = f"Recurring features of class 1 — {figures.heading(grid, dataset)}"
    figures.sheet(sheet, title, FIGURES / f"exemplars_{dataset}", params.report.dpi)


def _attack(name: str, dataset: str, store: Store, grid: Grid, dpi: int) -> None:
    """What an attack did to a few images and methods, first backbone and seed; no controls."""
    done = grid.attacks[(grid.attacks["dataset"] == dataset) & (grid.attacks["attack"] == name)]
    done = done[(done["robustness_key"] != "") & ~done["method"].isin(grid.controls)]
    cells = done.drop_duplicates("method")
    few = np.linspace(0, len(cells) - 1, min(len(cells), ATTACKED)).round().astype(int)
    sheets = {}
    for row in cells.iloc[few].to_dict("records"):
        cell = Cell(*(row[column] for column in COORDINATES))
        with np.load(attacked.folder(cell, name) / "pictures.npz", allow_pickle=False) as file:
            pictures = dict(file)
        rows = pictures["index"][: 1 if row["kind"] == "manipulation" else 2]
        about = store.manifest.iloc[rows]
        names = (about["class_name"] + "\n" + about["source"]).tolist()
        label = f"{cell.method}\n{cell.backbone}, seed {cell.seed}"
        sheets[label] = attack_gallery.sheet(pictures, store.images[rows], names)
    drawn = {label: sheet for label, sheet in sheets.items() if sheet}
    if drawn:
        title = f"{name} — {figures.heading(grid, dataset)}"
        figures.sheet(attack_gallery.stacked(drawn), title, FIGURES / f"attack_{name}_{dataset}", dpi)


def _first_cells(params: Params, dataset: str, stage: str) -> dict[str, Cell]:
    """The cell of the first backbone and seed of up to IN_GALLERY methods that has a record; no controls."""
    found: dict[str, Cell] = {}
    for cell in cells(params, dataset):
        wanted = params.methods[cell.method].map_source == "human" and len(found) < IN_GALLERY
        if wanted and cell.method not in found and _records(cell)[stage]:
            found[cell.method] = cell
    return found


def _samples(store: Store) -> gallery.Samples:
    truths = (store.truth("causal"), store.truth("shortcut"))
    return gallery.Samples(store.manifest, store.images, store.maps, *truths)


if __name__ == "__main__":
    run_stage("report", __doc__)
