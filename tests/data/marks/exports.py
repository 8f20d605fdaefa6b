"""Files as annotation tools write them, of invented images, and what is made of them.

What is a tool's own is named as such.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.data import annotations
from pipeline.data.adapters.image_table import read
from pipeline.data.samples import Runs, Sample
from tests.data.adapters.trees import picture

SIZE = (20, 10)  # width and height of the invented images
# Written by `encode_rle` of label-studio-sdk 2.1.2 (Apache-2.0) for STUDIO_MASK, as RGBA bytes.
STUDIO_BRUSH = [0, 0, 0, 96, 57, 27, 252, 127, 248, 108, 2, 223, 253, 176, 11, 127, 248, 108, 0]
STUDIO_MASK = [[1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]]
# The first result of tests/data/test_export_yolo/data_obb.json in HumanSignal/label-studio-converter (GitHub,
# Apache-2.0): a rectangle that a person turned, exported by Label Studio.
STUDIO_RECTANGLE: dict[str, Any] = {
    "original_width": 597,
    "original_height": 768,
    "image_rotation": 0,
    "value": {
        "x": 10.537066764905694,
        "y": 79.55767690059092,
        "width": 19.045470024656689,
        "height": 8.132522043893883,
        "rotation": 328.33240366032836,
        "rectanglelabels": ["Butterfly"],
    },
    "id": "veUGPaahTw",
    "from_name": "label",
    "to_name": "image",
    "type": "rectanglelabels",
    "origin": "manual",
}


def marked(
    root: Path, maps: dict[str, Any], names: tuple[str, ...] = ("a.png", "b.png")
) -> dict[str, Sample]:
    """The samples of invented images below `root`, by file name, with the maps that the setting tells of."""
    for seed, name in enumerate(names):
        if not (root / "images" / name).is_file():
            picture(root / "images" / name, SIZE, seed)
    samples = read(
        root,
        collection="inv",
        modality="cxr",
        glob="images/*",
        labels={"x": 1},
        constants={"label": "x", "source": "here"},
        maps=maps,
    )
    return {sample.image_path.name: sample for sample in samples}


def studio(
    *annotations: list[dict[str, Any]], image: str = "/data/local-files/?d=images/a.png"
) -> dict[str, Any]:
    """A task of Label Studio's JSON export with the results of one person after the other."""
    people = [
        {"id": 100 + n, "completed_by": n, "was_cancelled": False, "result": results}
        for n, results in enumerate(annotations)
    ]
    return {"id": 7, "data": {"image": image}, "annotations": people, "predictions": []}


def studio_shape(
    kind: str, size: tuple[int, int] = SIZE, label: str = "finding", **value: Any
) -> dict[str, Any]:
    """One result of Label Studio."""
    name = f"{kind}labels"
    told = {"type": name, "value": {**value, name: [label]}, "from_name": "l", "to_name": "image"}
    return {**told, "original_width": size[0], "original_height": size[1], "image_rotation": 0}


def blank(path: Path, size: tuple[int, int]) -> None:
    """An image file of a size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 7).save(path)


def drawn(sample: Sample) -> np.ndarray:
    """The mean of all annotators' maps, as `prepare` draws it before the crop."""
    width, height = sample.annotation_size or SIZE
    human_map = annotations.combine(
        annotations.draw_maps(sample.annotations, width, height), granularity="map", blur=0
    )
    assert human_map is not None
    return human_map


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """1 in [x0, x1) x [y0, y1) of an image of SIZE."""
    expected = np.zeros((SIZE[1], SIZE[0]))
    expected[y0:y1, x0:x1] = 1
    return expected


def save(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def refused(root: Path, maps: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        marked(root, maps)
    return "\n".join(caught.value.problems)


def expand(runs: Runs) -> np.ndarray:
    lengths = runs.parts[0]
    marks = np.zeros(runs.width * runs.height, bool)
    found = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    marks[: len(found)] = found
    return marks.reshape((runs.height, runs.width), order=runs.order)
