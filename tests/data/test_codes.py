"""Every code that the package uses is explained once, and the document is what the code says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.common import catalogue
from pipeline.data import protocol
from pipeline.data.codes import CODES, document

PROJECT = Path(__file__).parents[2]
CODE = re.compile(r"\b[EPW]_[A-Z][A-Z_]*\b")


def used(path: Path) -> Iterator[str]:
    """Codes in the strings of a module, docstrings and comments aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
            yield from CODE.findall(node.value)


def test_what_is_used_is_explained_and_what_is_explained_is_used() -> None:
    modules = [path for path in (PROJECT / "pipeline").rglob("*.py") if path.name != "codes.py"]
    found = {code: path.name for path in modules for code in used(path)}
    assert {code: path for code, path in found.items() if code not in CODES} == {}
    assert set(CODES) - set(found) == set()


def test_the_document_is_up_to_date() -> None:
    text = (PROJECT / "docs" / "codes.md").read_text(encoding="utf-8")
    assert text == document(), "run python -m pipeline.data.codes > docs/codes.md"


@pytest.mark.parametrize("kind", "EPW")
def test_codes_are_in_order(kind: str) -> None:
    names = [name for name in CODES if name.startswith(kind)]
    assert names == sorted(names)
    assert f"## {kind}_" in document()
    assert all(f"| `{name}` | " in document() for name in names)


def test_codes_in_docstrings_and_documents_exist() -> None:
    texts = [*(PROJECT / "pipeline").rglob("*.py"), *(PROJECT / "docs").rglob("*.md"), PROJECT / "README.md"]
    told = {code for path in texts for code in CODE.findall(path.read_text(encoding="utf-8"))}
    assert told - set(CODES) == set()


def test_formats_tell_every_setting_of_every_adapter_and_every_key_that_is_stored() -> None:
    text = (PROJECT / "docs" / "formats.md").read_text(encoding="utf-8")
    layouts = sorted((PROJECT / "docs" / "layouts").glob("*.md"))
    pages = "\n## ".join([text, *(path.read_text(encoding="utf-8") for path in layouts)])
    for name in catalogue.names("data/adapters"):
        section = pages.split(f"### {name}\n")[1].split("\n## ")[0].split("\n### ")[0]
        settings = catalogue.settings_model("data/adapters", name).model_fields
        assert [setting for setting in settings if f"`{setting}`" not in section] == []
    keys = protocol.build({"known": {}, "held_out": {}, "excluded": [], "threshold": {}}, "subject")
    told = text.split("### Protocol")[1].split("\n## ")[0]
    assert [key for key in keys if f"`{key}`" not in told] == []
