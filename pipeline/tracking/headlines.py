"""Which few of a cell's numbers become metrics in MLflow; all of them are tables there.

MLflow sorts metrics by name and groups them by what stands before the slash, so the groups' names are chosen
to be read from the top: `answer` (does it decide by what people marked? the report's numbers by the report's
names), `detection`, `maps`, `robustness`, `selected` (the epoch that was kept), `train` and `val` (curves).
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

MOST = 40  # metrics of a run, curves included
CURVES = {  # column of history.csv -> name of the metric
    "lr": "train/lr",
    "loss": "train/loss",
    "classification": "train/classification",
    "guidance": "train/guidance",
    "penalty": "train/penalty",
    "val_loss": "val/loss",
    "val_auroc": "val/auroc",
    "val_alignment": "val/alignment",
    "val_counterfactual": "val/counterfactual",
}
SELECTED = {  # result of a training -> name of the metric
    "best_epoch": "selected/epoch",
    "val_auroc": "selected/val_auroc",
    "val_alignment": "selected/val_alignment",
    "val_counterfactual": "selected/val_counterfactual",
}
TIMINGS = {"total_s": "train/total_s", "peak_memory_mb": "train/peak_memory_mb"}


class Source(NamedTuple):
    """Where a metric stands: in a table's column, in the row with these values, the first that there is."""

    table: str
    column: str
    rows: tuple[dict[str, str], ...]


def _strata(*scopes: str) -> Source:
    return Source("evaluate/strata", "auroc", tuple({"scope": s, "stratum": "conflict"} for s in scopes))


def _changed(region: str, test: str, *fills: str) -> Source:
    about = {"role": "test_closed", "region": region, "test": test}
    return Source("evaluate/counterfactuals", "auroc", tuple({**about, "fill": fill} for fill in fills))


def _detection(scope: str, metric: str) -> Source:
    return Source("evaluate/metrics", "value", ({"scope": scope, "metric": metric},))


def _alignment(drawn: str, metric: str) -> Source:
    about = {"role": "test_open", "map": drawn, "reference": "human", "metric": metric}
    return Source("evaluate/alignment", "value", (about, {**about, "role": "test_closed"}))


HEADLINES = {
    "answer/conflict_auroc": _strata("familiar", "macro"),
    "answer/conflict_auroc_novel": _strata("novel"),
    "answer/held_out_auroc": _detection("macro", "auroc"),
    "answer/without_cause": _changed("cause", "without", "twin", "blur"),
    "answer/without_shortcut": _changed("shortcut", "without", "twin", "blur"),
    "detection/closed_accuracy": _detection("closed", "accuracy"),
    "detection/closed_auroc": _detection("closed", "auroc"),
    "detection/held_out_accuracy": _detection("macro", "accuracy"),
    "detection/held_out_eer": _detection("macro", "eer"),
    "maps/difference_salience_cc": _alignment("difference_salience", "cc"),
    "maps/difference_salience_energy": _alignment("difference_salience", "energy_pointing"),
    "maps/true_cam_cc": _alignment("true_cam", "cc"),
    "maps/true_cam_energy": _alignment("true_cam", "energy_pointing"),
}
WITHOUT_TRUTH = {  # of data whose causes nobody knows, what people marked takes their place
    "answer/only": _changed("human", "only", "blur"),
    "answer/without": _changed("human", "without", "blur"),
}
OF_AN_ATTACK = {  # metric of an attack -> of which explanations ("": of none), at its largest budget
    "pearson_clean": ("cam", "difference_salience"),
    "accuracy_linf": ("",),
    "accuracy_l2": ("",),
    "ara_attack": ("",),
    "ara_btr": ("",),
}


def of_training(results: Mapping[str, Any], timings: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Name and value of what a training's record and circumstances say."""
    for names, values in ((SELECTED, results), (TIMINGS, timings)):
        for key, name in names.items():
            if isinstance(value := values.get(key), int | float):
                yield name, float(value)


def of_measurements(tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, float]]:
    """Name and value of what was measured of a cell, from its tables, `<stage>/<name>`."""
    rows = {name: table.to_dict("records") for name, table in tables.items()}
    found = {name: _value(rows, source) for name, source in HEADLINES.items()}
    if found["answer/without_cause"] is None:
        marked = {name: _value(rows, source) for name, source in WITHOUT_TRUTH.items()}
        only, without = marked.values()
        if only is not None and without is not None:
            found |= {**marked, "answer/evidence_gap": only - without}
    yield from ((name, value) for name, value in found.items() if value is not None)


def of_attack(attack: str, values: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """`robustness/<attack>/<metric>_<explanation>` of what an attack did."""
    rows = values.fillna({"explanation": ""}).dropna(subset="value")
    for metric, explanations in OF_AN_ATTACK.items():
        for explanation in explanations:
            own = rows[(rows["metric"] == metric) & (rows["explanation"] == explanation)]
            if len(own):
                name = "_".join(filter(None, (metric, explanation)))
                yield f"robustness/{attack}/{name}", float(own.sort_values("budget")["value"].iloc[-1])


def _value(tables: Mapping[str, list[dict[Hashable, Any]]], source: Source) -> float | None:
    """The number where a source says; None where there is no such row, or no number in it."""
    rows = tables.get(source.table, [])
    for wanted in source.rows:
        for row in rows:
            if wanted.items() <= row.items():
                value = float(row[source.column])
                return None if value != value else value
    return None
