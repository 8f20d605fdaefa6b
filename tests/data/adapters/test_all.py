"""What every adapter must do, found through the catalogue."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data.manifest import WORDS, listed_row, listing_problems
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
            "name": "inv",
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
    assert catalogue.problems("data/adapters", name, settings) == []
    samples = catalogue.get("data/adapters", name)(tree(tmp_path), **settings)
    assert samples
    rows = [
        listed_row(name, s, s.image_path.relative_to(tmp_path).as_posix(), "cxr_anomaly") for s in samples
    ]
    assert listing_problems(rows, [s.where for s in samples]) == []
    for sample in samples:
        assert sample.image_path.is_file()
        assert sample.where
        assert sample.ann_kind in WORDS["ann_kind"]
        assert bool(sample.annotations) == (sample.ann_kind != "none")


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
