"""Track: bring MLflow up to date with the records; the last stage, and the only one that always runs.

Reads runs/, evaluate/, identify/, robustness/ and data/prepared/; writes to `track.uri`, which
MLFLOW_TRACKING_URI overrides. See pipeline/tracking/sync.py for what a run holds.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.cli import run_stage
from pipeline.common.config import Params
from pipeline.common.paths import ARRAYS, CELLS, PREPARED
from pipeline.grid.cells import Cell
from pipeline.tracking.mlflow_store import tracking_uri, without_password
from pipeline.tracking.sync import sync

if TYPE_CHECKING:
    from pipeline.data.store import Store

IN_PICTURE = 6  # samples of a cell's gallery


def track(params: Params) -> None:
    """Bring what MLflow does not have yet, and say how much that was."""
    counts = sync(params, draw=draw_gallery)
    where = without_password(tracking_uri(params))
    print(f"mlflow: {counts.added} runs added, {counts.completed} completed, {counts.kept} kept in {where}")


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
