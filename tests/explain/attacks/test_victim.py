"""How an attack's findings are collected: means, and what is undefined."""

import math

import numpy as np
import torch

from pipeline.explain.attacks import COLUMNS, Values


def test_undefined_samples_are_counted_and_left_out() -> None:
    values = Values()
    values.add("pearson", np.array([1.0, np.nan, 0.0]), explanation="cam")
    values.add("nothing", torch.full((2,), torch.nan))
    row, nothing = values.table().to_dict("records")
    assert (row["explanation"], row["value"], row["n"], row["undefined"]) == ("cam", 0.5, 2, 1)
    assert math.isnan(nothing["value"]) and (nothing["n"], nothing["undefined"]) == (0, 2)


def test_numbers_tensors_and_shares_of_true() -> None:
    values = Values()
    values.add("accuracy", torch.tensor([True, False, True, True]), budget=0.5)
    values.add("auroc", 0.9)
    table = values.table()
    assert tuple(table.columns) == COLUMNS
    assert table["value"].tolist() == [0.75, 0.9]
    assert table["n"].tolist() == [4, 1]
    assert table["budget"].isna().tolist() == [False, True]
