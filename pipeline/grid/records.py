"""`record.json` of a cell: what it was made of, and the hashes of the files it left.

The record is written last, so a folder without one is unfinished. Whatever may differ between two machines
(when, how long, on what hardware, at which commit) lies beside it in `circumstances.json`, which no hash
covers, so that equal results are equal bytes.
"""

import functools
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.common.code import PACKAGE
from pipeline.common.files import sha256_file, write_json
from pipeline.common.paths import CIRCUMSTANCES, RECORD
from pipeline.grid.cells import Task

SCHEMA = 2
FIELDS = {
    "schema": int,
    "stage": str,
    "cell": dict,
    "key": str,
    "settings": dict,
    "data_hash": str,
    "code_hash": str,
    "files": dict,
    "results": dict,
}
EPOCH_ENDS = "epoch_ends_s"  # a timing of trainings: when each epoch ended, s since the first began
PACKAGES = ("camdivide", "torch", "monai", "albumentations", "numpy", "scikit-learn")


def read(folder: Path) -> dict[str, Any] | None:
    """The record of a cell's folder; None if there is none, or a damaged one (which is said on stderr)."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _damaged(f"{path}: not readable as JSON ({error})")
        return None
    if not _is_record(record):
        _damaged(f"{path}: not a record of schema {SCHEMA}")
        return None
    return record


def changes(folder: Path, record: Mapping[str, Any], *, but: Sequence[str] = ()) -> Iterator[str]:
    """The files of a record that are not as they were written, a few words each; `but` are not looked at."""
    for name, digest in record["files"].items():
        path = folder / name
        if name in but:
            continue
        if not path.is_file():
            yield f"{path}: missing"
        elif sha256_file(path) != digest:
            yield f"{path}: differs from its record"


def finished(folder: Path, key: str) -> bool:
    """Whether a cell is done: its record carries `key` and every file it lists is as it was written.

    Damage is said on stderr; another key is not damage.
    """
    record = read(folder)
    if record is None or record["key"] != key:
        return False
    damage = next(changes(folder, record), None)
    if damage is not None:
        _damaged(damage)
    return damage is None


def write(
    task: Task,
    *,
    stage: str,
    files: Sequence[str],
    results: Mapping[str, Any],
    timings: Mapping[str, Any],
) -> None:
    """Write how a cell was made and, last, its record; `files` are names in its folder, hashed here.

    timings: in s, None where one is not known; `total_s`, if given, dates the start.
    """
    ended = datetime.now(UTC)
    started = ended - timedelta(seconds=timings.get("total_s") or 0)
    circumstances = {
        "started": started.isoformat(timespec="milliseconds"),
        "ended": ended.isoformat(timespec="milliseconds"),
        "timings": dict(timings),
        "git_commit": git_commit(),
        "versions": versions(),
        "hardware": hardware(),
    }
    record = {
        "schema": SCHEMA,
        "stage": stage,
        "cell": vars(task.cell),
        "key": task.key,
        "settings": task.settings,
        "data_hash": task.data_hash,
        "code_hash": task.code_hash,
        "files": {name: sha256_file(task.folder / name) for name in sorted(files)},
        "results": dict(results),
    }
    write_json(task.folder / CIRCUMSTANCES, circumstances)
    write_json(task.folder / RECORD, record)


def circumstances(folder: Path) -> dict[str, Any]:
    """When, how long and where a cell was made; empty where that is not known, as after `dvc pull`."""
    try:
        found = json.loads((folder / CIRCUMSTANCES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@functools.cache
def git_commit() -> str | None:
    """The commit the package's code is at; None outside git."""
    command = ["git", "-C", str(PACKAGE.resolve()), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@functools.cache
def versions() -> dict[str, str | None]:
    """Python and the packages that can change a result."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


@functools.cache
def hardware() -> dict[str, Any]:
    """Names of the machine's CPU and GPU; the latter None where there is none."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"system": platform.platform(), "cpu": _cpu_name(), "gpu": gpu}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _is_record(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(field), kind) for field, kind in FIELDS.items())
        and value["schema"] == SCHEMA
        and all(isinstance(digest, str) for digest in value["files"].values())
    )


def _damaged(what: str) -> None:
    print(f"warning: {what}; the cell counts as unfinished", file=sys.stderr)
