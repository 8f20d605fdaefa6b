"""The table of AUROC in known sources, in each source never seen in training, and in means over those."""

from collections.abc import Mapping

import pandas as pd

from pipeline.present.comparisons import Sampler, compare, summarise, to_references
from pipeline.present.evidence import about_bootstrap
from pipeline.present.results import GROUP, Grid
from pipeline.present.tables import (
    Panel,
    Table,
    bracketed_texts,
    gain_texts,
    named,
    parts,
    rests_on,
    spread,
)

BY = ["scope", "source", "stratum"]
FIGURES = {
    "sources": "AUROC per source: mean and interval over units. Held-out sources are unseen in training.",
    "roc": "ROC curves: mean over units; the band runs from the least to the largest.",
    "training": "Training by epoch: mean over units; the band runs from the least to the largest.",
}


def table(values: Mapping[str, pd.DataFrame], grid: Grid, sampler: Sampler | None = None) -> Table:
    """AUROC on the closed set, each held-out source and means over them, with paired differences."""
    metrics = values["metrics"]
    auroc = metrics[metrics["metric"] == "auroc"].assign(stratum="")
    tidy = summarise(auroc, BY, grid, sampler).merge(_test_images(metrics), how="left")
    differences = compare(
        auroc, BY, to_references(grid), grid.confidence, family=["other", "scope"], sampler=sampler
    )
    found = []
    for dataset, heading, part in parts(tidy, grid):
        part = part.assign(column=part["source"].where(part["source"] != "", part["scope"]))
        counts = part.drop_duplicates("column")[["column", "n_negative", "n_positive"]].dropna()
        sizes = [f"{name}: {negative:.0f} + {positive:.0f}" for name, negative, positive in counts.to_numpy()]
        text = spread(part.assign(text=bracketed_texts(part)))
        own = (differences["dataset"] == dataset) & (differences["backbone"] == part["backbone"].iloc[0])
        text = text.join(_gains(differences[own & (differences["scope"] == "macro")])).fillna("–")
        note = f"Test images of label 0 + label 1, of the first draw: {'; '.join(sizes)}."
        found.append(Panel(dataset, heading, named(text, grid), note))
    caption = (
        "AUROC: on the closed test set, on each source never seen in training, and the mean over those "
        "sources (macro); familiar and novel: the mean over those whose causes some known source shares, and "
        "over the others. Differences are paired by unit; p: sign flips over units, adjusted by Holm over "
        "the data sets, backbones and methods that are compared with one method in one scope. The CSV has "
        "DeLong's interval too, which covers the noise of the test images alone. "
        f"{rests_on(grid, 'evaluate', interval=about_bootstrap(grid), compared=True)}"
    )
    return Table("generalisation", "Generalisation", caption, tidy, found, differences, FIGURES)


def _gains(macro: pd.DataFrame) -> pd.DataFrame:
    """A column of text per reference, by method: the difference and its adjusted p."""
    columns = {}
    for other, rows in macro.groupby("other", sort=False):
        columns[f"macro − {other}"] = pd.Series(gain_texts(rows), rows["method"])
    return pd.DataFrame(columns)


def _test_images(metrics: pd.DataFrame) -> pd.DataFrame:
    """How many test images an AUROC rests on in the first draw, and DeLong's limits as a mean over units."""
    by = [*GROUP, "scope", "source"]
    auroc = metrics[metrics["metric"] == "auroc"].drop_duplicates(["dataset", "scope", "source"])
    counts = auroc[["dataset", "scope", "source", "n_negative", "n_positive"]]
    limits = metrics[metrics["metric"].isin(["auroc_low", "auroc_high"])]
    wide = limits.pivot_table(index=by, columns="metric", values="value", aggfunc="mean", observed=True)
    names = {"auroc_low": "delong_low", "auroc_high": "delong_high"}
    wide = wide.reindex(columns=list(names)).rename(columns=names).reset_index()
    return metrics[by].drop_duplicates().merge(counts, how="left").merge(wide, how="left")
