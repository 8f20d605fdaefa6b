"""What the page's image browser shows: images of the first draw, and what every method looks at in them.

Pictures are embedded as JPEG, maps as the bytes of their grid, from which the page draws them: each CAM over
its own range, CAM of label 1 minus CAM of label 0 on one scale per method, so that a weak one looks weak.
"""

import base64
import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pipeline.common.paths import ARRAYS, CELLS
from pipeline.data.store import Store, label_names
from pipeline.grid import records
from pipeline.grid.cells import Cell
from pipeline.present import gallery, pictures
from pipeline.present.results import Grid, first_cells

SIDE, QUALITY = 176, 80  # px and JPEG quality of a picture
TILE = 96  # px of the picture in a method's line
TINY = 1e-12  # spread of a flat map


class Album(NamedTuple):
    """Some images of a data set, and their maps by one cell per method of its first backbone."""

    store: Store
    cells: dict[str, Cell]
    maps: dict[str, gallery.Maps]
    chosen: list[int]  # places of test images in `maps`


def album(dataset: str, store: Store, grid: Grid) -> Album | None:
    """The images of a data set that evaluation kept maps of; None if no cell has been evaluated."""
    cells = first_cells(grid, dataset, "evaluate", controls=True)
    backbones = [cell.backbone for cell in cells.values()]
    cells = {method: cell for method, cell in cells.items() if cell.backbone == backbones[0]}
    if not cells:
        return None
    file = f"{ARRAYS['evaluate']}.npz"
    maps = {
        method: gallery.read_maps(cell.folder(CELLS["evaluate"]) / file) for method, cell in cells.items()
    }
    rows = next(iter(maps.values())).rows
    return Album(store, cells, maps, gallery.choose(store, rows, len(rows)))


def tiles(found: Album) -> dict[str, Any]:
    """One image for the first screen: `marked`, with what people marked, and by method what it looks at.

    Of test images of label 1 the first that people marked, else the first of all.
    """
    store, first = found.store, next(iter(found.maps.values()))
    rows = [int(first.rows[place]) for place in found.chosen]
    wanted = [i for i, row in enumerate(rows) if store.labels[row] == 1 and store.maps[row].any()]
    index = (wanted or [0])[0]
    place, row = found.chosen[index], rows[index]
    picture = pictures.grey_or_colour(store.images[row], TILE)
    label = int(store.labels[row])
    looks = {
        method: _embedded(pictures.overlay(picture, pictures.resize(_difference(maps, place, label), TILE)))
        for method, maps in found.maps.items()
    }
    return {
        "marked": _embedded(gallery.marked(store, row, SIDE)),
        "about": _about(store, row),
        "looks": looks,
        "seed": next(iter(found.cells.values())).seed,
    }


def content(dataset: str, found: Album) -> dict[str, Any]:
    """What the browser is given, as JSON: images, and by method its maps, logit differences and threshold."""
    return {
        "name": dataset,
        "labels": label_names(found.store),
        "images": [_image(found.store, int(_rows(found)[place])) for place in found.chosen],
        "methods": [_method(name, cell, found) for name, cell in found.cells.items()],
    }


def _rows(found: Album) -> np.ndarray:
    return next(iter(found.maps.values())).rows


def _image(store: Store, row: int) -> dict[str, Any]:
    return {
        "id": store.manifest.at[row, "sample_id"],
        "about": _about(store, row),
        "label": int(store.labels[row]),
        "picture": _embedded(pictures.grey_or_colour(store.images[row], SIDE)),
        "marked": _embedded(gallery.marked(store, row, SIDE)),
    }


def _about(store: Store, row: int) -> str:
    """What an image shows and where it is from, in a word where these are the same."""
    sample = store.manifest.iloc[row]
    return ", ".join(dict.fromkeys([sample["class_name"], sample["source"]])).replace("_", " ")


def _method(name: str, cell: Cell, found: Album) -> dict[str, Any]:
    maps = found.maps[name]
    cams = maps.cams[found.chosen]
    difference = cams[:, 1] - cams[:, 0]
    low, high = (limit(cams, axis=(2, 3), keepdims=True) for limit in (np.min, np.max))
    record = records.read(cell.folder(CELLS["evaluate"])) or {"results": {}}
    return {
        "name": name,
        "grid": list(cams.shape[2:]),
        "cams": _text((255 * (cams - low) / np.maximum(high - low, TINY)).astype(np.uint8)),
        "difference": _text((127 * difference / max(np.abs(difference).max(), TINY)).astype(np.int8)),
        "logits": [round(float(value), 3) for value in maps.differences[found.chosen]],
        "threshold": record["results"].get("threshold"),
    }


def _difference(maps: gallery.Maps, place: int, label: int) -> np.ndarray:
    difference: np.ndarray = maps.cams[place, label] - maps.cams[place, 1 - label]
    return difference


def _embedded(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
