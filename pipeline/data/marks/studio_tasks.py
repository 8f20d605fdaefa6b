"""Tasks for Label Studio: pictures, where a model looks as a first suggestion, and its interface."""

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from PIL import Image

from pipeline.common.files import write_json, write_text
from pipeline.data.marks import brush
from pipeline.data.marks.label_studio import PATH

MARK = "marked"  # the one label
LABEL = f'<Label value="{MARK}" background="#d62728"/>'
CONFIG = f"""\
<View>
  <Image name="image" value="$image" zoom="true" zoomControl="true" brightnessControl="true"/>
  <BrushLabels name="brush" toName="image">{LABEL}</BrushLabels>
  <PolygonLabels name="polygon" toName="image">{LABEL}</PolygonLabels>
  <RectangleLabels name="rectangle" toName="image">{LABEL}</RectangleLabels>
  <EllipseLabels name="ellipse" toName="image">{LABEL}</EllipseLabels>
</View>
"""


class StudioSuggestion(NamedTuple):
    """One image that shall be looked at."""

    path: str  # of the image below the data set's root
    pixels: np.ndarray  # uint8 (H, W) or (H, W, 3)
    regions: np.ndarray  # bool (R, H, W): what a model looks at
    model: str
    about: dict[str, Any]  # what else the annotator may see


def write(folder: Path, suggestions: list[StudioSuggestion]) -> None:
    """Fill a folder: `tasks.json`, `config.xml`, and the pictures below `images/`."""
    tasks = []
    for each in suggestions:
        picture = Path("images", f"{each.path}.png")
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(each.pixels).save(folder / picture)
        tasks.append(_make_task(each, picture))
    write_json(folder / "tasks.json", tasks)
    write_text(folder / "config.xml", CONFIG)


def _make_task(told: StudioSuggestion, picture: Path) -> dict[str, Any]:
    height, width = told.pixels.shape[:2]
    regions = [
        {
            "id": f"region{number}",
            "type": "brushlabels",
            "from_name": "brush",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": brush.pack(region), "brushlabels": [MARK]},
        }
        for number, region in enumerate(told.regions, start=1)
    ]
    image = f"/data/local-files/?d={quote(picture.as_posix())}"
    return {
        "data": {"image": image, PATH: told.path, **told.about},
        "predictions": [{"model_version": told.model, "result": regions}],
    }
