"""What every adapter must do, found through the catalogue.

`trees/<adapter>.py` has `build(root)`: it writes a small tree in the published layout and returns the
adapter's settings. An adapter without one fails here.
"""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.data.codes import CODES
from pipeline.data.manifest import listed, listing_problems
from pipeline.data.samples import Sample
from tests.data.adapters.trees import codes, picture

EVERY = pytest.mark.parametrize("name", catalogue.names("data/adapters"))
TABLES = (".csv", ".txt", ".json")
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "binary": lambda _: bytes(range(256)),
    "words": lambda content: b"\n".join(b"," * line.count(b",") for line in content.split(b"\n")) or b",",
}


def build(root: Path, name: str) -> dict[str, Any]:
    """Write the tree of an adapter; gives its settings."""
    root.mkdir(exist_ok=True)
    settings: dict[str, Any] = importlib.import_module(f"tests.data.adapters.trees.{name}").build(root)
    return settings


def read(root: Path, name: str, settings: dict[str, Any]) -> list[Sample]:
    samples: list[Sample] = catalogue.make("data/adapters", {"name": name, **settings})(root)
    return samples


@EVERY
def test_settings_are_valid_and_rows_keep_the_rules(tmp_path: Path, name: str) -> None:
    samples = read(tmp_path, name, build(tmp_path, name))
    assert samples
    rows = [listed(replace(sample, adapter=name), tmp_path) for sample in samples]
    assert listing_problems(rows, [s.where for s in samples]) == []
    for sample in samples:
        assert sample.image_path.is_file()
        assert sample.where
        assert sample.annotators is None or sample.annotations


@EVERY
def test_two_readings_are_equal_in_order(tmp_path: Path, name: str) -> None:
    settings = build(tmp_path, name)
    first, second = (read(tmp_path, name, settings) for _ in range(2))
    assert [s.native_id for s in first] == [s.native_id for s in second]


@EVERY
@pytest.mark.parametrize("made", [True, False])
def test_missing_and_empty_roots_say_what_belongs_there(tmp_path: Path, name: str, made: bool) -> None:
    settings, root = build(tmp_path / "good", name), tmp_path / "data"
    if made:
        root.mkdir()
    with pytest.raises(UserError, match=r"expected .* in this folder") as caught:
        read(root, name, settings)
    assert len(caught.value.problems) == 1
    assert codes(caught.value) == {"E_LAYOUT"}


@EVERY
def test_a_tree_unpacked_into_two_folders_is_found(tmp_path: Path, name: str) -> None:
    settings = build(tmp_path / "good", name)
    (tmp_path / "twice" / "data").mkdir(parents=True)
    (tmp_path / "good").rename(tmp_path / "twice" / "data" / "data")
    assert read(tmp_path / "twice", name, settings)


@EVERY
def test_an_absent_image_is_told(tmp_path: Path, name: str) -> None:
    """Where folders are the list, the image is simply not listed."""
    settings = build(tmp_path, name)
    samples = read(tmp_path, name, settings)
    samples[0].image_path.unlink()
    try:
        assert samples[0].native_id not in {sample.native_id for sample in read(tmp_path, name, settings)}
    except UserError as error:
        assert codes(error) <= {"E_IMAGE_MISSING", "E_JOIN"}  # E_JOIN: a map without its image


@EVERY
def test_an_image_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    settings = build(tmp_path / "data", name)
    image = read(tmp_path / "data", name, settings)[0].image_path
    outside = picture(tmp_path / "outside.png")
    image.unlink()
    image.symlink_to(outside)
    with pytest.raises(UserError) as caught:
        read(tmp_path / "data", name, settings)
    assert codes(caught.value) == {"E_PATH_ESCAPE"}


@EVERY
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_tables_end_in_lines_with_codes(tmp_path: Path, name: str, damage: str) -> None:
    """Or in samples, where the table can do without what was lost; never in another exception."""
    settings = build(tmp_path, name)
    for path in sorted(tmp_path.rglob("*")):
        if path.suffix not in TABLES:
            continue
        content = path.read_bytes()
        path.write_bytes(DAMAGE[damage](content))
        try:
            samples = read(tmp_path, name, settings)
        except UserError as error:
            assert codes(error) <= {*CODES, "..."}
        else:
            assert all(isinstance(sample, Sample) for sample in samples)
        path.write_bytes(content)
