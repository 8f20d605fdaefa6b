"""Track: bring MLflow up to date with the records; the last stage, and the only one that always runs.

Reads runs/, evaluate/, identify/ and data/prepared/; writes to `track.uri`, which MLFLOW_TRACKING_URI
overrides. See pipeline/grid/tracking.py for what a run holds.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.cli import run_stage
from pipeline.common.config import Params
from pipeline.tracking import sync as tracking
from pipeline.grid.cells import Cell

if TYPE_CHECKING:
    from pipeline.present.gallery import Samples

IN_PICTURE = 6  # samples of a cell's gallery


def track(params: Params) -> None:
    """Copy what MLflow does not have yet, and say how much that was."""
    counts = tracking.sync(params, draw=draw)
    where = tracking.shown(tracking.uri(params))
    print(f"mlflow: {counts.added} runs added, {counts.completed} completed, {counts.kept} kept in {where}")


def draw(cell: Cell, path: Path) -> None:
    """Write the CAM gallery of one evaluated cell as PNG."""
    from pipeline.present import gallery  # only when there is something to draw: an idle `track` is quick

    title, samples, held_out = _samples(cell.dataset)
    maps = gallery.read_maps(cell.folder(Path("evaluate")) / "gallery.npz")
    chosen = gallery.choose(samples, maps.rows, IN_PICTURE, held_out)
    sheet = gallery.gallery(samples, {cell.method: maps}, chosen, side=64)
    gallery.save(sheet, f"{title}, {cell.name}", path)


@cache
def _samples(dataset: str) -> "tuple[str, Samples, set[str]]":
    """Title, arrays and held-out sources of a prepared data set."""
    from pipeline.data.protocol import sources
    from pipeline.data.store import open_store
    from pipeline.present.gallery import Samples

    store = open_store(Path("data/prepared") / dataset)
    truths = (store.truth("causal"), store.truth("shortcut"))
    samples = Samples(store.manifest, store.images, store.maps, *truths)
    title = f"PHANTOM: {store.info['title']}" if store.info["phantom"] else store.info["title"]
    return title, samples, sources(store.protocol, "held_out")


if __name__ == "__main__":
    run_stage("track", __doc__)
