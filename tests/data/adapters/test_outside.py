"""No list leads out of the folder of its data set, whichever of its words is changed, by any adapter."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data import intake
from tests.data.adapters.test_every_adapter import EVERY, build

LISTS = (".csv", ".txt", ".json", ".jsonl", ".xml", ".tsv")
CELL = re.compile(r"""[^,;\t\r\n"<>{}\[\]]*[^\s,;\d.:"<>{}\[\]-][^,;\t\r\n"<>{}\[\]]*""")  # with a letter
WAYS = ("../secret/", "{beside}/secret/", "../../secret/main_data/")
WATCHED: list[list[str]] = []  # where the names of opened files go, while a test watches
sys.addaudithook(
    lambda event, given: [each.append(str(given[0])) for each in WATCHED] if event == "open" else None
)


def escaping(root: Path) -> Iterator[str]:
    """Lists of the tree with one of their words at a time that leads to a copy of the tree beside it."""
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in LISTS):
        whole = path.read_bytes().decode("utf-8")
        first = {cell[0]: cell for cell in reversed(list(CELL.finditer(whole)))}
        for word, cell in first.items():
            for way in (way.format(beside=root.parent) for way in WAYS):
                path.write_bytes((whole[: cell.start()] + way + word + whole[cell.end() :]).encode())
                yield f"{path.name}: {way}{word}"
        path.write_bytes(whole.encode())


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The names of the files that this process opens."""
    WATCHED.append([])
    yield WATCHED[0]
    WATCHED.clear()


@EVERY
def test_no_list_leads_out_of_the_root(tmp_path: Path, name: str, opened: list[str]) -> None:
    root, secret = tmp_path / "data", tmp_path / "secret"
    settings = build(root, name)
    shutil.copytree(root, secret)
    read = catalogue.make("data/adapters", {"name": name, **settings})
    for change in escaping(root):
        opened.clear()
        try:
            samples = read(root)
        except UserError:
            samples = []
        assert not any(Path(path).resolve().is_relative_to(secret) for path in opened), change
        for sample in samples:
            assert all(file.resolve().is_relative_to(root) for file in intake._name_files(sample)), change
