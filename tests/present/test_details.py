"""The tables besides AUROC: which numbers stand in which column."""

import pandas as pd
from small_grid import METHODS, grid, row

from pipeline.present import details


def values(**about: list) -> pd.DataFrame:
    """Every combination of the columns given, on each method and seed; values count up by method and seed."""
    rows = pd.DataFrame({"method": METHODS}).merge(pd.DataFrame({"seed": [0, 1, 2]}), how="cross")
    for column, options in about.items():
        rows = rows.merge(pd.DataFrame({column: options}), how="cross")
    places = rows["method"].map(METHODS.index)
    return rows.assign(dataset="d", draw="d", backbone="b", value=places + rows["seed"] / 10, undefined=1)


def test_alignment_has_a_column_per_measure_and_map_and_a_panel_per_role_and_reference() -> None:
    maps = ["true_cam", "false_cam", "difference_salience"]
    found = values(
        role=["val", "test_closed"], reference=["human", "truth"], map=maps, metric=["cc", "sim", "auc_judd"]
    )
    found.loc[(found["map"] == "false_cam") & (found["metric"] == "auc_judd"), "value"] += 5
    table = details.alignment(found, grid())
    assert [panel.heading.partition(", b, ")[2] for panel in table.panels] == [
        "test_closed against human maps", "test_closed against causal pixels",
    ]  # fmt: skip
    rows = table.panels[0].rows
    assert list(rows)[1:] == [f"{title}, {name}" for title in ("CC", "AUC-Judd")
                              for name in ("true CAM", "false CAM", "difference")]  # fmt: skip
    assert row(rows, method="cyborg")["AUC-Judd, false CAM"].startswith("6.100 ±")
    assert f"({len(found)} values in all)" in table.caption


def test_faithfulness_is_of_test_roles() -> None:
    found = values(role=["val", "test_open"], curve=["deletion"], order=["random", "true_cam"])
    (panel,) = details.faithfulness(found.rename(columns={"value": "area"}), grid()).panels
    assert list(panel.rows) == ["method", "deletion random", "deletion true cam"]


def test_regions_say_their_completeness_error_in_the_caption() -> None:
    found = values(role=["test_open"], metric=["precision", "completeness_error"], reference=["causal"])
    found.loc[found["metric"] == "completeness_error", "value"] = -0.003
    table = details.regions(found, grid())
    assert list(table.panels[0].rows) == ["method", "precision causal"]
    assert "up to 0.003" in table.caption
