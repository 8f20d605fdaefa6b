"""Members of catalogues that stand in a test only."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from pipeline.common import catalogue

Add = Callable[[str, str, str], None]


@pytest.fixture
def add_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Puts a file with the given text into a catalogue, as it would stand in its folder."""
    added: dict[tuple[str, str], Path] = {}
    names, source = catalogue.names, catalogue.source

    def add(folder: str, name: str, text: str) -> None:
        package = import_module(f"pipeline.{folder.replace('/', '.')}")
        added[folder, name] = tmp_path / f"{name}.py"
        added[folder, name].write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])

    def all_names(folder: str) -> list[str]:
        return sorted([*names(folder), *(name for where, name in added if where == folder)])

    monkeypatch.setattr(catalogue, "names", all_names)
    monkeypatch.setattr(catalogue, "source", lambda *member: added.get(member) or source(*member))
    yield add
    catalogue._tree.cache_clear()
    for folder, name in added:
        sys.modules.pop(f"pipeline.{folder.replace('/', '.')}.{name}", None)
