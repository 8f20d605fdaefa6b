"""Attacks on a grid of four methods and three seeds, with values whose means and differences are known."""

import math
from types import ModuleType

import pandas as pd

from pipeline.common import catalogue
from pipeline.present import attacks
from pipeline.present.attacks.rows import Attacked
from pipeline.present.results import DatasetNote, Grid
from pipeline.present.tables import Panel, Table

METHODS = ("cross_entropy", "cyborg", "shuffled", "smooth")
SEEDS = (0, 1, 2)
NAN = math.nan
VARIANTS = pd.DataFrame(
    {
        "guided": [False, True, True, False],
        "objective": ["a", "b", "c", "a"],
        "plain": [True, True, True, False],
        "base": ["cross_entropy", "cyborg", "shuffled", "cross_entropy"],
        "nearest": ["", "", "cyborg", "cross_entropy"],
        "weight_decay": [0.1] * 4,
        "activation": ["built-in"] * 3 + ["softplus 20"],
        "beta": [math.inf] * 3 + [20.0],
        "regularisers": [""] * 4,
        "hessian_weight": [0.0] * 4,
        "but_weight_decay": list("abcd"),
        "but_beta": list("abca"),
        "but_hessian_weight": list("abcd"),
    },
    index=pd.Index(METHODS, name="method"),
)


def shown_in(kind: str) -> str:
    """The table that an attack declares; "telepathy" is none of the catalogue's."""
    return "other" if kind == "telepathy" else catalogue.declared("explain/attacks", kind, "TABLE")


def grid(
    *planned: tuple[str, str], methods: tuple[str, ...] = METHODS, seeds: tuple[int, ...] = SEEDS
) -> Grid:
    """(name, kind) of attacks, planned for some methods and seeds; all of them were run."""
    cells = pd.DataFrame(
        [
            {
                "dataset": "d",
                "backbone": "b",
                "method": method,
                "draw": "d",
                "seed": seed,
                "cell": f"{method[:3]}{seed}",
            }
            for method in METHODS
            for seed in SEEDS
        ]
    )
    meant = cells[cells["method"].isin(methods) & cells["seed"].isin(seeds)]
    rows = [
        meant.assign(attack=name, kind=kind, table=shown_in(kind), settings="steps 3", robustness_key="k")
        for name, kind in planned
    ]
    note = DatasetNote("Title", "drawn", True)
    cells = cells.assign(train_key="k", missing="")
    return Grid({"d": note}, frozenset({"shuffled"}), ("cyborg",), 0.95, cells, pd.concat(rows))


def values(attack: str, rows: dict[tuple[str, str, float], dict[str, list[float]]]) -> pd.DataFrame:
    """(explanation, metric, budget) -> method -> a value per seed."""
    return pd.DataFrame(
        [
            {"dataset": "d", "backbone": "b", "method": method, "draw": "d", "seed": seed, "attack": attack,
             "explanation": explanation, "metric": metric, "budget": budget, "value": value, "n": 9,
             "undefined": 1}
            for (explanation, metric, budget), by_method in rows.items()
            for method, seeds in by_method.items()
            for seed, value in enumerate(seeds)
        ]
    )  # fmt: skip


HOAX = values(
    "lie",
    {
        ("", "accuracy_before", NAN): {"cross_entropy": [0.9, 0.9, 0.9], "cyborg": [0.8, 0.8, 0.8]},
        ("cam", "pearson_clean", NAN): {"cross_entropy": [0.1, 0.2, 0.3], "cyborg": [0.0, 0.0, 0.0]},
        ("difference_salience", "pearson_clean", NAN): {
            "cross_entropy": [0.9, 0.9, 0.9],
            "cyborg": [0.5, 0.5, 0.5],
        },
    },
)
HOAXED = grid(("lie", "sham"), methods=("cross_entropy", "cyborg"))
PGD = values(
    "pgd",
    {
        ("", "auroc_clean", NAN): {m: [0.9, 0.9, 0.9] for m in METHODS},
        ("", "accuracy_linf", 0.0): {m: [1.0, 1.0, 1.0] for m in METHODS},
        ("", "accuracy_linf", 0.00392): {
            "cross_entropy": [0.1, 0.2, 0.3], "cyborg": [0.2, 0.4, 0.6], "shuffled": [0.0, 0.1, 0.2],
            "smooth": [0.4, 0.5, 0.6],
        },
        ("", "masking_linf", NAN): {
            "cross_entropy": [0, 0, 0], "cyborg": [0, 1, 1], "shuffled": [0, 0, 0], "smooth": [0, 0, 0],
        },
    },
)  # fmt: skip
ARA = values(
    "smallest",
    {
        ("", "auroc_clean", NAN): {m: [0.9, 0.9, 0.9] for m in METHODS},
        ("", "ara_attack", NAN): {m: [0.0012, 0.0012, 0.0012] for m in METHODS},
        ("", "accuracy_attack", 0.01): {m: [0.5, 0.5, 0.5] for m in METHODS},
    },
)
DECIDED = grid(("pgd", "pgd"), ("smallest", "minimal_perturbation"))


def twice(found: pd.DataFrame) -> pd.DataFrame:
    """The same on three more seeds: six units are enough for a p."""
    return pd.concat([found, found.assign(seed=found["seed"] + len(SEEDS))])


def made(module: ModuleType, found: pd.DataFrame, of: Grid, methods: pd.DataFrame = VARIANTS) -> Table:
    """The table of a module of pipeline/present/attacks."""
    tables = {table.name: table for table in attacks.tables(Attacked(found, of, methods))}
    return tables[module.TABLE]


def difference(table: Table, **where: object) -> pd.Series:
    """One row of the long form."""
    rows = table.differences
    for key, value in where.items():
        rows = rows[rows[key] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def named(found: list[Table], name: str) -> Table:
    return next(table for table in found if table.name == name)


def panel(table: Table, part: str) -> Panel:
    return next(panel for panel in table.panels if part in panel.heading)


def cell(rows: pd.DataFrame, column: str, **where: str) -> str:
    for key, value in where.items():
        rows = rows[rows[key] == value]
    assert len(rows) == 1
    return str(rows.iloc[0][column])
