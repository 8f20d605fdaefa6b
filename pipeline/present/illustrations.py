"""Which figures a data set has, and what each is drawn from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.common.config import Params
from pipeline.common.paths import ARRAYS, CELLS
from pipeline.data.store import Store, label_names
from pipeline.grid.cells import Cell
from pipeline.present import (
    alarm,
    attack_figures,
    attack_gallery,
    draws,
    evidence_figures,
    figures,
    gallery,
)
from pipeline.present.attacks import manipulability, robust_decisions
from pipeline.present.attacks.rows import Attacked
from pipeline.present.pictures import CAUSAL, HUMAN, SHORTCUT
from pipeline.present.results import PLACE, Grid, cell_of, first_cells
from pipeline.present.variants import variants

METHODS = 5  # side by side; more do not fit a page
SAMPLES = 6  # of a gallery
Legend = Sequence[tuple[str, tuple[int, int, int]]]
ATTACKED = 3  # methods below each other in the picture of an attack, evenly picked
MOVED, STOOD = manipulability.TABLE, robust_decisions.TABLE
VERDICTS = list(alarm.COLOURS.items())  # of boxes
TRUTHS = [("causal pixels", CAUSAL), ("shortcut", SHORTCUT)]


@dataclass(frozen=True)
class Illustrations:
    """The figures of one data set; each is written as `<folder>/<stem>_<dataset>.png` and `.svg`."""

    params: Params
    dataset: str
    store: Store  # of its first draw, which pictures are of
    grid: Grid
    values: dict[str, pd.DataFrame]  # `results.gather`
    tables: dict[str, pd.DataFrame]  # rows of each table by its name
    folder: Path

    def jobs(self) -> list[Callable[[], None]]:
        """What draws each figure, in the order of the page."""
        own, methods = self._own, variants(self.params)
        found: list[Callable[[], None]] = [self._contact_sheet]
        if len(own("history")):
            found.append(partial(figures.training, own("history"), *self._plate("training")))
        if len(own("metrics")):
            found.append(partial(figures.roc, own("scores"), *self._plate("roc")))
            found.append(partial(figures.sources, self.tables["generalisation"], *self._plate("sources")))
            found.append(self._gallery)
        found += [self._dose, self._filled]
        if len(own("exemplars")):
            found.append(self._exemplars)
        if len(own("alarm")):
            found.append(self._alarm)
        if len(own("values")):
            attacked = Attacked(own("values"), self.grid, methods)
            moved, stood = (attacked.shown_in(name).values for name in (MOVED, STOOD))
            found.append(partial(attack_figures.manipulability, moved, methods, *self._plate(MOVED)))
            found.append(partial(attack_figures.decisions, stood, *self._plate(STOOD)))
            found += [partial(self.attack_picture, name) for name in own("values")["attack"].unique()]
        return found

    def _own(self, name: str) -> pd.DataFrame:
        return self.values[name][self.values[name]["dataset"] == self.dataset]

    def _plate(self, stem: str) -> tuple[Grid, str, Path, int]:
        """What every figure is drawn with: grid, data set, path without suffix, dots per inch."""
        return self.grid, self.dataset, self.folder / f"{stem}_{self.dataset}", self.params.report.dpi

    def _contact_sheet(self) -> None:
        legend = [("human map", HUMAN), *self._truths()]
        title = f"Images by source and class — {self._heading()}"
        self._mount(gallery.contact_sheet(self.store), "contact_sheet", title, legend)

    def _gallery(self) -> None:
        shown = self.first_cells("evaluate")
        if not shown:
            return
        file = f"{ARRAYS['evaluate']}.npz"
        maps = {m: gallery.read_maps(cell.folder(CELLS["evaluate"]) / file) for m, cell in shown.items()}
        chosen = gallery.choose(self.store, next(iter(maps.values())).rows, SAMPLES)
        cell = next(iter(shown.values()))
        title = f"{self._heading()} — {cell.backbone}, seed {cell.seed}"
        self._mount(gallery.gallery(self.store, maps, chosen), "gallery", title, self._truths())

    def _dose(self) -> None:
        """Draw dose and response where there are several doses."""
        doses = draws.doses(self.params, self.grid.draws, self.dataset)
        if not self.grid.draws[self.dataset].variant and len(doses) > 1:
            evidence_figures.dose(self.tables["evidence"], doses, *self._plate("dose"))

    def _filled(self) -> None:
        """Draw images without what people marked, and with that alone."""
        cells = self.first_cells("evaluate").values()
        shown = [_of_cell(self._own("shown_scores"), cell) for cell in cells]
        if any(map(len, shown)):
            evidence_figures.filled(pd.concat(shown), self.store, *self._plate("filled"))

    def _exemplars(self) -> None:
        shown = self.first_cells("identify")
        if not shown:
            return
        found = {
            method: (_of_cell(self._own("concepts"), cell), _of_cell(self._own("exemplars"), cell))
            for method, cell in shown.items()
        }
        sheet = gallery.exemplars(self.store, found, predicted=1)
        self._mount(
            sheet, "exemplars", f"Concepts that speak for {label_names(self.store)[1]} — {self._heading()}"
        )

    def _alarm(self) -> None:
        """Draw concepts with their verdicts, and how well these tell where the truth is known."""
        shown = self.first_cells("identify")
        found = {
            method: (_of_cell(self._own("alarm"), cell), _of_cell(self._own("exemplars"), cell))
            for method, cell in shown.items()
        }
        if found:
            sheet = alarm.sheet(self.store, found)
            self._mount(sheet, "alarm", f"What models rely on — {self._heading()}", VERDICTS)
        if len(alarm.judged(self._own("alarm"))):
            grid, dataset, path, dpi = self._plate("alarm_roc")
            alarm.roc(self._own("alarm"), grid, dataset, path, dpi)

    def attack_picture(self, name: str) -> None:
        """Draw what an attack did to a few images and methods, first backbone and seed; no controls."""
        done = self.grid.attacks
        done = done[(done["dataset"] == self.dataset) & (done["attack"] == name)]
        done = done[(done["robustness_key"] != "") & (done["method"].map(self.grid.kind) == "")]
        first = done.drop_duplicates("method")
        few = np.linspace(0, len(first) - 1, min(len(first), ATTACKED)).round().astype(int)
        sheets = {}
        for row in first.iloc[few].to_dict("records"):
            cell = cell_of(row)
            sheet = self._attacked_cell(cell, name, 1 if row["table"] == "manipulability" else 2)
            if sheet:
                sheets[f"{cell.method}\n{cell.backbone}, seed {cell.seed}"] = sheet
        if sheets:
            self._mount(attack_gallery.stacked(sheets), f"attack_{name}", f"{name} — {self._heading()}")

    def _attacked_cell(self, cell: Cell, name: str, images: int) -> gallery.Sheet | None:
        path = cell.folder(CELLS["robustness"]) / name / f"{ARRAYS['robustness']}.npz"
        with np.load(path, allow_pickle=False) as file:
            pictures = dict(file)
        rows = pictures["index"][:images]
        about = self.store.manifest.iloc[rows]
        names = (about["class_name"] + "\n" + about["source"]).tolist()
        return attack_gallery.sheet(pictures, self.store.images[rows], names)

    def first_cells(self, stage: str) -> dict[str, Cell]:
        """`results.first_cells` of up to METHODS methods in their own right."""
        found = first_cells(self.grid, self.dataset, stage)
        return dict(list(found.items())[:METHODS])

    def _truths(self) -> Legend:
        return TRUTHS if self.store.info["phantom"] else []

    def _heading(self) -> str:
        return figures.heading(self.grid, self.dataset)

    def _mount(self, sheet: gallery.Sheet, stem: str, title: str, legend: Legend = ()) -> None:
        *_, path, dpi = self._plate(stem)
        figures.sheet(sheet, title, path, dpi, legend)


def _of_cell(rows: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    place = {**vars(cell), "draw": cell.dataset}
    same = [rows[name] == place[name] for name in PLACE if name != "dataset"]
    return rows[np.logical_and.reduce(same)]
