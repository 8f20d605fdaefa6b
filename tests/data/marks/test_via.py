"""VGG Image Annotator: project, JSON and CSV say the same; round shapes."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.marks.exports import (
    drawn,
    marked,
    rectangle,
    save,
)


def via_images(*shapes: dict[str, Any]) -> dict[str, Any]:
    regions = [{"shape_attributes": shape, "region_attributes": {"finding": "x"}} for shape in shapes]
    return {"a.png123": {"filename": "a.png", "size": 123, "regions": regions, "file_attributes": {}}}


RECT = {"name": "rect", "x": 5, "y": 2, "width": 4, "height": 6}


def test_via_project_export_and_csv_say_the_same(tmp_path: Path) -> None:
    project = {
        "_via_settings": {},
        "_via_img_metadata": via_images(RECT),
        "_via_data_format_version": "2.0.10",
    }
    save(tmp_path / "project.json", project)
    save(tmp_path / "export.json", via_images(RECT))
    head = (
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    )
    shape = json.dumps(RECT).replace('"', '""')
    row = f'a.png,123,"{{}}",1,0,"{shape}","{{""finding"":""x""}}"'
    save(tmp_path / "export.csv", f'{head}\n{row}\nb.png,5,"{{}}",0,0,"{{}}","{{}}"\n')
    for name in ("project.json", "export.json", "export.csv"):
        samples = marked(tmp_path, {"kind": "via", "file": name, "keep": ["x"]})
        assert np.array_equal(drawn(samples["a.png"]), rectangle(5, 2, 9, 8)), name
    assert len(samples["b.png"].annotations) == 1  # looked at, nothing marked


def test_via_round_shapes(tmp_path: Path) -> None:
    ellipse = {"name": "ellipse", "cx": 10, "cy": 5, "rx": 4, "ry": 2, "theta": np.pi / 2}
    polygon = {"name": "polygon", "all_points_x": [5, 8, 8, 5], "all_points_y": [2, 2, 7, 7]}
    save(tmp_path / "via.json", via_images(ellipse))
    human_map = drawn(marked(tmp_path, {"kind": "via", "file": "via.json"})["a.png"])
    assert human_map[1:9, 10].all()
    assert human_map[5, :7].sum() == 0
    save(tmp_path / "via.json", via_images(polygon))
    assert np.array_equal(
        drawn(marked(tmp_path, {"kind": "via", "file": "via.json"})["a.png"]), rectangle(5, 2, 9, 8)
    )
