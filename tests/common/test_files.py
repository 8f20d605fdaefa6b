"""Files are whole or absent."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.files import (
    atomic,
    canonical_json,
    sha256_file,
    sha256_text,
    write_json,
    write_npz,
    write_text,
)


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": float("nan"), "y": [float("inf"), 1.5], 3: (1, 2)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": None, "y": [None, 1.5], "3": [1, 2]}


def test_an_npz_has_the_same_bytes_under_every_python(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    arrays = {"rows": np.arange(3), "maps": np.ones((2, 2), np.float32)}
    write_npz(path, arrays)
    with zipfile.ZipFile(path) as archive:
        headers = {(each.date_time, each.create_version, each.extract_version) for each in archive.infolist()}
    assert headers == {((1980, 1, 1, 0, 0, 0), 20, 20)}
    with np.load(path) as found:
        assert found.files == list(arrays)
        assert all(np.array_equal(found[name], array) for name, array in arrays.items())


def test_sha256_of_abc(tmp_path: Path) -> None:
    write_text(tmp_path / "abc", "abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert sha256_file(tmp_path / "abc") == sha256_text("abc") == expected


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False) | st.booleans()))
def test_canonical_json_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(backwards)
    assert json.loads(canonical_json(value)) == value
