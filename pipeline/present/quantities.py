"""The numbers of a unit that the evidence table is about, and which images are behind each."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.present.results import AT, PLACE, Grid


class Quantity(NamedTuple):
    """One number of a unit."""

    title: str
    about: str  # phantoms, real: which data sets have it as a column; both
    better: str  # higher, lower
    meaning: str  # as a caption has it


QUANTITIES = {
    "conflict_auroc": Quantity(
        "conflict",
        "phantoms",
        "higher",
        "AUROC over pairs in which only the negative has the shortcut's mark, on sources never seen in "
        "training whose causes some known source shares (on all, where none is said to be novel); following "
        "the mark gives 0",
    ),
    "without_cause": Quantity(
        "without cause",
        "phantoms",
        "lower",
        "AUROC on the closed test set after the cause was taken out of every image (drawn again without it "
        "if it has twins, else blurred); deciding by the cause gives 0.5",
    ),
    "conflict_auroc_novel": Quantity(
        "conflict, novel causes", "phantoms", "higher", "conflict on the other unseen sources"
    ),
    "evidence_gap": Quantity(
        "only − without",
        "real",
        "higher",
        "how much better what people marked tells the classes than all else does",
    ),
    "only": Quantity(
        "only", "real", "higher", "AUROC on the closed test set with all but the marked region blurred"
    ),
    "without": Quantity("without", "real", "lower", "the same with the marked region blurred"),
    "held_out_auroc": Quantity("macro", "both", "higher", "AUROC, mean over unseen sources"),
    "closed_auroc": Quantity("closed", "both", "higher", "AUROC on test images of known sources"),
    "without_shortcut": Quantity(
        "without shortcut",
        "phantoms",
        "higher",
        "AUROC on the closed test set after the mark was taken out of every image",
    ),
}
HEADLINES = ("conflict_auroc", "without_cause", "evidence_gap")  # without any: held_out_auroc
FAMILIAR = ("familiar", "macro")  # scopes of the headline, the first that a data set has
FILLS = ("twin", "blur")  # the same of what takes the place of a true cause


def quantities(values: Mapping[str, pd.DataFrame], grid: Grid) -> pd.DataFrame:
    """Every quantity of every unit: PLACE, quantity, value, and AT, blank where no scores are known."""
    found = [*_aurocs(values), *_counterfactuals(values["counterfactuals"])]
    rows = [part[[*PLACE, *AT, "value"]].assign(quantity=name) for name, part in found if len(part)]
    if not rows:
        return pd.DataFrame(columns=[*PLACE, *AT, "value", "quantity"])
    every = pd.concat(rows, ignore_index=True)
    phantom = every["dataset"].map(lambda name: grid.datasets[name].phantom)
    about = every["quantity"].map(lambda name: QUANTITIES[name].about)
    return every[(about == "both") | (about == np.where(phantom, "phantoms", "real"))]


def _aurocs(values: Mapping[str, pd.DataFrame]) -> list[tuple[str, pd.DataFrame]]:
    metrics = values["metrics"][values["metrics"]["metric"] == "auroc"].assign(stratum="")
    strata = values["strata"].rename(columns={"auroc": "value"})
    conflict = strata[strata["stratum"] == "conflict"]
    return [
        ("conflict_auroc", _first(conflict, "scope", FAMILIAR)),
        ("conflict_auroc_novel", conflict[conflict["scope"] == "novel"]),
        ("held_out_auroc", metrics[metrics["scope"] == "macro"]),
        ("closed_auroc", metrics[metrics["scope"] == "closed"]),
    ]


def _counterfactuals(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    known = rows[rows["role"] == "test_closed"].assign(**dict.fromkeys(AT, ""))
    known = known.rename(columns={"auroc": "value"})
    human = known[(known["region"] == "human") & (known["fill"] == "blur")]
    alone, rest = (human[human["test"] == test] for test in ("only", "without"))
    both = alone.merge(rest[[*PLACE, "value"]], on=PLACE, suffixes=("", "_without"))
    without = known[known["test"] == "without"]
    return [
        ("evidence_gap", both.assign(value=both["value"] - both["value_without"])),
        ("only", alone),
        ("without", rest),
        *(
            (f"without_{region}", _first(without[without["region"] == region], "fill", FILLS))
            for region in ("cause", "shortcut")
        ),
    ]


def _first(rows: pd.DataFrame, column: str, order: tuple[str, ...]) -> pd.DataFrame:
    """Of each data set the rows with the first value of `order` that it has."""
    places = rows[column].map({value: place for place, value in enumerate(order)})
    return rows[places == places.groupby(rows["dataset"]).transform("min")]
