"""What every adapter must do, found through the catalogue."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data.manifest import listed, listing_problems
from tests.data.adapters.trees import codes, cvrl, cyborg, picture, reflacx


def images(root: Path) -> Path:
    picture(root / "99001.png")
    return root


GOOD: dict[str, tuple[Any, dict[str, Any]]] = {  # adapter -> (its tree, its settings)
    "cvrl_iris": (cvrl, {}),
    "cyborg": (cyborg, {}),
    "reflacx": (reflacx, {}),
    "image_table": (
        images,
        {
            "collection": "inv",
            "modality": "face",
            "glob": "*.png",
            "labels": {"a": 1},
            "constants": {"label": "a", "source": "b"},
        },
    ),
}


@pytest.mark.parametrize("name", catalogue.names("data/adapters"))
def test_settings_are_valid_and_rows_keep_the_rules(tmp_path: Path, name: str) -> None:
    tree, settings = GOOD[name]
    samples = catalogue.make("data/adapters", {"name": name, **settings})(tree(tmp_path))
    assert samples
    rows = [listed(replace(sample, adapter=name), tmp_path) for sample in samples]
    assert listing_problems(rows, [s.where for s in samples]) == []
    for sample in samples:
        assert sample.image_path.is_file()
        assert sample.where
        assert sample.annotators is None or sample.annotations


@pytest.mark.parametrize("name", catalogue.names("data/adapters"))
def test_two_readings_are_equal_in_order(tmp_path: Path, name: str) -> None:
    tree, settings = GOOD[name]
    tree(tmp_path)
    read = catalogue.get("data/adapters", name)
    assert [s.native_id for s in read(tmp_path, **settings)] == [
        s.native_id for s in read(tmp_path, **settings)
    ]


@pytest.mark.parametrize("name", catalogue.names("data/adapters"))
@pytest.mark.parametrize("made", [True, False])
def test_missing_and_empty_roots_say_what_belongs_there(tmp_path: Path, name: str, made: bool) -> None:
    root = tmp_path / "data"
    if made:
        root.mkdir()
    with pytest.raises(UserError, match=r"expected .* in this folder") as caught:
        catalogue.get("data/adapters", name)(root, **GOOD[name][1])
    assert codes(caught.value) == {"E_LAYOUT"}
