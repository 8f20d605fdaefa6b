"""What the engine's tests run in workers: the method's name says how a cell behaves."""

import os
import sys
import time
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.grid import engine, records
from pipeline.grid.cells import Cell
from pipeline.grid.engine import Task


def task(root: Path, method: str, seed: int = 0) -> Task:
    cell = Cell("tiny", "compact", method, seed)
    return Task(cell, cell.folder(root), f"key of {cell.name}", {"seed": seed})


def work(task: Task) -> None:
    """Write one file and the record, unless the method's name is another wish."""
    task.folder.mkdir(parents=True, exist_ok=True)
    with (task.folder / "tries").open("a") as file:
        file.write(f"{os.getpid()}\n")
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
    (task.folder / "out.txt").write_text("done")
    records.write(
        task.folder, stage="train", cell=task.cell, key=task.key, settings=task.settings, data_hash="d",
        code_hash="c", files=["out.txt"], results={}, timings={},
    )  # fmt: skip


if __name__ == "__main__":  # the Ctrl-C test: one quick cell, then slow ones
    import tiny_store

    from pipeline.common.cli import exit_with

    settings = tiny_store.params(engine={"workers": 2}).engine
    todo = [task(Path(sys.argv[1]), method, seed) for method, seed in (("good", 0), ("slow", 1), ("slow", 2))]
    exit_with(lambda: engine.run("train", todo, work, settings), debug=False, name="train tiny")
