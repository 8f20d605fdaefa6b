"""Which figures a data set has, and what each is drawn from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.common.config import Params
from pipeline.common.paths import ARRAYS, CELLS
from pipeline.data.store import Store
from pipeline.grid.cells import Cell
from pipeline.present import attack_figures, attack_gallery, figures, gallery
from pipeline.present.attacks.rows import Attacked
from pipeline.present.pictures import CAUSAL, HUMAN, SHORTCUT
from pipeline.present.results import PLACE, Grid
from pipeline.present.variants import variants

METHODS = 5  # side by side; more do not fit a page
SAMPLES = 6  # of a gallery
ATTACKED = 3  # methods below each other in the picture of an attack, evenly picked
TRUTHS = [("causal pixels", CAUSAL), ("shortcut", SHORTCUT)]


@dataclass(frozen=True)
class Illustrations:
    """The figures of one data set; each is written as `<folder>/<stem>_<dataset>.png` and `.svg`."""

    params: Params
    dataset: str
    store: Store
    grid: Grid
    values: dict[str, pd.DataFrame]  # `results.gather`
    auroc: pd.DataFrame  # rows of the table of generalisation
    folder: Path

    def jobs(self) -> list[Callable[[], None]]:
        """What draws each figure, in the order of the page."""
        found: list[Callable[[], None]] = [self._contact_sheet]
        if len(self._own("history")):
            found.append(self._training)
        if len(self._own("metrics")):
            found += [self._roc, self._sources, self._gallery]
        if len(self._own("exemplars")):
            found.append(self._exemplars)
        if len(attacks := self._own("values")):
            found += [self._manipulability, self._robust_decisions]
            found += [partial(self.attack_picture, name) for name in attacks["attack"].unique()]
        return found

    def _own(self, name: str) -> pd.DataFrame:
        return self.values[name][self.values[name]["dataset"] == self.dataset]

    def _path(self, stem: str) -> Path:
        return self.folder / f"{stem}_{self.dataset}"

    def _place(self, stem: str) -> tuple[Grid, str, Path, int]:
        return self.grid, self.dataset, self._path(stem), self.params.report.dpi

    def _training(self) -> None:
        figures.training(self._own("history"), *self._place("training"))

    def _roc(self) -> None:
        figures.roc(self._own("scores"), *self._place("roc"))

    def _sources(self) -> None:
        figures.sources(self.auroc, *self._place("sources"))

    def _manipulability(self) -> None:
        methods = variants(self.params)
        mine = Attacked(self._own("values"), self.grid, methods).shown_in("manipulability")
        attack_figures.manipulability(mine.values, methods, *self._place("manipulability"))

    def _robust_decisions(self) -> None:
        attacked = Attacked(self._own("values"), self.grid, variants(self.params))
        mine = attacked.shown_in("robust_decisions")
        attack_figures.decisions(mine.values, *self._place("robust_decisions"))

    def _contact_sheet(self) -> None:
        legend = [("human map", HUMAN), *self._truths()]
        sheet, title = gallery.contact_sheet(self.store), f"Images by source and class — {self._heading()}"
        figures.sheet(sheet, title, self._path("contact_sheet"), self.params.report.dpi, legend)

    def _gallery(self) -> None:
        shown = self.first_cells("evaluate")
        if not shown:
            return
        file = f"{ARRAYS['evaluate']}.npz"
        maps = {m: gallery.read_maps(cell.folder(CELLS["evaluate"]) / file) for m, cell in shown.items()}
        chosen = gallery.choose(self.store, next(iter(maps.values())).rows, SAMPLES)
        cell = next(iter(shown.values()))
        title = f"{self._heading()} — {cell.backbone}, seed {cell.seed}"
        sheet = gallery.gallery(self.store, maps, chosen)
        figures.sheet(sheet, title, self._path("gallery"), self.params.report.dpi, self._truths())

    def _exemplars(self) -> None:
        shown = self.first_cells("identify")
        if not shown:
            return
        found = {
            method: (_of_cell(self._own("concepts"), cell), _of_cell(self._own("exemplars"), cell))
            for method, cell in shown.items()
        }
        sheet = gallery.exemplars(self.store, found, predicted=1)
        title = f"Concepts of class 1 — {self._heading()}"
        figures.sheet(sheet, title, self._path("exemplars"), self.params.report.dpi)

    def attack_picture(self, name: str) -> None:
        """Draw what an attack did to a few images and methods, first backbone and seed; no controls."""
        done = self.grid.attacks
        done = done[(done["dataset"] == self.dataset) & (done["attack"] == name)]
        done = done[(done["robustness_key"] != "") & ~done["method"].isin(self.grid.controls)]
        first = done.drop_duplicates("method")
        few = np.linspace(0, len(first) - 1, min(len(first), ATTACKED)).round().astype(int)
        sheets = {}
        for row in first.iloc[few].to_dict("records"):
            cell = Cell(*(row[column] for column in PLACE))
            sheet = self._attacked_cell(cell, name, 1 if row["table"] == "manipulability" else 2)
            if sheet:
                sheets[f"{cell.method}\n{cell.backbone}, seed {cell.seed}"] = sheet
        if sheets:
            stem, title = f"attack_{name}", f"{name} — {self._heading()}"
            stacked = attack_gallery.stacked(sheets)
            figures.sheet(stacked, title, self._path(stem), self.params.report.dpi)

    def _attacked_cell(self, cell: Cell, name: str, images: int) -> gallery.Sheet | None:
        path = cell.folder(CELLS["robustness"]) / name / f"{ARRAYS['robustness']}.npz"
        with np.load(path, allow_pickle=False) as file:
            pictures = dict(file)
        rows = pictures["index"][:images]
        about = self.store.manifest.iloc[rows]
        names = (about["class_name"] + "\n" + about["source"]).tolist()
        return attack_gallery.sheet(pictures, self.store.images[rows], names)

    def first_cells(self, stage: str) -> dict[str, Cell]:
        """The cell of the first backbone and seed of up to METHODS methods that has a record; no controls."""
        planned = self.grid.cells
        done = planned[(planned["dataset"] == self.dataset) & (planned[f"{stage}_key"] != "")]
        first = done[~done["method"].isin(self.grid.controls)].drop_duplicates("method").head(METHODS)
        return {row["method"]: Cell(*(row[name] for name in PLACE)) for row in first.to_dict("records")}

    def _truths(self) -> list[tuple[str, tuple[int, int, int]]]:
        return TRUTHS if self.store.info["phantom"] else []

    def _heading(self) -> str:
        return figures.heading(self.grid, self.dataset)


def _of_cell(rows: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    same = [rows[name] == getattr(cell, name) for name in PLACE]
    return rows[np.logical_and.reduce(same)]
