"""What the documents promise: links that lead somewhere, Python that runs, a README of ten minutes."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
DOCUMENTS = [*PROJECT.glob("*.md"), *sorted((PROJECT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
LINES = 130


def prose(path: Path) -> str:
    """A document without its blocks of code."""
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """What a link may name after `#`: headings, as GitHub and MkDocs write them, and marked places."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    slugs = {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", each.lower()).strip()) for each in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', prose(path)))


def broken_links(path: Path) -> Iterator[str]:
    """Relative links of a document that lead to no file, or to no place in it."""
    for link in LINK.findall(prose(path)):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            yield f"{path.relative_to(PROJECT)}: {link}"


def test_links_lead_somewhere() -> None:
    assert [link for path in DOCUMENTS for link in broken_links(path)] == []


def test_a_link_to_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PROJECT", tmp_path)
    (tmp_path / "b.md").write_text("# Two words!\n\n```\n[c](none.md)\n```\n")
    (tmp_path / "a.md").write_text("[a](b.md#two-words) [b](b.md#three) [c](c.md) [d](https://x.org)\n")
    assert list(broken_links(tmp_path / "a.md")) == ["a.md: b.md#three", "a.md: c.md"]
    assert list(broken_links(tmp_path / "b.md")) == []


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r": (\S+\.md)$", (PROJECT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {str(path.relative_to(PROJECT / "docs")) for path in (PROJECT / "docs").rglob("*.md")}


def test_the_readme_takes_ten_minutes() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES
    assert text.count("<!-- results -->\n") == text.count("<!-- end of results -->\n") == 1  # `make readme`


def test_the_citation_names_this_version() -> None:
    cited = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {key: cited[key] for key in ("version", "license")} == {
        key: project[key] for key in ("version", "license")
    }
