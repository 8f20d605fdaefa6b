"""The prepared store: one folder of memory-mapped arrays and tables, which every later stage reads.

    images.npy uint8 (N, C, S, S)   maps.npy uint8 (N, S, S), 0 where there is no map, peak 255 where there is
    truth/{causal,shortcut}.npy uint8 (N, S, S)   truth/without_{cause,shortcut}.npy uint8 (N, C, S, S)
    manifest.csv   protocol.json   audit.json   duplicates.csv   shortcuts.png   quarantine.csv
    noticed.csv   agreement.csv   store.json

Row i of every array is row i of the manifest. `truth/` exists for phantoms only, twins where they were drawn;
`shortcuts.png` where there are enough subjects of each class to look for shortcuts.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from pipeline.common.errors import UserError, nearest
from pipeline.common.files import canonical_json, restore_old, sha256_file, sha256_text, write_json
from pipeline.common.tree import hash_tree
from pipeline.data import manifest, protocol

TRUTHS = ("causal", "shortcut")
TWINS = {"without_cause": "causal", "without_shortcut": "shortcut"}  # and the masks of what they lack
SCHEMA = 2


class Store:
    """A prepared data set; see the module's head for its arrays."""

    def __init__(
        self, folder: Path, info: dict[str, Any], open_set: dict[str, Any], rows: pd.DataFrame
    ) -> None:
        self.folder = folder
        self.info = info
        self.protocol = open_set
        self.manifest = rows
        self.images: np.ndarray = _open_array(folder / "images.npy")
        self.maps: np.ndarray = _open_array(folder / "maps.npy")
        self.labels: np.ndarray = rows["label"].astype(np.int64).to_numpy()
        self.has_map: np.ndarray = (rows["annotators"] != "0").to_numpy(dtype=bool)

    @cached_property
    def _roles(self) -> np.ndarray:
        return protocol.roles(self.manifest, self.protocol)

    def rows(self, role: str) -> np.ndarray:
        """Ascending row numbers, int64, of train, val, test_closed or test_open."""
        if role not in protocol.ROLES:
            raise ValueError(f"{role!r} is not a role: {nearest(role, protocol.ROLES)}")
        return np.flatnonzero(self._roles == role)

    def digest(self, *roles: str) -> str:
        """Hex SHA-256 of all that the samples of some roles show: pixels, maps, labels, and who they are.

        The arrays count whole, by their files' hashes; truth masks and the protocol's rules do not count.
        """
        columns = ["sample_id", "subject_id", "source", "class_name", "label"]
        shown = self.manifest[columns].assign(has_map=self.has_map)
        seen = {role: shown.iloc[self.rows(role)].to_csv() for role in roles}
        arrays = {name: self.info["sha256"][name] for name in ("images.npy", "maps.npy")}
        return sha256_text(canonical_json([arrays, seen]))

    def truth_digest(self) -> dict[str, str]:
        """The hashes of the truth masks and twins by file; empty for real data."""
        return {name: digest for name, digest in self.info["sha256"].items() if name.startswith("truth/")}

    def truth(self, kind: str) -> np.ndarray | None:
        """Masks uint8 (N, S, S) of what is causal or what is the shortcut; None for real data."""
        if kind not in TRUTHS:
            raise ValueError(f"{kind!r} is not a kind of truth: {nearest(kind, TRUTHS)}")
        return _open_array(self.folder / "truth" / f"{kind}.npy") if self.info["phantom"] else None

    def twin(self, kind: str) -> np.ndarray | None:
        """The images as they are drawn without their `cause` or their `shortcut`, uint8 (N, C, S, S).

        One that has no such thing stands as it is. None for real data, and for phantoms without twins.
        """
        if (twin := f"without_{kind}") not in TWINS:
            raise ValueError(f"{kind!r} is not a kind of twin: {nearest(twin, TWINS)}")
        path = self.folder / "truth" / f"{twin}.npy"
        return _open_array(path) if self.info["phantom"] and path.is_file() else None


def open_store(folder: Path) -> Store:
    """Open a prepared data set; raises UserError if it is absent, damaged or of another version."""
    restore_old(folder)
    again = f"run python -m pipeline.prepare {folder.name}"
    if not (folder / "store.json").is_file():
        raise UserError(f"{folder}: no prepared data here; {again}")
    try:
        info = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        if info["schema"] != SCHEMA:
            raise ValueError(f"schema {SCHEMA} expected, got {info['schema']}")
        for name in ("manifest.csv", "protocol.json"):
            if sha256_file(folder / name) != info["sha256"][name]:
                raise ValueError(f"{name} was changed")
        open_set = json.loads((folder / "protocol.json").read_text(encoding="utf-8"))
        if open_set["manifest_sha256"] != info["sha256"]["manifest.csv"]:
            raise ValueError("P_STALE: protocol.json was made for another manifest.csv")
        store = Store(folder, info, open_set, manifest.read(folder / "manifest.csv"))
        _check_shapes(store)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: damaged ({' '.join(str(error).split())}); {again}") from None
    return store


def open_unchanged(folder: Path) -> Store:
    """`open_store`, and every file of the data set is still what `prepare` wrote; a stage asks once.

    Arrays are read whole for that: 0.8 s per GB on one busy core. Raises UserError naming what was changed.
    """
    store = open_store(folder)
    hashes = hash_tree(folder)
    changed = [name for name, digest in store.info["sha256"].items() if hashes.get(name) != digest]
    if changed:
        message = f"{folder}: changed since it was prepared ({', '.join(changed)})"
        raise UserError(f"{message}; run python -m pipeline.prepare {folder.name}")
    return store


def label_names(store: Store) -> tuple[str, str]:
    """Both labels by the one class that each has in the data, or as not the other's, or by number."""
    classes = [sorted(set(store.manifest["class_name"][store.labels == label])) for label in (0, 1)]
    only = [found[0].replace("_", " ") if len(found) == 1 else "" for found in classes]
    first, second = (
        name or (f"not {other}" if other else f"label {label}")
        for label, (name, other) in enumerate(zip(only, reversed(only), strict=True))
    )
    return first, second


def _check_shapes(store: Store) -> None:
    sides = (store.info["preprocessing"]["image_size"],) * 2
    n, channels = store.info["n"], store.info["preprocessing"]["channels"]
    expected = {"images.npy": (n, channels, *sides), "maps.npy": (n, *sides), "manifest.csv": (n,)}
    came = {
        "images.npy": store.images.shape,
        "maps.npy": store.maps.shape,
        "manifest.csv": store.labels.shape,
    }
    for name, shape in expected.items():
        if came[name] != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {came[name]}")


def _open_array(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


class GrowingArray:
    """A uint8 .npy file that grows row by row, so that memory stays flat; readable once closed."""

    def __init__(self, path: Path, row_shape: tuple[int, ...]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._row_shape = row_shape
        self._length = 0
        self._file: BinaryIO = path.open("wb")
        self._write_header()

    def append(self, row: np.ndarray) -> None:
        """Add one row, uint8 of the row shape."""
        if row.dtype != np.uint8 or row.shape != self._row_shape:
            raise ValueError(f"expected uint8 {self._row_shape}, got {row.dtype} {row.shape}")
        self._file.write(np.ascontiguousarray(row).data)
        self._length += 1

    def _write_header(self) -> None:
        """NumPy pads the header so that the length of the first axis can be rewritten in place."""
        shape = (self._length, *self._row_shape)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> "GrowingArray":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()


def seal(folder: Path, info: Mapping[str, Any]) -> None:
    """Write `store.json`: what the folder holds, and each file's hash."""
    hashes = hash_tree(folder)
    hashes.pop("store.json", None)
    write_json(folder / "store.json", {"schema": SCHEMA, **info, "sha256": hashes})


def intact(folder: Path) -> dict[str, Any] | None:
    """What `seal` wrote, if every file is still as it was then; else None."""
    restore_old(folder)
    try:
        info: dict[str, Any] = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    hashes = hash_tree(folder)
    hashes.pop("store.json", None)
    return info if info.get("schema") == SCHEMA and info.get("sha256") == hashes else None
