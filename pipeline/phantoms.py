"""Draw the phantoms: invented chest films, irises and faces in the published on-disk layouts.

Their causes are known pixel by pixel (`truth/`), which no real data set offers; they are no medical data.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import joblib

from pipeline.common import catalogue
from pipeline.common.cli import run_stage
from pipeline.common.config import Params
from pipeline.common.progress import track

FOLDER = Path("data/raw/phantoms")
README = "Phantoms: drawn by `python -m pipeline.phantoms`, one folder per task. {tasks}.\n"


def phantoms(params: Params) -> None:
    """Write `data/raw/phantoms/<task>` for every task in `params.phantoms`, side by side.

    All are drawn beside the old folder and replace it together; if one fails, the old folder stays.
    """
    tasks = params.phantoms.tasks
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".phantoms-", dir=FOLDER.parent))
    try:
        fresh.chmod(0o755)
        listed = ", ".join(tasks) or "This profile has none"
        (fresh / "README").write_text(README.format(tasks=listed), encoding="utf-8")
        reports = draw(fresh, params.phantoms.seed, tasks)
        shutil.rmtree(FOLDER, ignore_errors=True)
        fresh.replace(FOLDER)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    for report in sorted(reports):
        print(report)


def draw(root: Path, seed: int, tasks: dict[str, dict[str, Any]]) -> list[str]:
    """Run the tasks' generators in processes of their own; gives a line on each task's size and time."""
    if not tasks:
        return []
    jobs = (joblib.delayed(_draw)(root / task, seed, task, settings) for task, settings in tasks.items())
    workers = min(len(tasks), joblib.cpu_count())
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
    return list(track(parallel(jobs), "phantoms", total=len(tasks)))


def _draw(root: Path, seed: int, task: str, settings: dict[str, Any]) -> str:
    started = time.perf_counter()
    catalogue.get("drawing", task)(root=root, seed=seed, **settings)
    sizes = [path.stat().st_size for path in root.rglob("*") if path.is_file()]
    seconds = time.perf_counter() - started
    return f"{task}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, {seconds:.0f} s"


if __name__ == "__main__":
    run_stage("phantoms", __doc__)
