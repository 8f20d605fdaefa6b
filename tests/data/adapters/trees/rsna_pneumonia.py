"""The RSNA challenge of 2018: `patientId` is an image, the mapping leads to NIH's patients."""

import json
from pathlib import Path
from typing import Any

from tests.data.adapters.trees import film, text

MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"


def build(root: Path) -> dict[str, Any]:
    """An opacity with two boxes, a normal film, and one that is neither."""
    for number in (1, 2, 3):
        film(root / "stage_2_train_images" / f"inv-000{number}.dcm", number)
    text(
        root / "stage_2_train_labels.csv",
        [
            "patientId,x,y,width,height,Target",
            "inv-0001,2.0,4.0,6.0,8.0,1",
            "inv-0001,12.0,4.0,6.0,8.0,1",
            "inv-0002,,,,,0",
            "inv-0003,,,,,0",
        ],
    )
    text(
        root / "stage_2_detailed_class_info.csv",
        [
            "patientId,class",
            "inv-0001,Lung Opacity",
            "inv-0001,Lung Opacity",
            "inv-0002,Normal",
            "inv-0003,No Lung Opacity / Not Normal",
        ],
    )
    entries = [
        {"img_id": f"9900000{patient}_000.png", "subset_img_id": f"inv-000{number}", "SOPInstanceUID": "2.25"}
        for number, patient in ((1, 1), (2, 2), (3, 2))
    ]
    (root / MAPPING).write_text(json.dumps(entries))
    return {"mapping": MAPPING}
