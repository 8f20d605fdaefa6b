"""Verify that a run gave what the project says it gives: the proof of reproduction.

    python -m pipeline.verify           this folder's results against dvc.lock as committed and reference.csv
    python -m pipeline.verify --lock    whether dvc.lock describes the present code and settings
    python -m pipeline.verify --write   make the present results the reference

An unchanged dvc.lock after `make repro` says that every byte is equal. Where a processor rounds differently,
this says how far that went, per stage and cell: identical (the same bytes), equal (as tables show them, to
DIGITS digits), or different, with the largest difference; then the exit code is 1.
"""

import argparse
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from pipeline.common.cli import exit_with
from pipeline.common.code import PACKAGE
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file, write_csv
from pipeline.common.paths import CELLS, RECORD
from pipeline.grid import records

REFERENCE = Path("reference.csv")
LOCK = Path("dvc.lock")
DIGITS = 3  # after the point, in the report's tables
WHERE = ["stage", "dataset", "cell"]
VERDICTS = ("identical", "equal", "different")


class Difference(NamedTuple):
    """How one cell of one stage compares with the reference."""

    stage: str
    dataset: str
    cell: str  # backbone/method/seed, and the attack
    verdict: str
    largest: float  # difference of any number; NaN where the numbers are not the same ones


def verify() -> None:
    """Print how this folder's results compare; raises UserError if anything is different."""
    expected, found = _read_reference(), present()
    stages = changed_stages(_committed_lock(), yaml.safe_load(LOCK.read_text(encoding="utf-8")))
    differences = list(compare(expected, found))
    _show(stages, differences)
    wrong = [each for each in differences if each.verdict == "different"]
    drawn = [
        name for name, same in stages.items() if not same and name.split("@")[0] in ("phantoms", "prepare")
    ]
    if wrong or drawn:
        what = [f"{len(wrong)} of {len(differences)} cells"] if wrong else []
        what += [f"the bytes of {', '.join(drawn)}"] if drawn else []
        raise UserError(f"different from the reference: {' and '.join(what)}; see the table above")


def changed_stages(committed: dict[str, Any], present: dict[str, Any]) -> dict[str, bool]:
    """Each stage of the committed lock -> whether its outputs have the same hashes now."""
    then, now = (
        {name: _outputs(stage) for name, stage in lock["stages"].items()} for lock in (committed, present)
    )
    return {name: outputs == now.get(name) for name, outputs in then.items() if outputs}


def _outputs(stage: dict[str, Any]) -> dict[str, str]:
    return {out["path"]: out["md5"] for out in stage.get("outs", ())}


def present(root: Path = Path()) -> pd.DataFrame:
    """The cells on disk: WHERE, record (the start of its SHA-256), results (`name value; name value`)."""
    rows = []
    for stage, top in CELLS.items():
        for path in sorted((root / top).rglob(RECORD)):
            dataset, *cell = path.parent.relative_to(root / top).parts
            record = records.read(path.parent)
            if record is not None:
                text = "; ".join(_result(name, value) for name, value in record["results"].items())
                rows.append((stage, dataset, "/".join(cell), sha256_file(path)[:16], text))
    return pd.DataFrame(rows, columns=[*WHERE, "record", "results"])


def _result(name: str, value: float | str | None) -> str:
    """`name value`; a word belongs to the name, so that another word is another result."""
    if isinstance(value, str):
        return f"{name}={value} nan"
    return f"{name} {np.nan if value is None else value:.7g}"


def compare(expected: pd.DataFrame, found: pd.DataFrame) -> Iterator[Difference]:
    """Every cell that the reference has, and every other one on disk; both as `present` gives them."""
    then, now = (frame.set_index(WHERE) for frame in (expected, found))
    for place in dict.fromkeys([*then.index, *now.index]):
        stage, dataset, cell = place
        if place not in then.index or place not in now.index:
            yield Difference(stage, dataset, cell, "different", np.nan)
        elif then.loc[place, "record"] == now.loc[place, "record"]:
            yield Difference(stage, dataset, cell, "identical", 0.0)
        else:
            verdict, largest = _numbers(then.loc[place, "results"], now.loc[place, "results"])
            yield Difference(stage, dataset, cell, verdict, largest)


def _numbers(then: str, now: str) -> tuple[str, float]:
    """The verdict on one cell's results, and the largest difference among them."""
    one, two = (
        pd.Series(dict(part.split() for part in text.split("; ") if part), dtype=float)
        for text in (then, now)
    )
    if set(one.index) != set(two.index) or (one.isna() != two[one.index].isna()).any():
        return "different", np.nan
    shown = (one.round(DIGITS) - two[one.index].round(DIGITS)).abs().fillna(0)
    largest = float((one - two[one.index]).abs().fillna(0).max()) if len(one) else 0.0
    return ("equal" if (shown < 10.0**-DIGITS / 2).all() else "different"), largest


def check_lock() -> None:
    """Raise UserError if the code or settings are newer than dvc.lock."""
    from dvc.repo import Repo

    changed: dict[str, list[str]] = {}
    for stage in Repo(str(Path.cwd())).index.stages:
        known = [dep for dep in stage.deps if str(dep.def_path).startswith(("pipeline/", "params.yaml"))]
        for name in [name for dep in known for name in dep.workspace_status()]:
            changed.setdefault(name, []).append(stage.addressing)
        if stage.changed_stage():
            changed.setdefault("dvc.yaml", []).append(stage.addressing)
    if changed:
        raise UserError(
            [
                f"dvc.lock is older than {name} (of {', '.join(stages)})"
                for name, stages in sorted(changed.items())
            ]
            + ["run `make repro` and commit dvc.lock"]
        )


def _read_reference() -> pd.DataFrame:
    if not REFERENCE.is_file():
        raise UserError(f"{REFERENCE}: not found; run from the project's root folder")
    return pd.read_csv(REFERENCE, dtype=str, na_filter=False)  # no results are a blank text


def _committed_lock() -> dict[str, Any]:
    """dvc.lock as the last commit has it; raises UserError outside git."""
    command = ["git", "-C", str(PACKAGE.parent), "show", f"HEAD:{LOCK}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{LOCK}: no committed version to compare with: {done.stderr.strip()}")
    committed: dict[str, Any] = yaml.safe_load(io.StringIO(done.stdout))
    return committed


def _show(stages: dict[str, bool], differences: list[Difference]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", "bytes", *VERDICTS, "largest difference", title="Against the reference")
    frame = pd.DataFrame(differences, columns=Difference._fields)
    for name, same in stages.items():
        stage, _, dataset = name.partition("@")
        mine = frame[frame["stage"] == stage]
        mine = mine[mine["dataset"] == dataset] if dataset else mine
        counts = [str((mine["verdict"] == verdict).sum()) if len(mine) else "" for verdict in VERDICTS]
        largest = f"{mine['largest'].max():.2g}" if len(mine) else ""
        table.add_row(name, "identical" if same else "different", *counts, largest)
    Console().print(table)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = made.add_mutually_exclusive_group()
    what.add_argument("--lock", action="store_true", help="check only whether dvc.lock is up to date")
    what.add_argument("--write", action="store_true", help=f"write {REFERENCE} from the present results")
    made.add_argument("--debug", action="store_true", help="show tracebacks")
    return made


def main() -> None:
    """Command line."""
    args = parser().parse_args()
    work = check_lock if args.lock else (lambda: write_csv(REFERENCE, present())) if args.write else verify
    exit_with(work, debug=args.debug, name="verify")


if __name__ == "__main__":
    main()
