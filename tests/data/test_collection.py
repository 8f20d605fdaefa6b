"""Tables and folders as people keep them: read where it is clear what is meant, else refused in one line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.data.collection import collect, find_maps, locate, located

IMAGES = ["a/1.png", "a/2.png", "b/3.PNG"]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for image in IMAGES:
        path = tmp_path / "films" / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "films"


def table(folder: Path, text: str | bytes) -> Path:
    path = folder.parent / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def line(folder: Path, text: str | bytes | None, column: str = "file") -> str:
    """The one line with which a table, or folders, are refused."""
    with pytest.raises(UserError) as error:
        located(collect(folder, None if text is None else table(folder, text), None), column)
    (problem,) = error.value.problems
    return problem


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_commas_semicolons_and_tabs_separate(films: Path, separator: str) -> None:
    lines = ["file,label", "a/1.png,normal", 'b/3.png,"x, y; z"']
    text = "\ufeff" + "\r\n".join(each.replace(",", separator, 1) for each in lines)
    found = collect(films, table(films, text), None)
    assert found.columns == ["file", "label"]
    assert found.values("label") == ["normal", "x, y; z"]
    assert located(found, "file") == ["a/1.png", "b/3.PNG"]


@pytest.mark.parametrize(
    "cells",
    [
        ["a/1.png", "a/2.png", "b/3.png"],
        ["/films/a/1.png", "/films/a/2.png", "/films/b/3.png"],
        [r"D:\old films\a\1.png", r"D:\old films\a\2.png", r"D:\old films\b\3.png"],
        ["1.png", "2.PNG", "3.png"],
        ["1", "2", "3"],
        ["a/1", "a/2", "b/3"],
    ],
)
def test_images_are_found_however_they_are_named(cells: list[str]) -> None:
    assert locate(IMAGES, cells) == IMAGES


def test_a_name_of_two_files_and_a_path_elsewhere_name_none() -> None:
    assert locate(["a/1.png", "b/1.png", "b/2.png"], ["1.png", "2.png"]) == [None, "b/2.png"]
    assert locate(["a/1.png", "b/2.png"], ["a/1.png", "a/2.png"]) == ["a/1.png", None]


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_cell_names_an_image_of_the_folder_or_none(cells: list[str]) -> None:
    found = locate(IMAGES, cells)
    assert len(found) == len(cells) and set(found) <= {*IMAGES, None}


def test_folders_are_columns(films: Path) -> None:
    (films / "a" / "._1.png").write_bytes(b"")  # what macOS leaves on other disks
    found = collect(films, None, None)
    assert found.columns == ["path", "folder1"]
    assert found.values("folder1") == ["a", "a", "b"]


def test_bad_tables_are_one_line_each(films: Path) -> None:
    assert "is an Excel file; save it as CSV" in line(films, b"PK\x03\x04 and so on")
    assert line(films, "file;läbel\n".encode("latin-1")).startswith("E_ENCODING")
    assert "columns named twice: 'b', 'c'" in line(films, 'file;b;"b";c;c\n')
    assert "no row below the header" in line(films, "file,label\n")
    assert "2 of 3 rows name no image" in (found := line(films, "file\na/1.png\nno.png\na/no.png\n"))
    assert "first 'no.png' (" in found and "t.csv line 3)" in found
    assert "1 images have several rows, first 'a/1.png'" in line(films, "file\na/1.png\na/1.png\n")
    assert line(films, "file,label\na/1.png\n").startswith("E_ROW_SHAPE")
    with pytest.raises(UserError, match=r"absent\.csv: no such file"):
        collect(films, films / "absent.csv", None)


def test_bad_folders_are_one_line_each(films: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no image in this folder" in line(tmp_path / "empty", None)
    assert "not found" in line(tmp_path / "absent", None)
    assert "images without folders" in line(films / "a", None)
    (films / "4.png").write_bytes(b"")
    assert "different depths, such as '4.png' and 'b/3.PNG'" in line(films, None)


def test_maps_lie_in_a_folder_or_in_a_column(films: Path, tmp_path: Path) -> None:
    drawn = films / "maps"
    drawn.mkdir()
    (drawn / "3.png").write_bytes(b"")
    text = "file,mask\na/1.png,\nb/3.png,films/maps/3.png\n"
    found = collect(films, table(films, text), drawn)
    images = located(found, "file")
    assert found.images == IMAGES  # a map is no image
    assert find_maps(found, images, drawn, None) == [None, drawn / "3.png"]
    assert find_maps(found, images, None, "mask") == [None, drawn / "3.png"]
    assert find_maps(found, images, None, None) == [None, None]
    with pytest.raises(UserError, match=r"1 of 2 maps are not there, first 'no\.png'"):
        find_maps(
            collect(films, table(films, "file,mask\na/1.png,\nb/3.png,no.png\n"), None), images, None, "mask"
        )
    (drawn / "3.png").rename(drawn / "other.png")
    with pytest.raises(UserError, match="no file is named like an image"):
        find_maps(found, images, drawn, None)
