"""Candidates: the trainings of a cell whose loss lists several alphas, and the choice among them.

Each alpha trains as a task of its own, in `alpha_<a>/` below the cell's folder. What is chosen is copied to
the cell's folder, so that whoever reads it meets a cell like any other. Validation alone decides, by the same
rule (`train.selection`) as among epochs.
"""

import shutil
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.common.checks import alternatives
from pipeline.common.files import atomic, write_csv
from pipeline.common.paths import CANDIDATES, HISTORY, MODEL
from pipeline.grid import records
from pipeline.grid.cells import Task, key
from pipeline.model.selection import COLUMNS, chosen


def of(task: Task) -> dict[float, Task]:
    """The training of each alpha that a cell's loss lists, in that order; none if it lists none.

    A candidate's key is that of a cell with its alpha alone, so the list may grow and shrink.
    """
    loss = task.settings["method"]["loss"]
    listed = alternatives(loss) if isinstance(loss.get("alpha"), list) else []
    return {each["alpha"]: _candidate(task, each) for each in listed}


def trained(task: Task) -> bool:
    """Whether all candidates of a cell are."""
    return all(records.finished(each.folder, each.key) for each in of(task).values())


def choose(task: Task, *, device: str) -> None:
    """Make the best candidate of a cell the cell's own training, and write which was how good.

    All candidates must be trained. Nothing is computed, so `device` plays no part.
    """
    candidates = of(task)
    found = {alpha: records.read(each.folder) for alpha, each in candidates.items()}
    results = {alpha: record["results"] for alpha, record in found.items() if record is not None}
    assert list(results) == list(candidates), "candidates are trained first"
    alpha = list(results)[chosen(list(results.values()), **task.settings["train"]["selection"])]
    for name in (MODEL, HISTORY):
        with atomic(task.folder / name) as temporary:
            shutil.copyfile(candidates[alpha].folder / name, temporary)
    write_csv(task.folder / CANDIDATES, _table(results, alpha))
    timings = {each: records.circumstances(one.folder).get("timings", {}) for each, one in candidates.items()}
    records.write(
        task,
        stage="train",
        files=[MODEL, HISTORY, CANDIDATES],
        results={"alpha": alpha, **results[alpha]},
        timings={**timings[alpha], "total_s": sum(each.get("total_s") or 0 for each in timings.values())},
    )


def _candidate(task: Task, loss: Mapping[str, Any]) -> Task:
    settings = {**task.settings, "method": {**task.settings["method"], "loss": dict(loss)}}
    return task._replace(
        folder=task.folder / f"alpha_{loss['alpha']}",
        key=key(settings, task.data_hash, task.code_hash),
        settings=settings,
        part=f"alpha {loss['alpha']}",
    )


def _table(results: Mapping[float, Mapping[str, Any]], alpha: float) -> pd.DataFrame:
    """One row per candidate, in the list's order: its best epoch, what validation says of it, the choice."""
    columns = ["best_epoch", *COLUMNS.values()]
    rows = [
        {"alpha": each, **{name: result[name] for name in columns if name in result}, "chosen": each == alpha}
        for each, result in results.items()
    ]
    return pd.DataFrame(rows)
