"""Run the whole pipeline by DVC: `make repro`, or `python -m pipeline.repro [profile]`.

Says first what will happen, and how far it is while it runs. With a profile everything happens in
`workspaces/<profile>`. Stages whose inputs have not changed are skipped, within a stage the finished cells.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.common.cli import exit_with
from pipeline.common.config import Params, load
from pipeline.common.paths import PAGE, REPORTS
from pipeline.common.progress import duration
from pipeline.common.workspace import project, workspace
from pipeline.grid.cells import cells

# Seconds of the default run on two idle cores; this machine's own pace stretches them.
TYPICAL = {
    "phantoms": 42, "prepare": 7, "train": 137, "evaluate": 47, "identify": 20, "robustness": 31,
    "report": 31, "track": 17,
}  # fmt: skip
PER_DATASET = "prepare"
ADVICE = (
    "> ",
    "Use `dvc push`",
    "To track the changes",
    "\tgit add",
    "To enable auto",
    "\tdvc config",
    "Updating lock",
    "Generating lock",
)


class Progress:
    """Turns what DVC prints into what there is to know: which stage of how many, the time left of all."""

    def __init__(self, datasets: Iterable[str], typical: bool) -> None:
        """typical: the run takes as long as TYPICAL says, or in that proportion."""
        names = [
            [f"{PER_DATASET}@{each}" for each in datasets] if stage == PER_DATASET else [stage]
            for stage in TYPICAL
        ]
        self.stages = [name for group in names for name in group]
        self.typical = typical
        self.kept: list[str] = []
        self.running: tuple[str, float] | None = None  # stage, since when
        self.took = self.expected = 0.0  # s of the stages that ran

    def lines(self, line: str, now: float) -> Iterator[str]:
        """What to print for a line of DVC's; `now` in seconds."""
        name = line.split("'")[1] if line.startswith(("Running stage", "Stage '")) else ""
        if line.endswith("skipping"):
            self.kept.append(name)
        elif line.startswith("Running stage"):
            yield from self._start(name, now)
        elif line.strip() and not line.startswith(ADVICE):
            yield line

    def _start(self, name: str, now: float) -> Iterator[str]:
        if self.running:
            before, since = self.running
            self.took, self.expected = self.took + now - since, self.expected + _typical(before)
        if self.kept:
            yield f"as before: {', '.join(self.kept)}"
            self.kept.clear()
        self.running = name, now
        place = self.stages.index(name) + 1
        yield f"\n{name}: stage {place} of {len(self.stages)}{self._left(place)}"

    def _left(self, place: int) -> str:
        """The time that this stage and those after it take, if they all run."""
        if not self.typical or place == len(self.stages):
            return ""
        pace = max(1.0, self.took / self.expected) if self.expected else 1.0  # finished cells take no time
        return f", {duration(pace * sum(map(_typical, self.stages[place - 1 :])))} left of all"


def _typical(stage: str) -> float:
    return TYPICAL[stage.split("@")[0]]


def repro(profile: str | None) -> None:
    """Run the pipeline and leave with DVC's exit code; raises UserError for settings that cannot be used."""
    folder = workspace(profile) if profile else project()
    params = load(folder / "params.yaml")
    progress = Progress(params.datasets, typical=profile is None)
    print(plan(params, folder, progress), flush=True)
    sys.exit(follow(folder, progress))


def plan(params: Params, folder: Path, progress: Progress) -> str:
    """What will happen, how long it takes where that is known, and where results go."""
    count = sum(len(cells(params, name)) for name in params.datasets)
    about = sum(map(_typical, progress.stages)) / 60
    long = (
        f", about {about:.0f} minutes on two idle cores if nothing is there yet" if progress.typical else ""
    )
    counts = f"{len(params.datasets)} data sets, {len(params.methods)} methods, {count} trainings"
    page = os.path.relpath(folder / REPORTS / PAGE)
    return f"camdivide: {counts}; {len(progress.stages)} stages{long}. Results: {page}"


def follow(folder: Path, progress: Progress) -> int:
    """Run `dvc repro` in a folder, printing what `progress` makes of it; gives its exit code."""
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )  # stages call `python`
    command = [sys.executable, "-m", "dvc", "repro"]
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | {"PATH": path}, stdout=subprocess.PIPE, text=True
    ) as dvc:
        assert dvc.stdout is not None
        try:
            for line in dvc.stdout:
                for said in progress.lines(line.rstrip(), time.monotonic()):
                    print(said, flush=True)
        except KeyboardInterrupt:  # DVC and the stage have been told too
            dvc.wait()
            raise
    return dvc.returncode


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline.repro",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("profile", nargs="?", help="a file of profiles/, without .yaml")
    return made


def main() -> None:
    """Command line."""
    profile = parser().parse_args().profile
    exit_with(lambda: repro(profile), debug=False, name="repro")


if __name__ == "__main__":
    main()
