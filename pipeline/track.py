"""Track: bring MLflow up to date with the records; the last stage, and the only one that always runs.

Reads runs/, evaluate/, identify/, robustness/ and data/prepared/; writes to `track.uri`, which
MLFLOW_TRACKING_URI overrides. See pipeline/tracking/sync.py for what a run holds. Its last words are those of
a whole run: what was found, and where to look.
"""

import os
import sys
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.cli import run_stage
from pipeline.common.config import Params
from pipeline.common.paths import ANSWER, ARRAYS, CELLS, PAGE, PREPARED, REPORTS
from pipeline.grid.cells import Cell, cells
from pipeline.tracking import packaging
from pipeline.tracking.address import tracking_uri, without_password
from pipeline.tracking.sync import Looks, best_models, runs_page, sync

if TYPE_CHECKING:
    from pipeline.data.store import Store

IN_PICTURE = 6  # samples of a cell's gallery
SERVER = "http://127.0.0.1:5000"  # where `mlflow ui` answers


def track(params: Params) -> None:
    """Bring what MLflow does not have yet, and say how much that was."""
    counts = sync(params, looks=Looks(draw_gallery, partial(verdict, params)))
    where = without_password(tracking_uri(params))
    print(f"mlflow: {counts.added} runs added, {counts.completed} completed, {counts.kept} kept in {where}")
    print(f"models: {packaging.about([cell for name in params.datasets for cell in cells(params, name)])}")
    print(f"best by validation: {'; '.join(best_models(params)) or 'none yet'}")
    print("\n".join(last_words(params, where)))


def verdict(params: Params, dataset: str, method: str) -> str:
    """The sentence of the report that says what was found of a method on a data set; blank without one."""
    if not (REPORTS / ANSWER).is_file():
        return ""
    _, *sentences = (REPORTS / ANSWER).read_text(encoding="utf-8").splitlines()
    about = f"{params.datasets[dataset].title}: "
    return next((each for each in sentences if each.startswith(about) and method in each), "")


def last_words(params: Params, where: str) -> list[str]:
    """What was found in a sentence, the page, and how to see the runs that MLflow keeps `where`."""
    lines = []
    if (REPORTS / ANSWER).is_file():
        (answer, *_) = (REPORTS / ANSWER).read_text(encoding="utf-8").splitlines()
        lines = [f"Answer:   {answer}", f"Read:     {REPORTS / PAGE}"]
    page = runs_page(params)
    if where.startswith("http"):
        return [*lines, f"All runs: {where}/{page}"]
    mlflow = os.path.relpath(Path(sys.executable).parent / "mlflow")
    show = f"{mlflow} ui --backend-store-uri {where} --host 127.0.0.1"
    return [*lines, f"All runs: {show}, then {SERVER}/{page}"]


def draw_gallery(cell: Cell, path: Path) -> None:
    """Write the CAM gallery of one evaluated cell as PNG."""
    from pipeline.present import gallery  # only when there is something to draw: an idle `track` is quick

    store = _prepared(cell.dataset)
    maps = gallery.read_maps(cell.folder(CELLS["evaluate"]) / f"{ARRAYS['evaluate']}.npz")
    chosen = gallery.choose(store, maps.rows, IN_PICTURE)
    sheet = gallery.gallery(store, {cell.method: maps}, chosen, side=64)
    title = f"PHANTOM: {store.info['title']}" if store.info["phantom"] else store.info["title"]
    gallery.save(sheet, f"{title}, {cell.name}", path)


@cache
def _prepared(dataset: str) -> "Store":
    from pipeline.data.store import open_store

    return open_store(PREPARED / dataset)


if __name__ == "__main__":
    run_stage("track", __doc__)
