"""A grid of one data set, three methods and three seeds, with AUROC whose differences are known."""

import numpy as np
import pandas as pd

from pipeline.present.results import COLUMNS, DatasetNote, Grid

METHODS = ("cross_entropy", "cyborg", "control_a")
AUROC = {  # (method, seed) -> macro AUROC; cyborg gains 0.1, 0.2, 0.3 on cross_entropy
    ("cross_entropy", 0): 0.5, ("cross_entropy", 1): 0.6, ("cross_entropy", 2): 0.7,
    ("cyborg", 0): 0.6, ("cyborg", 1): 0.8, ("cyborg", 2): 1.0,
    ("control_a", 0): 0.4, ("control_a", 1): 0.5, ("control_a", 2): 0.6,
}  # fmt: skip
SHIFTS = {("closed", ""): 0.25, ("held_out", "s_1"): 0.0, ("macro", ""): 0.0}  # on top of the macro AUROC
REACH = 4.302652729911275 / np.sqrt(3)  # half a t interval of three values, in standard deviations


def grid(phantom: bool = True, datasets: tuple[str, ...] = ("d",)) -> Grid:
    """All cells done."""
    cells = pd.DataFrame(
        [
            {"dataset": dataset, "backbone": "b", "method": method, "draw": dataset, "seed": seed,
             "cell": f"{method[:3]}{seed}", "train_key": "k", "evaluate_key": "k", "identify_key": "k",
             "missing": ""}
            for dataset in datasets for method in METHODS for seed in (0, 1, 2)
        ]
    )  # fmt: skip
    notes = {dataset: DatasetNote("Title_1", "drawn", phantom) for dataset in datasets}
    return Grid(notes, frozenset({"control_a"}), ("cyborg", "cross_entropy"), 0.95, cells)


def metrics(skip: tuple[str, int] | None = None, dataset: str = "d") -> pd.DataFrame:
    """metrics.csv of all cells but one."""
    return pd.DataFrame(
        [
            {"dataset": dataset, "backbone": "b", "method": method, "draw": dataset, "seed": seed,
             "scope": scope, "source": source, "metric": "auroc", "value": value + shift,
             "n_negative": 40, "n_positive": 41}
            for (method, seed), value in AUROC.items() if (method, seed) != skip
            for (scope, source), shift in SHIFTS.items()
        ]
    )  # fmt: skip


def measured(errors: pd.DataFrame, **tables: list[dict[str, object]]) -> dict[str, pd.DataFrame]:
    """All that the table of evidence reads; `tables` are rows of one cell each, on every method and seed.

    Their value, `auroc`, grows by 0.1 per method.
    """
    found = {"metrics": errors}
    cells = grid().cells[["dataset", "backbone", "method", "draw", "seed"]]
    for name in ("strata", "counterfactuals"):
        rows = pd.DataFrame(tables.get(name, []), columns=COLUMNS[name].split())
        every = cells.merge(rows, how="cross")
        steps = every["method"].map(METHODS.index).astype(float)
        found[name] = every.assign(auroc=every["auroc"].astype(float) + 0.1 * steps)
    return found


def row(frame: pd.DataFrame, **where: object) -> pd.Series:
    """The only row with these values."""
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]
