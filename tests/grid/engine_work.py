"""What the engine's tests run in workers: the method's name says how a cell behaves."""

import json
import os
import sys
import time
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.grid import engine, records
from pipeline.grid.cells import Cell, Task

PATIENCE = 60  # s that cells wait for each other


def task(root: Path, method: str, seed: int = 0, dataset: str = "tiny") -> Task:
    cell = Cell(dataset, "compact", method, seed)
    return Task(cell, cell.folder(root), f"key of {cell.name}", {"seed": seed})


def meeting(root: Path, count: int) -> list[Task]:
    """Cells that end only when all of them have started."""
    return [task(root, "meets", seed)._replace(settings={"all": count}) for seed in range(count)]


def seen(task: Task) -> dict:
    """What a cell that ran noticed about its worker."""
    found: dict = json.loads((task.folder / "seen.json").read_text())
    return found


def work(task: Task, *, device: str) -> None:
    """Write one file and the record, unless the method's name is another wish."""
    task.folder.mkdir(parents=True, exist_ok=True)
    with (task.folder / "tries").open("a") as file:
        file.write(f"{os.getpid()}\n")
    modules = sorted(name for name, module in sys.modules.items() if module is not None)
    holes = [name for name, module in sys.modules.items() if module is None]
    noticed = {"device": device, "pid": os.getpid(), "modules": modules, "holes": holes}
    (task.folder / "seen.json").write_text(json.dumps(noticed))
    if task.cell.method == "mistake":
        raise UserError(["first problem", "second problem"])
    if task.cell.method == "bug":
        raise KeyError("oops")
    if task.cell.method == "full":
        raise OSError(28, "No space left on device", str(task.folder / "model.safetensors"))
    if task.cell.method == "dies":
        os._exit(9)
    if task.cell.method == "slow":
        time.sleep(60)
    if task.cell.method == "meets":
        wait_for_others(task.folder.parent, task.settings["all"])
    (task.folder / "out.txt").write_text("done")
    records.write(task, stage="train", files=["out.txt"], results={}, timings={})


def wait_for_others(folder: Path, count: int) -> None:
    """Return when so many cells have started."""
    deadline = time.monotonic() + PATIENCE
    while len(list(folder.glob("*/tries"))) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{count} cells never ran at once")
        time.sleep(0.02)


if __name__ == "__main__":  # to be stopped: one quick cell, then slow ones
    import tiny_store

    from pipeline.common.cli import exit_with

    settings = tiny_store.params(engine={"workers": 2}).engine
    todo = [task(Path(sys.argv[1]), method, seed) for method, seed in (("good", 0), ("slow", 1), ("slow", 2))]
    exit_with(lambda: engine.run("train", todo, work, settings, device="cpu"), debug=False, name="train tiny")
