"""The blocks that the pages on published data sets tell people to paste are valid settings."""

import re
from pathlib import Path

import pytest
import yaml

from pipeline.common.config import parse

ROOT = Path(__file__).parents[1]
PAGES = ("iris", "face")
BLOCKS = [
    pytest.param(block, id=f"{page}-{next(iter(yaml.safe_load(block)['datasets']))}")
    for page in PAGES
    for block in re.findall(
        r"```yaml\n(.*?)```",
        (ROOT / "docs" / "layouts" / f"{page}.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_valid_in_params(block: str) -> None:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["phantoms"]["tasks"] = {}
    raw["datasets"] = yaml.safe_load(block)["datasets"]
    raw["robustness"]["attacks"] = {}
    (dataset,) = parse(raw).datasets.values()
    assert dataset.adapters


def test_every_adapter_of_the_pages_has_a_block() -> None:
    named = {
        adapter["name"]
        for block in BLOCKS
        for dataset in yaml.safe_load(block.values[0])["datasets"].values()
        for adapter in dataset["adapters"]
    }
    assert named == {
        *("cvrl_iris", "viser", "livdet_iris", "image_table"),
        *("cyborg", "faces_140k", "faceforensics", "oulu_npu", "replay_attack"),
    }
