"""What every adapter must do, found through the catalogue."""

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data import intake
from pipeline.data.manifest import listed, listing_problems
from tests.data.adapters.trees import codes, cvrl, cyborg, picture, reflacx

LISTS = (".csv", ".txt", ".json", ".jsonl", ".xml", ".tsv")
CELL = re.compile(r"""[^,;\t\r\n"<>{}\[\]]+""")
WATCHED: list[list[str]] = []  # where the names of opened files go, while a test watches
sys.addaudithook(
    lambda event, given: [each.append(str(given[0])) for each in WATCHED] if event == "open" else None
)


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


def escaping(root: Path) -> Iterator[str]:
    """Lists of the tree with one value at a time that leads to a copy of the tree beside it."""
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in LISTS):
        whole = path.read_bytes().decode()
        for cell in CELL.finditer(whole):
            for way in ("../secret/", f"{root.parent}/secret/", "../../secret/main_data/"):
                path.write_bytes((whole[: cell.start()] + way + cell[0] + whole[cell.end() :]).encode())
                yield f"{path.name}: {way}{cell[0]}"
        path.write_bytes(whole.encode())


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The names of the files that this process opens."""
    WATCHED.append([])
    yield WATCHED[0]
    WATCHED.clear()


@pytest.mark.parametrize("name", catalogue.names("data/adapters"))
def test_no_list_leads_out_of_the_root(tmp_path: Path, name: str, opened: list[str]) -> None:
    tree, settings = GOOD[name]
    root, secret = tree(tmp_path / "data"), tmp_path / "secret"
    shutil.copytree(tmp_path / "data", secret)
    read = catalogue.get("data/adapters", name)
    for change in escaping(root):
        opened.clear()
        try:
            samples = read(root, **settings)
        except UserError:
            samples = []
        assert not any(Path(path).resolve().is_relative_to(secret) for path in opened), change
        for sample in samples:
            assert all(file.resolve().is_relative_to(root) for file in intake._name_files(sample)), change
