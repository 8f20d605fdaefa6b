"""The canonical manifest: one CSV row per image, with every rule that a row must keep.

Columns, words and error codes are those of the project's format description: 0 is normal, bona fide or
authentic, 1 is abnormal, attack or synthetic; blank means unknown. A message never quotes a free-text cell
(`native_label`, `licence`, ...), since such cells may carry personal data.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.common.errors import UserError, nearest
from pipeline.common.files import write_text
from pipeline.data.samples import Boxes, Ellipses, Problem, Sample

COLUMNS = (
    *("sample_id", "dataset", "dataset_version", "image_path", "sha256", "modality", "task"),
    *("label", "class_name", "native_label", "subject_id", "subject_known", "group_id"),
    *("source", "source_kind", "sensor", "site", "split", "native_split"),
    *("ann_kind", "ann_paths", "ann_sha256", "ann_count", "ann_scope", "ann_correct_only"),
    *("ann_sigma_px", "ann_weight", "width", "height", "bits", "photometric"),
    *("spacing_row_mm", "spacing_col_mm", "spacing_kind", "roi", "roi_source"),
    *("phi_flag", "quarantine", "licence", "adapter", "adapter_version"),
)
WORDS = {  # column -> closed list
    "modality": ("cxr", "iris_nir", "iris_vis", "face", "finger"),
    "task": ("cxr_anomaly", "iris_pad", "face_pad", "finger_pad", "synth_face"),
    "source_kind": ("site", "generator", "attack_type", "material", "sensor"),
    "split": ("train", "val", "test", "none"),
    "ann_kind": ("none", "soft_map", "mask", "boxes", "ellipses", "polygons", "rle", "fixations"),
    "ann_scope": ("finding", "decision", "gaze", "anatomy"),
    "ann_weight": ("duration", "count", "certainty", "none"),
    "photometric": ("MONOCHROME1", "MONOCHROME2", "RGB", "L"),
    "spacing_kind": ("", "PixelSpacing", "ImagerPixelSpacing", "dpi"),
    "roi_source": ("", "file", "model", "center"),
    "phi_flag": ("absent", "no", "yes"),
}
NORMAL = frozenset(("normal", "live", "bona_fide", "authentic", "real"))
ABNORMAL = frozenset(("abnormal", "attack", "spoof", "synthetic", "fake"))
ADAPTER_VERSION = "1"  # raised when an adapter's rows change their meaning
_SAMPLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,200}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class Facts:
    """What is known only after a file was read and decoded; sizes in px, spacings in mm."""

    file_bytes: int
    width: int
    height: int
    bits: int
    photometric: str
    spacing_row_mm: float | None = None
    spacing_col_mm: float | None = None
    spacing_kind: str = ""
    roi: str = ""
    roi_source: str = ""
    phi_flag: str = "absent"


def sample_id(adapter: str, sample: Sample) -> str:
    """The key of a row: `<adapter>:<native id>`."""
    return f"{adapter}:{sample.native_id}"


def listed_row(adapter: str, sample: Sample, image_path: str, task: str) -> dict[str, str]:
    """The columns that the listing alone decides; `image_path` is relative to the data set's root."""
    own_id = sample_id(adapter, sample)
    group = (
        f"{adapter}:{sample.group_id}" if sample.group_id and ":" not in sample.group_id else sample.group_id
    )
    group = group or own_id
    row = {
        **dict.fromkeys(COLUMNS, ""),
        "sample_id": own_id,
        "dataset": adapter,
        "image_path": image_path,
        "modality": sample.modality,
        "task": task,
        "label": str(sample.label),
        "class_name": sample.class_name,
        "native_label": sample.native_label,
        "subject_id": sample.subject_id or group,
        "subject_known": str(int(bool(sample.subject_id))),
        "group_id": group,
        "source": sample.source,
        "source_kind": sample.source_kind,
        "sensor": sample.sensor,
        "site": sample.site,
        "split": "none",
        "native_split": sample.native_split,
        "ann_kind": "none",
        "ann_count": "0",
        "ann_scope": sample.ann_scope,
        "ann_weight": "none",
        "quarantine": "0",
        "licence": sample.licence,
        "adapter": adapter,
        "adapter_version": ADAPTER_VERSION,
    }
    return {column: _CONTROL.sub(" ", text) for column, text in row.items()}  # one line of CSV per row


def decoded_columns(sample: Sample, facts: Facts, map_sha256: str) -> dict[str, str]:
    """The columns that only the decoded file can fill, `ann_paths` aside: see `number_maps`.

    `map_sha256` is the hash of the prepared map's bytes, blank if there is no map.
    """
    columns = {
        "width": str(facts.width),
        "height": str(facts.height),
        "bits": str(facts.bits),
        "photometric": facts.photometric,
        "spacing_row_mm": _number(facts.spacing_row_mm),
        "spacing_col_mm": _number(facts.spacing_col_mm),
        "spacing_kind": facts.spacing_kind,
        "roi": facts.roi,
        "roi_source": facts.roi_source,
        "phi_flag": facts.phi_flag,
    }
    if map_sha256:
        count = len(sample.annotations) if sample.ann_count is None else sample.ann_count
        columns |= {
            "ann_kind": "mask" if sample.ann_kind == "mask" else "soft_map",
            "ann_sha256": map_sha256,
            "ann_count": str(count),
            "ann_sigma_px": sample.ann_sigma_px,
            "ann_weight": sample.ann_weight,
        }
    return columns


def number_maps(rows: Sequence[dict[str, str]]) -> None:
    """Point each annotated row at its map: `maps.npy#<row number>` of the prepared store."""
    for number, row in enumerate(rows):
        row["ann_paths"] = f"maps.npy#{number}" if row["ann_kind"] != "none" else ""


def has_shapes(sample: Sample) -> bool:
    """Whether any annotator marked anything; lists of zero boxes or ellipses mark nothing."""
    return any(
        len(annotation.corners) > 0 if isinstance(annotation, Boxes | Ellipses) else True
        for annotation in sample.annotations
    )


def listing_problems(rows: Sequence[Mapping[str, str]], wheres: Sequence[str]) -> list[Problem]:
    """Rules that hold before any file is decoded; `wheres[i]` leads to row i."""
    found: list[Problem] = []
    first: dict[str, str] = {}
    for row, where in zip(rows, wheres, strict=True):
        own_id = row["sample_id"]
        if own_id in first:
            message = f"sample_id {own_id!r} came already from {first[own_id]}; ids must be unique"
            found.append(Problem("E_DUP_ID", where, message))
        first.setdefault(own_id, where)
        found += [Problem(code, where, text) for code, text in _listed_rules(row)]
    return found


def decoded_problems(row: Mapping[str, str], where: str) -> list[Problem]:
    """Rules about the decoded file; breaking one makes its row unusable. `images` checks regions."""
    return [Problem(code, where, text) for code, text in _decoded_rules(row)]


def problems(frame: pd.DataFrame) -> list[Problem]:
    """Every broken rule of a whole manifest; `where` is the line of the CSV (the header is line 1)."""
    rows = [dict(zip(COLUMNS, cells, strict=True)) for cells in frame.itertuples(index=False, name=None)]
    wheres = [f"manifest.csv line {number} ({row['sample_id']})" for number, row in enumerate(rows, start=2)]
    found = listing_problems(rows, wheres)
    for row, where in zip(rows, wheres, strict=True):
        found += decoded_problems(row, where)
        found += [Problem(code, where, text) for code, text in _whole_row_rules(row)]
    return found


def _listed_rules(row: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    if not _SAMPLE_ID.fullmatch(row["sample_id"]):
        yield "E_ROW_SHAPE", f"sample_id {row['sample_id']!r}: expected 1 to 200 of A-Z a-z 0-9 . _ : -"
    path = row["image_path"]
    if path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/"):
        yield "E_PATH_ESCAPE", f"image_path {path!r}: expected a relative path below the data root"
    if row["label"] not in ("0", "1"):
        yield "E_LABEL", f"label: expected 0 or 1, got {row['label']!r}"
    for column in ("modality", "task", "source_kind", "split", "ann_kind", "ann_scope", "ann_weight"):
        if row[column] not in WORDS[column]:
            yield "E_ENUM", f"{column} {row[column]!r}: {nearest(row[column], WORDS[column])}"
    if not _SLUG.fullmatch(row["class_name"]):
        yield "E_ENUM", f"class_name {row['class_name']!r}: expected lower-case letters, digits and _"
    contradicts = NORMAL if row["label"] == "1" else ABNORMAL
    if row["class_name"] in contradicts:
        yield (
            "E_LABEL_RULE",
            f"class {row['class_name']!r} contradicts label {row['label']}; mend one of them",
        )
    if not _SLUG.fullmatch(row["source"]):
        yield "E_SOURCE", f"source {row['source']!r}: expected lower-case letters, digits and _"
    if row["subject_known"] == "1" and not row["subject_id"]:
        yield "E_SUBJECT", "subject_known is 1 but subject_id is blank; give it or set subject_known to 0"
    if row["subject_known"] == "0" and row["subject_id"] != row["group_id"]:
        yield "E_SUBJECT", "subject_known is 0, so subject_id must equal group_id"
    if row["ann_kind"] != "none" and row["ann_scope"] == "anatomy":
        yield "E_SCOPE", "anatomy must not guide a loss; leave it out or give the finding's annotation"


def _decoded_rules(row: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    size = f"{row['width']}x{row['height']}"
    if not all(row[column].isdigit() and int(row[column]) > 0 for column in ("width", "height", "bits")):
        yield "E_DIMS", f"expected whole numbers above 0, got {size} with {row['bits']!r} bits"
        return
    for column in ("photometric", "spacing_kind", "roi_source", "phi_flag"):
        if row[column] not in WORDS[column]:
            yield "E_ENUM", f"{column} {row[column]!r}: {nearest(row[column], WORDS[column])}"
    if (
        row["modality"].startswith("iris")
        and not row["roi"]
        and (size, row["photometric"]) != ("640x480", "L")
    ):
        came = f"got {size} {row['photometric']}"
        yield "E_IRIS_FORMAT", f"expected 640x480 with one channel, {came}; convert it or give a roi"
    for column in ("spacing_row_mm", "spacing_col_mm"):
        if row[column] and not 0 < float(row[column]) <= 10:
            yield "E_SPACING", f"{column}: expected above 0 and at most 10 mm, got {row[column]}"
    if row["phi_flag"] == "yes" and row["quarantine"] == "0":
        yield "E_PHI", "the file says that identifying text is burnt in; remove the text or the file"


def _whole_row_rules(row: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    if not _SHA256.fullmatch(row["sha256"]):
        yield "E_HASH_FORMAT", "sha256: expected 64 lower-case hexadecimal digits"
    paths = row["ann_paths"].split("|") if row["ann_paths"] else []
    hashes = row["ann_sha256"].split("|") if row["ann_sha256"] else []
    counted = row["ann_count"].isdigit() and int(row["ann_count"]) > 0
    if row["ann_kind"] == "none" and (paths or row["ann_count"] != "0"):
        yield "E_ANN_NONE", "ann_kind is none, so ann_paths must be blank and ann_count 0"
    if row["ann_kind"] != "none" and not (paths and counted):
        yield "E_ANN_NONE", f"ann_kind is {row['ann_kind']}, so ann_paths and ann_count must say what it is"
    if len(paths) != len(hashes) or not all(_SHA256.fullmatch(text) for text in hashes):
        yield "E_HASH_FORMAT", "ann_sha256: expected one SHA-256 for each of ann_paths"


def table(rows: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    """Rows as a text table with the canonical columns."""
    return pd.DataFrame([[row[column] for column in COLUMNS] for row in rows], columns=COLUMNS, dtype="str")


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
        raise UserError(f"E_HEADER {path}: expected the {len(COLUMNS)} canonical columns; {detail}")
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(COLUMNS):
            came = f"expected {len(COLUMNS)} fields, got {len(cells)}"
            raise UserError(f"E_ROW_SHAPE {path} row {number}: {came}")
    return pd.DataFrame(lines[1:], columns=COLUMNS, dtype="str")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"
