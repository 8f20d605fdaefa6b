"""Leave one source out: a column per source and the mean over them, by hand."""

from dataclasses import replace

import pandas as pd
from small_grid import REACH, grid, metrics, row

from pipeline.present import left_out
from pipeline.present.draws import Joined
from pipeline.present.results import DatasetNote, Fold, Grid

FOLDS = ("d_without_x", "d_without_y")


def folds() -> tuple[pd.DataFrame, Grid]:
    """Two folds of `d` with three seeds; AUROC without y is 0.2 lower for every method."""
    values = [
        metrics(dataset=fold).assign(value=lambda rows, drop=drop: rows["value"] - drop)
        for fold, drop in zip(FOLDS, (0.0, 0.2), strict=True)
    ]
    own = replace(
        grid(datasets=FOLDS),
        datasets={name: DatasetNote(f"Title, without {name[-1]}", "drawn", True) for name in FOLDS},
        draws={name: Joined((name,), name, "") for name in FOLDS},
        folds={name: Fold("d", name[-1]) for name in FOLDS},
    )
    return pd.concat(values, ignore_index=True), own


def test_a_column_per_source_and_the_mean_of_each_seed() -> None:
    (table,) = left_out.tables(*folds())
    (panel,) = table.panels
    assert panel.heading == "Title, b"
    assert list(panel.rows) == ["method", "x", "y", "mean over sources"]
    mine, reach = row(panel.rows, method="cyborg"), 0.2 * REACH  # AUROC 0.6, 0.8, 1.0
    assert mine["x"] == f"0.800 ± {reach:.3f}"
    assert mine["y"] == f"0.600 ± {reach:.3f}"
    tidy = row(table.tidy, method="cyborg", column="mean over sources")
    assert (tidy["dataset"], tidy["n"], tidy["planned"]) == ("d", 3, 3)
    assert abs(tidy["mean"] - 0.7) < 1e-9
    assert abs(tidy["high"] - tidy["mean"] - reach) < 1e-9
    assert tidy["cells"] == "cyb0 cyb0 cyb1 cyb1 cyb2 cyb2"


def test_a_seed_that_lacks_a_source_has_no_mean() -> None:
    values, own = folds()
    gone = (values["dataset"] == FOLDS[1]) & (values["method"] == "cyborg") & (values["seed"] == 2)
    (table,) = left_out.tables(values[~gone], own)
    tidy = table.tidy[table.tidy["method"] == "cyborg"].set_index("column")
    assert tidy["n"].to_dict() == {"x": 3, "y": 2, "mean over sources": 2}
    assert abs(tidy.loc["mean over sources", "mean"] - 0.6) < 1e-9  # of (0.6 + 0.4) / 2 and (0.8 + 0.6) / 2


def test_without_folds_there_is_no_table() -> None:
    assert left_out.tables(metrics(), grid()) == []
