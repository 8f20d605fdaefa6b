"""What docs/layouts/chest.md tells people to paste is valid, and reads the published layout."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.common import catalogue
from pipeline.common.config import parse

PROJECT = Path(__file__).parents[3]
PAGE = (PROJECT / "docs" / "layouts" / "chest.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: next(iter(block["datasets"])))
def test_a_block_can_be_pasted(tmp_path: Path, block: dict[str, Any]) -> None:
    raw = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    (dataset,) = parse(raw | block | {"phantoms": {"seed": 0, "tasks": {}}}).datasets.values()
    assert dataset.root.startswith("data/raw/")
    for choice in dataset.adapters:
        place = tmp_path / choice.get("root", ".")
        place.mkdir(parents=True, exist_ok=True)
        importlib.import_module(f"tests.data.adapters.trees.{choice['name']}").build(place)
        samples = catalogue.make("data/adapters", choice)(place)
        told = [
            word for words in (dataset.protocol.known, dataset.protocol.held_out) for word in words.values()
        ]
        assert {sample.source for sample in samples} <= {word for words in told for word in words}


def test_the_page_has_a_block_and_a_line_of_proof_for_each_adapter() -> None:
    told = {
        choice["name"]
        for block in BLOCKS
        for data in block["datasets"].values()
        for choice in data["adapters"]
    }
    assert told == set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE))
    assert told == set(re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE))
