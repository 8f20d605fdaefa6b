"""What all adapters need: lists read strictly, files found safely, words looked up in closed tables."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from pipeline.common.errors import UserError, nearest
from pipeline.data.problems import Finding, Problem, refuse
from pipeline.data.samples import Sample
from pipeline.data.searching import SUFFIXES

Value = TypeVar("Value")

SPLITS = {  # words of published lists, case-folded -> ours
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "devel": "val",
    "test": "test",
    "testing": "test",
}
NESTED = 2  # levels of folders that an archive may have been unpacked into
SHOWN = 40  # characters of an unknown word that a message repeats


class TableRow(NamedTuple):
    """One record of a list; `where` leads to it: folder, file and line (its last, if it spans several)."""

    where: str
    cells: dict[str, str]


def read_table(
    path: Path, *, columns: Iterable[str] = (), names: list[str] | None = None, delimiter: str = ","
) -> list[TableRow]:
    """Read a CSV file as text; quoted line breaks, CRLF, BOM and blank lines are understood.

    Give `names` for a file without a header, else the `columns` that its header must have. Spaces around
    names and values and a nameless last column of blanks are dropped.

    Raises UserError: E_LAYOUT (no such file), E_ENCODING, E_HEADER, E_ROW_SHAPE.
    """
    records, place = _read_records(path, delimiter), f"{path.parent.name}/{path.name}"
    if names is None:
        names = [name.strip() for name in records.pop(0)[1]] if records else []
        refuse(_check_header(place, names, columns))
    rows, problems = [], []
    for line, cells in records:
        where = f"{place} line {line}"
        if len(cells) == len(names) + 1 and not cells[-1].strip():
            cells.pop()
        record = dict(zip(names, map(str.strip, cells), strict=False))
        if len(cells) == len(names) and not record.pop("", ""):
            rows.append(TableRow(where, record))
        else:
            message = f"expected {len(names)} fields, blank below a nameless column; got {len(cells)}"
            problems.append(Problem("E_ROW_SHAPE", where, message))
    refuse(problems)
    return rows


def existing_root(root: Path, expected: str) -> Path:
    """The folder that holds `expected` (a path or glob pattern): `root`, or the only folder inside it.

    Raises UserError (E_LAYOUT) that says what should lie there.
    """
    folder = root
    for _ in range(NESTED + 1):
        if folder.is_dir() and any(folder.glob(expected)):
            return folder
        inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        if len(inside) != 1:
            break
        folder = inside[0]
    came = "it holds no such thing"
    if not root.is_dir():
        came = "there is no such folder"
    elif not any(root.iterdir()):
        came = "the folder is empty"
    message = f"expected {expected} in this folder, but {came}; put or link the data set here"
    raise UserError(str(Problem("E_LAYOUT", str(root), message)))


class Listed(list[Sample]):
    """The samples of a data set, and what must be known of how they were read."""

    def __init__(self, samples: Iterable[Sample] = (), noticed: Iterable[Finding] = ()) -> None:
        super().__init__(samples)
        self.noticed = list(noticed)


class Listing:
    """The files and words of one data set; what is wrong with them is collected and reported together."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._resolved = root.resolve()
        self._problems: dict[tuple[str, str], Problem] = {}
        self._noticed: list[Finding] = []
        self._stems: dict[str, dict[str, list[str]]] = {}

    def add(self, code: str, where: str, message: str) -> None:
        """Note a problem; of several with the same message the first stays.

        A code that begins with W_ is a warning: reading goes on, all are kept, and the audit counts them.
        """
        if code.startswith("W_"):
            self._noticed.append(Finding(code, where, message))
            return
        self._problems.setdefault((code, message), Problem(code, where, message))

    def file(self, listed: str, where: str, code: str = "E_IMAGE_MISSING", folder: str = "") -> Path | None:
        """The file that a list names, below `folder` of the root; else None, a problem noted.

        The problem is E_PATH_ESCAPE for a path that leads elsewhere, `code` for a file that is absent.

        One leading slash is dropped, as in the published lists. An extension in another case is accepted.
        """
        relative = listed[1:] if listed.startswith("/") else listed
        parts = PurePosixPath(relative).parts
        if not parts or relative.startswith("/") or ".." in parts or "\\" in listed or "\0" in listed:
            expected = "expected a relative path with forward slashes that stays inside the data folder"
            self.add("E_PATH_ESCAPE", where, f"{listed!r}: {expected}")
            return None
        path = _find_in_any_case(self.root / folder / relative)
        if path is None:
            self.add(code, where, f"{listed!r} is not in {self.root / folder}; add the file or drop the line")
        elif not path.resolve().is_relative_to(self._resolved):
            self.add("E_PATH_ESCAPE", where, f"{listed!r} links to a file outside {self.root}; copy it here")
            return None
        return path

    def word(
        self, table: Mapping[str, Value], text: str, where: str, code: str = "E_LABEL_ALIAS"
    ) -> Value | None:
        """A word's meaning in a closed table with case-folded keys; else None, nearest word noted."""
        key = text.strip().casefold()
        if key not in table:
            self.add(code, where, f"{text[:SHOWN]!r} is not a known word; {nearest(key, table)}")
        return table.get(key)

    def image(self, listed: str, where: str, code: str = "E_IMAGE_MISSING", folder: str = "") -> Path | None:
        """As `file`, but the extension may be left out; several files of such a name are E_JOIN."""
        relative = PurePosixPath(folder, listed.removeprefix("/"))
        beside = self._by_stem(str(relative.parent)).get(relative.name, [])
        if len(beside) > 1 and not (self.root / relative).is_file():
            message = f"{listed!r} fits {', '.join(beside)} in {relative.parent}; name it with its extension"
            self.add("E_JOIN", where, message)
        elif beside and not (self.root / relative).is_file():
            return self.file(beside[0], where, code, str(relative.parent))
        return self.file(listed, where, code, folder)

    def _by_stem(self, folder: str) -> dict[str, list[str]]:
        """Names of the image files of a folder, by these names without extension."""
        if folder not in self._stems:
            place, stems = self.root / folder, self._stems.setdefault(folder, {})
            for path in sorted(place.iterdir()) if ".." not in folder and place.is_dir() else []:
                if path.suffix.lower() in SUFFIXES:
                    stems.setdefault(path.stem, []).append(path.name)
        return self._stems[folder]

    def finish(self, samples: Iterable[Sample]) -> Listed:
        """The samples with all warnings, if nothing was wrong; else UserError with every problem."""
        refuse(list(self._problems.values()))
        return Listed(samples, self._noticed)


def slug(text: str) -> str:
    """Lower-case letters, digits and single underscores.

    >>> slug("Lung nodule or mass"), slug("celeba-hq")
    ('lung_nodule_or_mass', 'celeba_hq')
    """
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")


def identifier(text: str) -> str:
    """A path or name as (part of) a sample id: slashes become colons, odd characters hyphens.

    >>> identifier("train/NORMAL/a b")
    'train:NORMAL:a-b'
    """
    return re.sub(r"[^A-Za-z0-9._:-]", "-", text.replace("/", ":"))


def pattern(setting: str, text: str) -> re.Pattern[str]:
    """A compiled regular expression from params.yaml; UserError naming the setting if it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(f"{setting}: not a regular expression ({error}), got {text!r}") from None


def named(expression: re.Pattern[str], group: str, text: str) -> str:
    """What a named group matches in a text, or blank."""
    found = expression.search(text)
    return (found.groupdict().get(group) or "") if found else ""


def _read_records(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """Line number and cells of each record that is not blank."""
    if not path.is_file():
        refuse([Problem("E_LAYOUT", str(path), "expected this file, there is none")])
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"expected UTF-8, byte {error.start} is not; save the file as UTF-8"
        raise UserError(str(Problem("E_ENCODING", str(path), message))) from None
    if "\0" in text:
        refuse([Problem("E_ENCODING", str(path), "expected text, got a NUL byte; is this a table?")])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cells)]
    except csv.Error:
        message = "quotes do not match; expected RFC 4180"
        raise UserError(str(Problem("E_ROW_SHAPE", f"{path} line {reader.line_num}", message))) from None


def _check_header(where: str, names: list[str], columns: Iterable[str]) -> list[Problem]:
    problems = []
    if "" in names[:-1] or len(set(names)) < len(names):
        problems.append(Problem("E_HEADER", where, "a column has no name, or two have the same; rename them"))
    for column in columns:
        if column not in names:
            hint = nearest(column, [name for name in names if name])
            problems.append(Problem("E_HEADER", where, f"expected a column {column!r}; {hint}"))
    return problems


def _find_in_any_case(path: Path) -> Path | None:
    if path.is_file() or not path.suffix:
        return path if path.is_file() else None
    cased = (path.with_suffix(path.suffix.lower()), path.with_suffix(path.suffix.upper()))
    return next((candidate for candidate in cased if candidate.is_file()), None)
