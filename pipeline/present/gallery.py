"""Pictures of samples: what an image shows, what people marked, and what networks looked at."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from pipeline.data.protocol import sources
from pipeline.data.store import Store, label_names
from pipeline.present.pictures import (
    CAUSAL,
    HUMAN,
    SHORTCUT,
    blank,
    grey_or_colour,
    mosaic,
    outlined,
    resize,
    signed,
    unsigned,
)

HALF = 127.5  # a map counts as marked above half of its range


class Maps(NamedTuple):
    """`gallery.npz` of one evaluated cell."""

    rows: np.ndarray  # int64 (M,), of the store
    cams: np.ndarray  # float32 (M, 2, h, w)
    differences: np.ndarray  # float32 (M,): logit differences


class Sheet(NamedTuple):
    """A mosaic with the names of its columns and rows, at px positions."""

    picture: np.ndarray
    columns: list[tuple[float, str, str]]
    rows: list[tuple[float, str]]


def read_maps(path: Path) -> Maps:
    """Load `gallery.npz`."""
    with np.load(path, allow_pickle=False) as file:
        return Maps(file["index"], file["cams"], file["logit_difference"])


def choose(store: Store, gallery_rows: np.ndarray, count: int) -> list[int]:
    """Positions in `gallery_rows` of up to `count` test images: known and held out, both labels, in turn.

    The order within a group is the gallery's own, which does not depend on any score.
    """
    held_out = sources(store.protocol, "held_out")
    rows = store.manifest.iloc[gallery_rows].reset_index(drop=True)
    rows = rows[rows["split"] == "test"]
    groups = rows.groupby([rows["source"].isin(held_out), -rows["label"].astype(int)], sort=True)
    queues = [list(group.index) for _, group in groups]
    taken: list[int] = []
    while len(taken) < count and any(queues):
        for queue in queues:
            if queue and len(taken) < count:
                taken.append(queue.pop(0))
    return sorted(taken, key=lambda place: (rows.loc[place, "source"] in held_out, place))


def gallery(store: Store, cells: dict[str, Maps], chosen: Sequence[int], side: int = 88) -> Sheet:
    """Rows: samples. Columns: image, human map, truth, then true CAM, false CAM and difference per method.

    CAMs run over their own range; the difference salience is signed, its limits symmetric about 0.
    """
    first = next(iter(cells.values()))
    rows, names = [], []
    for place in chosen:
        row = int(first.rows[place])
        sample = store.manifest.iloc[row]
        label = int(sample["label"])
        tiles = [*_references(store, row, side)]
        for maps in cells.values():
            true, false = maps.cams[place, label], maps.cams[place, 1 - label]
            tiles += [unsigned(resize(cam, side)) for cam in (true, false)]
            tiles.append(signed(resize(true - false, side)))
        rows.append(tiles)
        names.append(f"{sample['class_name']}\n{sample['source']}")
    heads = [("image", ""), ("human map", ""), *([("truth", "")] if store.info["phantom"] else [])]
    for method in cells:
        heads += [("true CAM", ""), ("false CAM", method), ("difference", "")]
    return named(rows, heads, names, side)


def _references(store: Store, row: int, side: int) -> Iterable[np.ndarray]:
    picture = grey_or_colour(store.images[row], side)
    yield picture
    human = store.maps[row]
    yield unsigned(resize(human, side)) if human.any() else blank(side)
    if store.info["phantom"]:
        yield _outlines(picture, side, _truths(store, row))


def _truths(store: Store, row: int) -> list[tuple[np.ndarray, tuple[int, int, int]]]:
    """A phantom's masks with their colours; none of real data."""
    known = ((store.truth("causal"), CAUSAL), (store.truth("shortcut"), SHORTCUT))
    return [(masks[row], colour) for masks, colour in known if masks is not None]


def _outlines(
    picture: np.ndarray, side: int, masks: Iterable[tuple[np.ndarray, tuple[int, int, int]]]
) -> np.ndarray:
    for mask, colour in masks:
        picture = outlined(picture, resize(mask, side) > HALF, colour, width=2)
    return picture


def named(
    rows: list[list[np.ndarray]], heads: list[tuple[str, str]], names: list[str], side: int, gap: int = 4
) -> Sheet:
    """Tiles of one size in rows, with a name per row and per column (its own, and one of a group above)."""
    centres = [place * (side + gap) + side / 2 for place in range(max(len(heads), len(rows)))]
    columns = [(centres[place], text, "normal") for place, (text, _) in enumerate(heads)]
    columns += [(centres[place], above, "bold") for place, (_, above) in enumerate(heads) if above]
    return Sheet(mosaic(rows, gap), columns, [(centres[place], name) for place, name in enumerate(names)])


def contact_sheet(store: Store, per_row: int = 8, side: int = 112) -> Sheet:
    """Images of each source and label, evenly picked over classes, with human map and truth as outlines."""
    manifest = store.manifest
    unseen = manifest.groupby("source")["split"].agg(lambda splits: set(splits) == {"test"})
    ordered = manifest.assign(unseen=manifest["source"].map(unseen)).sort_values("class_name", kind="stable")
    rows, names, labels = [], [], label_names(store)
    for (late, source, label), group in ordered.groupby(["unseen", "source", "label"]):
        places = np.linspace(0, len(group) - 1, min(per_row, len(group))).round().astype(int)
        rows.append([marked(store, int(row), side) for row in np.asarray(group.index)[places]])
        name = labels[int(str(label))]
        classes = [kind for kind in dict.fromkeys(group["class_name"]) if kind not in (source, name)]
        role = f"{'held out' if late else 'known'}, {name}"
        names.append("\n".join([str(source), role, *classes, f"{len(group)} images"]))
    return named(rows, [], names, side)


def marked(store: Store, row: int, side: int) -> np.ndarray:
    """One image as RGB (side, side, 3) with outlines of what people marked and, on phantoms, of the truth."""
    masks = [(store.maps[row], HUMAN), *_truths(store, row)]
    return _outlines(grey_or_colour(store.images[row], side), side, masks)


def exemplars(
    store: Store, cells: dict[str, tuple[pd.DataFrame, pd.DataFrame]], predicted: int, side: int = 96
) -> Sheet:
    """Rows: methods. Columns: exemplar regions of each concept of the class `predicted`.

    `cells` holds (concepts.csv, exemplars.csv) of one cell per method; concepts come by importance.
    """
    rows_of = {sample_id: row for row, sample_id in enumerate(store.manifest["sample_id"])}
    rows = []
    for concepts, regions in cells.values():
        mine = concepts[concepts["predicted"] == predicted].sort_values(
            ["importance", "concept"], ascending=[False, True], kind="stable"
        )
        tiles = []
        for concept in mine["concept"].head(4):
            chosen = regions[(regions["predicted"] == predicted) & (regions["concept"] == concept)]
            shown = [_boxed(store, rows_of[r.sample_id], r, side) for r in chosen.head(3).itertuples()]
            tiles += shown + [blank(side)] * (3 - len(shown))
        rows.append(tiles or [blank(side)])
    widest = max(map(len, rows)) // 3
    heads = [
        ("", f"concept {place + 1}" if part == 1 else "") for place in range(widest) for part in range(3)
    ]
    return named(rows, heads, list(cells), side)


def save(sheet: Sheet, title: str, path: Path) -> None:
    """Write a sheet as a plain PNG under its title, with its names; quicker than a figure."""
    tall, wide = sheet.picture.shape[:2]
    font = ImageFont.load_default(10)
    lines = [line for _, text in sheet.rows for line in text.splitlines()]
    left, above = int(max(map(font.getlength, lines), default=-8)) + 8, 48
    canvas = Image.new("RGB", (left + wide, above + tall), "white")
    canvas.paste(Image.fromarray(sheet.picture), (left, above))
    pen = ImageDraw.Draw(canvas)
    pen.text((2, 14), title, fill="black", font=font, anchor="lb")
    for x, text, weight in sheet.columns:
        place = (left + x, 31 if weight == "bold" else 45)
        pen.text(place, text, fill="black", font=font, anchor="md", align="center")
    for y, text in sheet.rows:
        pen.text((left - 6, above + y), text, fill="black", font=font, anchor="rm", align="right")
    canvas.save(path, format="PNG")


def _boxed(store: Store, row: int, region: Any, side: int) -> np.ndarray:
    """A sample with the box of one region; x, y (left, top), width and height are shares of the side."""
    x, y, width, height = (
        (np.array([region.x, region.y, region.width, region.height]) * side).round().astype(int)
    )
    mask = np.zeros((side, side), bool)
    mask[y : y + max(height, 3), x : x + max(width, 3)] = True
    return outlined(grey_or_colour(store.images[row], side), mask, HUMAN, width=2)
