"""The store: what is written comes back, damage is told, and a killed build loses nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_store import write as write_tiny

from pipeline.common.errors import UserError
from pipeline.common.files import building, sha256_file
from pipeline.data import manifest, store


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "prepared" / "tiny", n=12, side=16)


def test_what_was_written_comes_back(prepared: Path) -> None:
    opened = store.open_store(prepared)
    assert opened.images.shape == (12, 1, 16, 16)
    assert opened.maps.shape == (12, 16, 16)
    assert opened.labels.tolist() == [0, 1] * 6
    assert opened.labels.dtype == np.int64
    assert opened.has_map.all()
    assert not opened.images.flags.writeable
    assert opened.rows("val").tolist() == [4, 5, 10, 11]
    assert opened.rows("train").tolist() == [0, 1, 2, 3, 6, 7, 8, 9]
    assert opened.rows("test_open").tolist() == []
    assert opened.truth("causal") is None


def test_rows_without_annotators_have_no_map(tmp_path: Path) -> None:
    opened = store.open_store(write_tiny(tmp_path / "tiny", n=6, side=16, annotated=False))
    assert not opened.has_map.any()


def test_names_are_checked(prepared: Path) -> None:
    opened = store.open_store(prepared)
    with pytest.raises(ValueError, match="did you mean 'train'"):
        opened.rows("trian")
    with pytest.raises(ValueError, match="did you mean 'causal'"):
        opened.truth("casual")
    with pytest.raises(ValueError, match="did you mean 'without_cause'"):
        opened.twin("causal")


def test_truth_is_read_for_phantoms_only(prepared: Path) -> None:
    (prepared / "truth").mkdir()
    np.save(prepared / "truth" / "causal.npy", np.full((12, 16, 16), 255, np.uint8))
    info = json.loads((prepared / "store.json").read_text())
    (prepared / "store.json").write_text(json.dumps(info | {"phantom": True}))
    truth = store.open_store(prepared).truth("causal")
    assert truth is not None
    assert truth.min() == 255


def test_twins_are_those_that_a_phantom_has(prepared: Path) -> None:
    (prepared / "truth").mkdir()
    np.save(prepared / "truth" / "without_cause.npy", np.full((12, 1, 16, 16), 7, np.uint8))
    assert store.open_store(prepared).twin("cause") is None  # of real data there are none
    info = json.loads((prepared / "store.json").read_text())
    store.seal(prepared, {key: info[key] for key in info if key != "sha256"} | {"phantom": True})
    opened = store.open_store(prepared)
    twin = opened.twin("cause")
    assert twin is not None
    assert (twin.shape, twin.min()) == ((12, 1, 16, 16), 7)
    assert opened.twin("shortcut") is None
    assert list(opened.truth_digest()) == ["truth/without_cause.npy"]  # what measurements of it hang on


def test_the_digest_follows_what_a_role_shows(tmp_path: Path) -> None:
    one, same, other, unmarked = (
        store.open_store(write_tiny(tmp_path / name / "tiny", n=n, annotated=marked)).digest("train")
        for name, n, marked in (("a", 12, True), ("b", 12, True), ("c", 18, True), ("d", 12, False))
    )
    assert one == same
    assert len({one, other, unmarked}) == 3


def _change(folder: Path, column: str, line: int, value: str) -> store.Store:
    """Change one cell of the manifest (line 1 is the header) and let the hashes follow."""
    rows = manifest.read(folder / "manifest.csv")
    rows.loc[line - 2, column] = value
    manifest.write(folder / "manifest.csv", rows)
    return _reseal(folder)


def _reseal(folder: Path, **changes: object) -> store.Store:
    protocol = json.loads((folder / "protocol.json").read_text()) | changes
    protocol["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    (folder / "protocol.json").write_text(json.dumps(protocol))
    info = json.loads((folder / "store.json").read_text())
    store.seal(folder, {key: info[key] for key in info if key not in ("schema", "sha256")})
    return store.open_store(folder)


@pytest.mark.parametrize("column", ["label", "source", "class_name", "subject_id", "sample_id", "annotators"])
def test_a_digest_sees_its_own_role_only(prepared: Path, column: str) -> None:
    opened = store.open_store(prepared)
    before = {role: opened.digest(role) for role in ("train", "val")}
    known = {"known": {"0": ["site_a", "0"], "1": ["site_a", "0"]}}  # so that the changed source stays known
    before = {role: _reseal(prepared, **known).digest(role) for role in before}
    changed = _change(prepared, column, 2, "1" if column == "label" else "0")  # the first row trains
    assert changed.digest("train") != before["train"]
    assert changed.digest("val") == before["val"]


def test_a_digest_does_not_see_rules_nor_truth(prepared: Path) -> None:
    before = store.open_store(prepared).digest("train", "val")
    (prepared / "truth").mkdir()
    np.save(prepared / "truth" / "causal.npy", np.zeros((12, 16, 16), np.uint8))
    threshold = {"threshold": {"rule": "bpcer", "value": 0.9}, "split_by": "native"}
    assert _reseal(prepared, **threshold).digest("train", "val") == before
    assert _change(prepared, "annotators", 2, "9").digest("train", "val") == before  # 1 or 9 people: a map


def test_only_an_unhurt_store_is_intact(prepared: Path) -> None:
    info = store.intact(prepared)
    assert info is not None
    assert info["n"] == 12
    (prepared / "more.txt").touch()
    assert store.intact(prepared) is None
    (prepared / "more.txt").unlink()
    assert store.intact(prepared) == info
    _truncate(prepared / "maps.npy")
    assert store.intact(prepared) is None
    assert store.intact(prepared.parent / "absent") is None


def test_an_absent_store_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no prepared data here; run python -m pipeline.prepare tiny"):
        store.open_store(tmp_path / "tiny")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _edit(path: Path) -> None:
    path.write_text(path.read_text().replace("site_a", "site_b", 1))


def _stale(path: Path) -> None:
    """A protocol made for another manifest, with honest hashes."""
    protocol = json.loads(path.read_text()) | {"manifest_sha256": "0" * 64}
    path.write_text(json.dumps(protocol))
    info = json.loads((path.parent / "store.json").read_text())
    store.seal(path.parent, {key: info[key] for key in info if key not in ("schema", "sha256")})


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("images.npy", _truncate, "damaged"),
        ("maps.npy", Path.unlink, "maps.npy"),
        ("manifest.csv", _edit, "manifest.csv was changed"),
        ("protocol.json", _edit, "protocol.json was changed"),
        ("protocol.json", _stale, "P_STALE"),
        ("store.json", _truncate, "damaged"),
        ("images.npy", lambda path: np.save(path, np.zeros((3, 1, 16, 16), np.uint8)), "expected shape"),
        ("store.json", lambda path: path.write_text('{"schema": 99}'), "schema 2 expected"),
    ],
)
def test_damage_is_told_with_the_command(prepared: Path, name: str, damage: object, told: str) -> None:
    damage(prepared / name)  # type: ignore[operator]
    with pytest.raises(UserError, match=told) as error:
        store.open_store(prepared)
    assert "python -m pipeline.prepare tiny" in str(error.value)
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("name", ["images.npy", "maps.npy"])
def test_a_file_that_was_changed_since_is_told_by_its_name(prepared: Path, name: str) -> None:
    store.open_unchanged(prepared)
    content = bytearray((prepared / name).read_bytes())
    content[-2] ^= 1  # one bit of the last pixels: shapes and headers stay
    (prepared / name).write_bytes(content)
    store.open_store(prepared)
    with pytest.raises(UserError, match=rf"changed since it was prepared \({name}\); run python") as error:
        store.open_unchanged(prepared)
    assert len(error.value.problems) == 1


def test_an_array_grows_row_by_row(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (13, 2, 3), dtype=np.uint8)
    with store.GrowingArray(tmp_path / "a.npy", (2, 3)) as grown:
        for row in rows:
            grown.append(row)
        with pytest.raises(ValueError, match="expected uint8"):
            grown.append(np.zeros((2, 3)))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), rows)
    np.save(tmp_path / "b.npy", rows)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_an_empty_array_is_readable(tmp_path: Path) -> None:
    with store.GrowingArray(tmp_path / "a.npy", (2, 3)):
        pass
    assert np.load(tmp_path / "a.npy", allow_pickle=False).shape == (0, 2, 3)


def test_building_replaces_the_folder_whole(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    for text in ("first", "second"):
        with building(folder) as new:
            (new / text).write_text(text)
        assert [path.name for path in tmp_path.rglob("*")] == ["d", text]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(OSError, match="disk full"), building(folder) as new:
        (new / "half").touch()
        raise OSError("disk full")
    assert [path.name for path in tmp_path.rglob("*")] == ["d", "old"]


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.common.files import building
rename, count = Path.rename, 0
def deadly(self, target):
    global count
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    return rename(self, target)
Path.rename = deadly
with building(Path(sys.argv[1])) as new:
    (new / "new").touch()
"""


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_between_the_renames_loses_nothing(tmp_path: Path, renames: int) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "old").touch()
    command = [sys.executable, "-c", KILLED, str(folder), str(renames)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    with pytest.raises(UserError, match="no prepared data"):  # opening puts the old one back
        store.open_store(folder)
    assert [path.name for path in folder.iterdir()] == ["old"]
    with building(folder) as new:
        assert not any(new.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
