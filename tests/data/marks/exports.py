"""Files as annotation tools write them, of invented images; what is a tool's own is named as such."""

from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.data.adapters.image_table import read
from pipeline.data.samples import Sample
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
