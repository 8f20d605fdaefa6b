"""Trace a number of the report to the trainings, files and images that it rests on.

    python -m pipeline.trace evidence 2                     the 2nd row of reports/tables/evidence.csv
    python -m pipeline.trace evidence 2 --to used.csv       and every test image with the answers to it

Where files have pseudonyms, `python -m pipeline.names` tells on this machine which they are.
Rows are counted from 1 below the head, as the report's page says them. Every cell is shown with its key, its
folders and whether its scores are those that its record was made of.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.common.cli import exit_with
from pipeline.common.config import Params, load
from pipeline.common.errors import UserError, nearest
from pipeline.common.files import sha256_file, write_csv
from pipeline.common.paths import CELLS, FLOORS, PREPARED, REPORTS
from pipeline.data.pseudonyms import PSEUDONYM
from pipeline.grid import records
from pipeline.grid.cells import Cell
from pipeline.present.results import read_table

TABLES = REPORTS / "tables"
SCORES = "scores.csv"


def trace(params: Params, table: str, row: int, to: Path | None = None) -> None:
    """Print what a row of a table rests on, and write its images to a CSV file if one is named.

    Raises UserError if there is no such table or row, or if its cells are no longer there.
    """
    about = _row(table, row)
    print(f"{TABLES / table}.csv, row {row}")
    for name, value in about.items():
        if value != "" and value == value and name != "cells":
            print(f"  {name:12}{value}")
    found = list(_models(about))
    if not found:
        raise UserError(f"{table} {row}: it rests on no cell; choose a row whose column `cells` names some")
    for title, key, folders in found:
        print(f"{title}: key {key}")
        for folder in folders:
            print(f"  {folder}{_state(folder)}")
    scored = pd.concat([_scores(params, *model, about) for model in found], ignore_index=True)
    counts = scored.groupby(["role", "label"]).size().rename("scores").reset_index()
    print(counts.to_string(index=False))
    if to:
        write_csv(to, scored)
        print(f"{to}: {len(scored)} scores of {scored['sample_id'].nunique()} images")


def _row(table: str, row: int) -> dict[str, Any]:
    names = sorted(path.stem for path in TABLES.glob("*.csv"))
    if table not in names:
        raise UserError(f"no table {table!r} in {TABLES}: {nearest(table, names)}")
    rows = read_table(TABLES / f"{table}.csv")
    if "cells" not in rows:
        raise UserError(f"{table}: its rows name no cells; take one of the report's tables, such as evidence")
    if not 1 <= row <= len(rows):
        raise UserError(f"{table}: no row {row}; it has 1 to {len(rows)}")
    return {str(name): value for name, value in rows.iloc[row - 1].items()}


def _models(about: dict[str, Any]) -> Iterator[tuple[str, str, list[Path]]]:
    """(name, key, folders) of each training, or floor, behind a row."""
    cells = read_table(TABLES / "cells.csv")
    for short in str(about["cells"]).split() if about["cells"] == about["cells"] else ():
        if about.get("beside") == "floor":
            yield from _floors(str(about["method"]), short, cells)
            continue
        same = cells[cells["cell"] == short]
        if same.empty:
            raise UserError(f"{TABLES}: cells.csv has no cell {short}; run `python -m pipeline.report` again")
        each = same.iloc[0]
        cell = Cell(each["draw"], each["backbone"], each["method"], each["seed"])
        name = f"{cell.dataset}/{cell.backbone}/{cell.method}/{cell.seed}"
        yield (
            name,
            each["train_key"],
            [cell.folder(top) for top in CELLS.values() if cell.folder(top).is_dir()],
        )


def _floors(method: str, short: str, cells: pd.DataFrame) -> Iterator[tuple[str, str, list[Path]]]:
    for draw in cells["draw"].unique():
        folder = CELLS["evaluate"] / draw / FLOORS
        record = records.read(folder)
        if record and record["key"].startswith(short):
            yield f"{draw}: {method}, without a network", record["key"], [folder]


def _state(folder: Path) -> str:
    """Whether a folder's files are those of its record."""
    record = records.read(folder)
    if record is None:
        return ""  # attacks have theirs one level below
    wrong = [name for name, digest in record["files"].items() if _digest(folder / name) != digest]
    return (
        f" (not as recorded: {', '.join(wrong)})"
        if wrong
        else f" ({len(record['files'])} files, as recorded)"
    )


def _digest(path: Path) -> str:
    return sha256_file(path) if path.is_file() else "missing"


def _scores(params: Params, title: str, key: str, folders: list[Path], about: dict[str, Any]) -> pd.DataFrame:
    """Every scored image of one model: where its file lies, or the pseudonym, and the logit difference."""
    folder = next((each for each in folders if each.is_relative_to(CELLS["evaluate"])), None)
    if folder is None or not (folder / SCORES).is_file():
        raise UserError(f"{title}: its scores are not in {CELLS['evaluate']}/; run `dvc repro evaluate`")
    scores = read_table(folder / SCORES)
    if "floor" in scores:
        scores = scores[scores["floor"] == about["method"]]
    draw = folder.relative_to(CELLS["evaluate"]).parts[0]
    manifest = pd.read_csv(PREPARED / draw / "manifest.csv", dtype=str, keep_default_na=False)
    paths = manifest.set_index("sample_id")["image_path"]
    root = Path(params.datasets[draw].root)
    listed = [paths[name] for name in scores["sample_id"]]
    where = [path if PSEUDONYM.fullmatch(path) else str(root / path) for path in listed]
    columns = ["sample_id", "role", "source", "label", "logit_difference"]
    return scores[columns].assign(image=where, model=title, key=key)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline.trace",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("report_table", metavar="table", help="a table of reports/tables, such as evidence")
    made.add_argument("row", type=int, help="counted from 1 below the head")
    made.add_argument("--to", type=Path, metavar="FILE.csv", help="write every image and answer to this file")
    made.add_argument("--debug", action="store_true", help="show tracebacks of expected mistakes")
    return made


def main() -> None:
    """Command line."""
    args = parser().parse_args()
    exit_with(
        lambda: trace(load(Path("params.yaml")), args.report_table, args.row, args.to),
        debug=args.debug,
        name="trace",
    )


if __name__ == "__main__":
    main()
