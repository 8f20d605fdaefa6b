"""Names of people, images and files, and the pseudonyms that stand for them in all that leaves `prepare`.

A pseudonym is `n` and 16 hexadecimal digits of HMAC-SHA-256 of the name (RFC 2104), with a random key of this
folder: without the key nobody can try names out. The key and one table per data set stay in data/names/,
which neither git nor DVC tracks and which only its owner may read. `python -m pipeline.names` looks names up.
"""

import csv
import hmac
import io
import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

import pandas as pd

from pipeline.common.data_settings import Dataset, Prepare
from pipeline.common.errors import UserError
from pipeline.common.files import write_text
from pipeline.common.paths import NAMES
from pipeline.common.spreadsheet import as_path, as_text, from_text
from pipeline.data.searching import SUFFIXES

KEY = "names.key"  # no data set can be called so
DIGITS, KEY_BYTES = 16, 32
NAMED = ("sample_id", "subject_id", "group_id", "where", "message")  # columns with names, or texts with names
PSEUDONYM = re.compile(rf"\bn[0-9a-f]{{{DIGITS}}}(?:\.[a-z]+)?")
HEADER = ("pseudonym", "name", "file")


class Names:
    """The names of phantoms, and of data whose `prepare.pseudonyms` is off: they stay as they are."""

    fingerprint = ""  # of the key, for the store's own

    def hide(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table as it may leave: here with cells that no spreadsheet takes for a formula."""
        columns: dict[str, Callable[[str], str]] = dict.fromkeys(NAMED, as_text)
        return _map(table, {**columns, "image_path": as_path})

    def hide_path(self, path: str) -> str:
        """A file or folder as it may leave."""
        return path

    def restore(self, table: pd.DataFrame) -> pd.DataFrame:
        """A hidden table as it was."""
        return _map(table, dict.fromkeys(NAMED, from_text))

    def knows(self, *tables: pd.DataFrame) -> bool:
        """Whether hidden tables can be restored."""
        return True

    def save(self) -> None:
        """Keep what was hidden, for its owner."""


class Pseudonyms(Names):
    """The names of one data set; `folder` holds the key, made at the first use, and the tables."""

    def __init__(self, folder: Path, dataset: str) -> None:
        self._path = folder / f"{dataset}.csv"
        self._key = _read_key(folder / KEY)
        self._hidden: dict[str, str] = {}  # pseudonym -> name
        self._files: dict[str, str] = {}  # pseudonym of a sample -> its file
        self.fingerprint = self._digest("", "fingerprint")

    def hide(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table whose names, texts, paths and hashes are pseudonyms, by the names of its columns.

        Equal names have equal pseudonyms, blank ones none. Hashes of files are hashed with the key too.
        """
        columns: dict[str, Callable[[str], str]] = dict.fromkeys(NAMED, self._hide)
        hidden = _map(table, {**columns, "image_path": self.hide_path, "sha256": self._hide_hash})
        if {"sample_id", "image_path"} <= set(table):
            self._files |= zip(hidden["sample_id"], table["image_path"], strict=True)
        return hidden

    def hide_path(self, path: str) -> str:
        """The pseudonym of a path; the ending stays where it tells a type of image."""
        suffix = PurePosixPath(path).suffix.lower()
        return self._note(self._pseudonym(path) + (suffix if suffix in SUFFIXES else ""), path)

    def restore(self, table: pd.DataFrame) -> pd.DataFrame:
        """A hidden table as it was, by what was saved."""
        columns = (*NAMED, "image_path", "sha256")
        return _map(table, dict.fromkeys(columns, lambda cell: self._saved[cell][0] if cell else ""))

    def knows(self, *tables: pd.DataFrame) -> bool:
        """Whether every pseudonym of these tables was saved."""
        columns = {*NAMED, "image_path", "sha256"}
        cells = {cell for table in tables for column in columns & set(table) for cell in table[column]}
        return cells - {""} <= self._saved.keys()

    def save(self) -> None:
        """Add what was hidden to the table, which its owner alone may read.

        Earlier names stay, so that earlier results can be looked up.
        """
        new = {key: (name, self._files.get(key, "")) for key, name in self._hidden.items()}
        lines = sorted((self._saved | new).items())
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [HEADER, *([key, as_text(name), as_text(file)] for key, (name, file) in lines)]
        )
        write_text(self._path, text.getvalue())  # in a folder that is closed to others
        self._path.chmod(0o600)
        self.__dict__.pop("_saved", None)

    @cached_property
    def _saved(self) -> dict[str, tuple[str, str]]:
        return read(self._path) if self._path.is_file() else {}

    def _hide(self, name: str) -> str:
        return self._note(self._pseudonym(name), name) if name else ""

    def _hide_hash(self, digest: str) -> str:
        return self._note(self._digest(digest, "hash"), digest) if digest else ""

    def _pseudonym(self, name: str) -> str:
        return f"n{self._digest(name, 'name')[:DIGITS]}"

    def _note(self, pseudonym: str, name: str) -> str:
        if self._hidden.setdefault(pseudonym, name) != name:
            expected = f"delete {self._path.parent / KEY} and prepare again"
            raise UserError(f"two names of {self._path.stem} have the pseudonym {pseudonym}; {expected}")
        return pseudonym

    def _digest(self, name: str, purpose: str) -> str:
        text = f"{purpose}\x1f{name}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, text, "sha256").hex()


def wanted(dataset: Dataset, settings: Prepare) -> bool:
    """Whether a data set has pseudonyms; nobody stands behind the names of phantoms."""
    return settings.pseudonyms and not dataset.phantom


def of(folder: Path, dataset: str, *, hidden: bool) -> Names:
    """The names of a data set: `hidden` behind pseudonyms, or as they are."""
    return Pseudonyms(folder, dataset) if hidden else Names()


def real_names(rows: pd.DataFrame, name: str, dataset: Dataset, settings: Prepare) -> pd.DataFrame:
    """The rows of a prepared data set's manifest with their real names, for the owner of the data.

    Raises UserError if they are hidden and the table of names is not here.
    """
    hidden = wanted(dataset, settings)
    lost = hidden and not (NAMES / KEY).is_file()  # whoever asks for names must not be given a new key
    named = of(NAMES, name, hidden=hidden and not lost)
    if lost or not named.knows(rows):
        raise UserError(f"{NAMES}: no table with the names of {name}; work where these data were prepared")
    return named.restore(rows)


def read(table: Path) -> dict[str, tuple[str, str]]:
    """A table of names: pseudonym -> (name, the file where it is an image's); raises UserError."""
    rows = list(csv.reader(io.StringIO(table.read_bytes().decode("utf-8"), newline="")))
    if not rows or tuple(rows[0]) != HEADER or any(len(row) != len(HEADER) for row in rows):
        raise UserError(f"{table}: expected the columns {', '.join(HEADER)}; delete it and prepare again")
    return {key: (from_text(name), from_text(file)) for key, name, file in rows[1:]}


def _read_key(path: Path) -> bytes:
    """The key of a folder; random, if there is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError), open(path, "x", opener=partial(os.open, mode=0o600)) as file:
        file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
        expected = f"expected {2 * KEY_BYTES} hexadecimal digits; restore it, or delete it for a new one"
        raise UserError(f"{path}: no key of pseudonyms here; {expected}")
    return bytes.fromhex(text)


def _map(table: pd.DataFrame, columns: dict[str, Callable[[str], str]]) -> pd.DataFrame:
    """A copy of a table of text, some of its columns cell by cell something else."""
    changed = {name: list(map(change, table[name])) for name, change in columns.items() if name in table}
    return table.assign(**{name: pd.Series(cells, table.index, "str") for name, cells in changed.items()})
