"""Strict CSV reading against the standard writer, and the words of published lists."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.data.listing import SPLITS, Listing, read_json, read_table
from pipeline.data.problems import Finding, counted
from pipeline.data.samples import Found

CELLS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=("Cs",), max_codepoint=0x2FF), max_size=8
).map(str.strip)
ROWS = st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=6)


@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], end: str, mark: bool
) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *rows])
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_bytes((("\ufeff" if mark else "") + buffer.getvalue()).encode())
    kept = [row for row in rows if any(row)]  # rows of blanks alone are blank lines
    assert [list(row.cells.values()) for row in read_table(path, columns=["a", "c"])] == kept


def test_all_wrong_rows_are_listed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n1\n1,2,3\n")
    with pytest.raises(UserError) as caught:
        read_table(tmp_path / "t.csv")
    place = f"{tmp_path.name}/t.csv"
    assert caught.value.problems == [
        f"E_ROW_SHAPE {place} line 3: expected 2 fields, blank below a nameless column; got 1",
        f"E_ROW_SHAPE {place} line 4: expected 2 fields, blank below a nameless column; got 3",
    ]


@pytest.mark.parametrize("header", ["a,b", "a,b,", " a, b "])
def test_a_nameless_last_column_of_blanks_is_dropped(tmp_path: Path, header: str) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n1,2,\n")
    ((_, cells),) = read_table(tmp_path / "t.csv")
    assert cells == {"a": "1", "b": "2"}


@pytest.mark.parametrize("row", ["1,2,,,", "1,2", "1,2,,,,"])
def test_several_nameless_columns_may_be_absent_from_rows(tmp_path: Path, row: str) -> None:
    (tmp_path / "t.csv").write_text(f"a,b,,,\n{row}\n")
    ((_, cells),) = read_table(tmp_path / "t.csv")
    assert cells == {"a": "1", "b": "2"}


@pytest.mark.parametrize("row", ["1", "1,2,,", "1,2,,3", "1,2,3", "1,2,,,,,,"])
def test_several_nameless_columns_do_not_shift_rows(tmp_path: Path, row: str) -> None:
    (tmp_path / "t.csv").write_text(f"a,b,,,\n{row}\n")
    with pytest.raises(UserError, match="E_ROW_SHAPE"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("row", ["1,2", "1,2,3", "1,2,,,"])
def test_a_nameless_last_column_does_not_shift_rows(tmp_path: Path, row: str) -> None:
    (tmp_path / "t.csv").write_text(f"a,b,\n{row}\n")
    with pytest.raises(UserError, match="E_ROW_SHAPE"):
        read_table(tmp_path / "t.csv")


def test_a_misspelt_column_has_a_hint(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("label,path\n")
    with pytest.raises(UserError, match=r"E_HEADER .*'labels'; did you mean 'label'"):
        read_table(tmp_path / "t.csv", columns=["labels", "path"])


@pytest.mark.parametrize("word", sorted(SPLITS))
def test_words_are_known_in_any_case(tmp_path: Path, word: str) -> None:
    listing = Listing(tmp_path)
    assert listing.word(SPLITS, word.upper() + " ", "here") == SPLITS[word]
    assert listing.finish([]) == []


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    for line in (2, 5, 7):
        listing.add("W_VIEW", f"list.csv line {line}", "film in another view")
    found = listing.finish([])
    assert isinstance(found, Found)
    assert counted(found.noticed) == [
        Finding("W_VIEW", "list.csv line 2", "film in another view (the first of 3)")
    ]


@pytest.mark.parametrize(
    ("content", "code"), [(b"[" * 100_000, "E_ROW_SHAPE"), (b"{", "E_ROW_SHAPE"), (b"\xff", "E_ENCODING")]
)
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(UserError, match=code):
        read_json(tmp_path / "t.json")
    with pytest.raises(UserError, match="E_LAYOUT"):
        read_json(tmp_path / "absent.json")


def test_a_long_unknown_word_is_cut(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    assert listing.word(SPLITS, "x" * 500, "here") is None
    with pytest.raises(UserError) as caught:
        listing.finish([])
    assert len(str(caught.value)) < 250
