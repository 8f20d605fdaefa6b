"""Draw the phantoms: invented chest films, irises and faces in the published on-disk layouts.

Their causes are known pixel by pixel (`truth/`), which no real data set offers; they are no medical data.
Beside each task's folder stands what it was drawn from: while that and the drawn files are the same, they
are kept.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import joblib

from pipeline.common import catalogue
from pipeline.common.cli import run_stage
from pipeline.common.code import code_hash
from pipeline.common.config import Params
from pipeline.common.files import canonical_json, sha256_text, write_json, write_text
from pipeline.common.paths import PHANTOMS
from pipeline.common.progress import track
from pipeline.common.section import Choice
from pipeline.common.tree import hash_tree

README = "Phantoms: drawn by `python -m pipeline.phantoms`, one folder per task. {tasks}.\n"


def phantoms(params: Params) -> None:
    """Write `data/raw/phantoms/<task>` for every task in `params.phantoms`, side by side.

    New ones are drawn beside the old folder and take its place together with those that are kept; if one
    fails, the old folder stays. If all are kept, nothing is written.
    """
    seed = params.phantoms.seed
    tasks = {task: {"seed": seed, **choice} for task, choice in params.phantoms.tasks.items()}
    readme = README.format(tasks=", ".join(tasks) or "This profile has none")
    kept = [task for task, choice in tasks.items() if is_kept(PHANTOMS, task, find_key(choice))]
    if len(kept) < len(tasks) or not _holds_exactly(PHANTOMS, kept, readme):
        _replace_folder(tasks, kept, readme)
    for task in kept:
        print(f"{task}: as drawn before")


def _replace_folder(tasks: Mapping[str, Choice], kept: list[str], readme: str) -> None:
    PHANTOMS.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".phantoms-", dir=PHANTOMS.parent))
    try:
        fresh.chmod(0o755)
        write_text(fresh / "README", readme)
        for task in kept:
            shutil.copytree(PHANTOMS / task, fresh / task)
            shutil.copyfile(_record_path(PHANTOMS, task), _record_path(fresh, task))
        draw(fresh, {task: choice for task, choice in tasks.items() if task not in kept})
        shutil.rmtree(PHANTOMS, ignore_errors=True)
        fresh.replace(PHANTOMS)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def draw(root: Path, tasks: Mapping[str, Choice]) -> None:
    """Run the tasks' generators in processes of their own; prints a line on each task's size and time."""
    if not tasks:
        return
    jobs = (joblib.delayed(_draw)(root, task, choice) for task, choice in tasks.items())
    workers = min(len(tasks), 2 * joblib.cpu_count())  # three tasks share two cores evenly
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
    reports = list(track(parallel(jobs), "phantoms", total=len(tasks)))
    print("\n".join(sorted(reports)))


def _draw(root: Path, task: str, choice: Choice) -> str:
    started = time.perf_counter()
    catalogue.make("drawing", choice)(root=root / task)
    hashes = hash_tree(root / task)
    write_json(_record_path(root, task), {"key": find_key(choice), "files": _combine(hashes)})
    size = sum((root / task / path).stat().st_size for path in hashes)
    return f"{task}: {len(hashes)} files, {size / 1e6:.1f} MB, {time.perf_counter() - started:.0f} s"


def find_key(choice: Choice) -> str:
    """What a task's files follow from, as one hash: its generator's code, all its settings, the seed."""
    code = code_hash(catalogue.entry("drawing", choice["name"]))
    return sha256_text(canonical_json([code, catalogue.filled("drawing", choice)]))


def is_kept(folder: Path, task: str, key: str) -> bool:
    """Whether the task was drawn with this key, and no file of it has changed since."""
    try:
        record = json.loads(_record_path(folder, task).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(record == {"key": key, "files": _combine(hash_tree(folder / task))})


def _holds_exactly(folder: Path, tasks: list[str], readme: str) -> bool:
    """Whether the folder has these tasks, the text beside them, and nothing else."""
    expected = {"README", *tasks, *(_record_path(folder, task).name for task in tasks)}
    came = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return came == expected and (folder / "README").read_text(encoding="utf-8") == readme


def _record_path(folder: Path, task: str) -> Path:
    return folder / f"{task}.json"


def _combine(hashes: Mapping[str, str]) -> str:
    return sha256_text(canonical_json(hashes))


if __name__ == "__main__":
    run_stage("phantoms", __doc__)
