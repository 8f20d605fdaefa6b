"""The manifest: one CSV row per image, with every rule that a row must keep (docs/formats.md).

0 is normal, bona fide or authentic, 1 is abnormal, attack or synthetic; blank means unknown.
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from pipeline.common.errors import UserError
from pipeline.common.files import write_text
from pipeline.data.problems import Problem
from pipeline.data.samples import Sample

SPLITS = ("train", "val", "test", "none")
SOURCE_KINDS = ("site", "generator", "attack_type", "material", "sensor")
PHOTOMETRICS = ("MONOCHROME1", "MONOCHROME2", "RGB", "L")
PHI_FLAGS = ("absent", "no", "yes")  # whether the file says that patient data are burned into its pixels
NORMAL = frozenset(("normal", "live", "bona_fide", "authentic", "real"))
ABNORMAL = frozenset(("abnormal", "attack", "spoof", "synthetic", "fake"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def _require(code: str, expected: str, holds: Callable[[Any], object]) -> WrapValidator:
    """A field's rule with its error code; it also stands for a value that is not of the field's type."""

    def check(value: Any, parse: Callable[[Any], Any]) -> Any:
        try:
            parsed = parse(value)
        except ValidationError:
            parsed = None
        if parsed is None or not holds(parsed):
            raise PydanticCustomError(code, "{text}", {"text": f"expected {expected}, got {value!r}"})
        return parsed

    return WrapValidator(check)


def _require_word(code: str, words: Collection[str]) -> WrapValidator:
    return _require(code, " or ".join(word or "blank" for word in words), words.__contains__)


def _require_slug(code: str) -> WrapValidator:
    return _require(code, "lower-case letters, digits and _", re.compile(r"[a-z0-9][a-z0-9_]*").fullmatch)


def _is_below_root(path: str) -> bool:
    return not (path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/"))


Above0 = Annotated[int, _require("E_DIMS", "a whole number above 0", lambda number: number > 0)]


class ListedRow(BaseModel):
    """The columns that the listing alone decides, before any file is decoded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_id: Annotated[
        str,
        _require(
            "E_ROW_SHAPE", "1 to 200 of A-Z a-z 0-9 . _ : -", re.compile(r"[A-Za-z0-9._:-]{1,200}").fullmatch
        ),
    ]
    image_path: Annotated[str, _require("E_PATH_ESCAPE", "a path below the data root", _is_below_root)]
    modality: Annotated[str, _require_slug("E_ENUM")]
    label: Annotated[int, _require("E_LABEL", "0 or 1", (0, 1).__contains__)]
    class_name: Annotated[str, _require_slug("E_ENUM")]
    subject_id: Annotated[str, _require("E_SUBJECT", "a subject, or the group where none is known", bool)]
    subject_known: Annotated[int, _require("E_SUBJECT", "0 or 1", (0, 1).__contains__)]
    group_id: str
    source: Annotated[str, _require_slug("E_SOURCE")]
    source_kind: Annotated[str, _require_word("E_ENUM", SOURCE_KINDS)]
    native_split: Annotated[str, _require_word("E_ENUM", ("", *SPLITS[:3]))]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        contradicts = NORMAL if self.label == 1 else ABNORMAL
        if self.class_name in contradicts:
            text = f"class {self.class_name!r} contradicts label {self.label}; mend one of them"
            raise PydanticCustomError("E_LABEL_RULE", "{text}", {"text": text})
        if not self.subject_known and self.subject_id != self.group_id:
            text = "subject_known is 0, so subject_id must equal group_id"
            raise PydanticCustomError("E_SUBJECT", "{text}", {"text": text})
        return self


class ManifestRow(ListedRow):
    """A whole row: what was listed, what the decoded file tells, and the split it was given."""

    sha256: Annotated[
        str,
        _require("E_HASH_FORMAT", "64 lower-case hexadecimal digits", re.compile("[0-9a-f]{64}").fullmatch),
    ]
    file_bytes: Above0
    width: Above0
    height: Above0
    bits: Above0
    photometric: Annotated[str, _require_word("E_ENUM", PHOTOMETRICS)]
    phi_flag: Annotated[str, _require_word("E_ENUM", PHI_FLAGS)]
    annotators: Annotated[
        int, _require("E_ANN_NONE", "how many people marked it, 0 for none", lambda number: number >= 0)
    ]
    split: Annotated[str, _require_word("E_ENUM", SPLITS)]

    @model_validator(mode="after")
    def _shows_no_patient_data(self) -> Self:
        if self.phi_flag == "yes":
            text = "the file says that identifying text is burnt in; remove the text or the file"
            raise PydanticCustomError("E_PHI", "{text}", {"text": text})
        return self


COLUMNS = tuple(ManifestRow.model_fields)


def listed(sample: Sample, root: Path) -> dict[str, Any]:
    """The columns of `ListedRow` for a sample of a data set at `root`."""
    group = sample.group_id or sample.sample_id
    group = group if ":" in group else f"{sample.adapter}:{group}"
    row: dict[str, Any] = {
        "sample_id": sample.sample_id,
        "image_path": sample.image_path.relative_to(root).as_posix(),
        "modality": sample.modality,
        "label": sample.label,
        "class_name": sample.class_name,
        "subject_id": sample.subject_id or group,
        "subject_known": int(bool(sample.subject_id)),
        "group_id": group,
        "source": sample.source,
        "source_kind": sample.source_kind,
        "native_split": sample.native_split,
    }
    # one line of CSV per row
    return {name: _CONTROL.sub(" ", cell) if isinstance(cell, str) else cell for name, cell in row.items()}


def listing_problems(rows: Sequence[Mapping[str, Any]], wheres: Sequence[str]) -> list[Problem]:
    """Rules that hold before any file is decoded; `wheres[i]` leads to row i."""
    found = _repeated_ids(rows, wheres)
    for row, where in zip(rows, wheres, strict=True):
        found += _broken_rules(ListedRow, row, where)
    return found


def problems(frame: pd.DataFrame) -> list[Problem]:
    """Every broken rule of a whole manifest; `where` is the line of the CSV (the header is line 1)."""
    rows = frame.to_dict("records")
    wheres = [f"manifest.csv line {number} ({row['sample_id']})" for number, row in enumerate(rows, start=2)]
    found = _repeated_ids(rows, wheres)
    for row, where in zip(rows, wheres, strict=True):
        found += _broken_rules(ManifestRow, row, where)
    return found


def _repeated_ids(rows: Iterable[Mapping[Any, Any]], wheres: Iterable[str]) -> list[Problem]:
    found: list[Problem] = []
    first: dict[str, str] = {}
    for row, where in zip(rows, wheres, strict=True):
        own_id = row["sample_id"]
        if own_id in first:
            message = f"sample_id {own_id!r} came already from {first[own_id]}; ids must be unique"
            found.append(Problem("E_DUP_ID", where, message))
        first.setdefault(own_id, where)
    return found


def _broken_rules(model: type[BaseModel], row: Mapping[Any, Any], where: str) -> list[Problem]:
    try:
        model.model_validate(dict(row))
    except ValidationError as error:
        return [
            Problem(rule["type"], where, ": ".join([*map(str, rule["loc"]), rule["msg"]]))
            for rule in error.errors(include_url=False)
        ]
    return []


def table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table of text with the columns of the manifest; what a row lacks is blank.

    >>> table([{"sample_id": "a:1", "label": 1}])[["sample_id", "label", "split"]].to_numpy().tolist()
    [['a:1', '1', '']]
    """
    cells = [[str(row.get(column, "")) for column in COLUMNS] for row in rows]
    return pd.DataFrame(cells, columns=COLUMNS, dtype="str")


def write(path: Path, frame: pd.DataFrame) -> None:
    """Write a manifest: UTF-8, LF, RFC 4180 quoting, header first."""
    write_text(path, frame.to_csv(index=False, columns=list(COLUMNS), lineterminator="\n"))


def read(path: Path) -> pd.DataFrame:
    """Read a manifest as text; raises UserError with E_ENCODING, E_HEADER or E_ROW_SHAPE."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"E_ENCODING {path}: expected UTF-8, got byte {error.start} undecodable") from None
    if "\0" in text:
        raise UserError(f"E_ENCODING {path}: expected text, got a NUL byte")
    lines = list(csv.reader(io.StringIO(text, newline="")))
    header = tuple(lines[0]) if lines else ()
    if header != COLUMNS:
        absent, extra = sorted(set(COLUMNS) - set(header)), sorted(set(header) - set(COLUMNS))
        detail = f"missing {absent}, extra {extra}" if absent or extra else "columns repeated or out of order"
        raise UserError(f"E_HEADER {path}: expected the {len(COLUMNS)} columns of a manifest; {detail}")
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(COLUMNS):
            came = f"expected {len(COLUMNS)} fields, got {len(cells)}"
            raise UserError(f"E_ROW_SHAPE {path} row {number}: {came}")
    return pd.DataFrame(lines[1:], columns=COLUMNS, dtype="str")
