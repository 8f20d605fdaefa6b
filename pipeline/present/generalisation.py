"""The main table, AUROC in known and unseen sources, and excerpts: README, head of the page, metrics.json."""

from typing import Any

import pandas as pd

from pipeline.present.comparisons import compare, summarise, to_references, verdicts
from pipeline.present.results import GROUP, Grid
from pipeline.present.tables import (
    Panel,
    Table,
    difference_texts,
    estimate_texts,
    named,
    parts,
    rests_on,
    spread,
)

BY = ["scope", "source"]
HEADLINES = {"held_out_auroc": "macro", "closed_auroc": "closed"}  # name in metrics.json -> scope
DIGITS = 10  # significant, as in CSV files
FIGURES = {
    "sources": "AUROC per source: mean and interval over seeds. Held-out sources are unseen in training.",
    "roc": "ROC curves: mean over seeds; the band runs from the least to the largest seed.",
    "training": "Training by epoch: mean over seeds; the band runs from the least to the largest seed.",
}


def table(metrics: pd.DataFrame, grid: Grid) -> Table:
    """AUROC on the closed set, each held-out source and their macro mean, with paired differences."""
    auroc = metrics[metrics["metric"] == "auroc"]
    tidy = summarise(auroc, BY, grid).merge(_test_images(metrics), how="left")
    differences = compare(auroc, BY, to_references(grid), grid.confidence, family=["other", "scope"])
    found = []
    for dataset, heading, part in parts(tidy, grid):
        part = part.assign(column=part["source"].where(part["source"] != "", part["scope"]))
        counts = part.drop_duplicates("column")[["column", "n_negative", "n_positive"]].dropna()
        sizes = [f"{name}: {negative:.0f} + {positive:.0f}" for name, negative, positive in counts.to_numpy()]
        text = spread(part.assign(text=estimate_texts(part)))
        own = (differences["dataset"] == dataset) & (differences["backbone"] == part["backbone"].iloc[0])
        text = text.join(_gains(differences[own & (differences["scope"] == "macro")])).fillna("–")
        note = f"Test images of label 0 + label 1: {'; '.join(sizes)}."
        found.append(Panel(dataset, heading, named(text, grid), note))
    caption = (
        "AUROC: on the closed test set, on each source never seen in training, and the mean over those "
        "sources (macro). Differences are paired by seed; p is the exact sign-flip test, then adjusted by "
        "Holm over data sets, backbones and methods. The interval covers the noise of training; the CSV also "
        f"has DeLong's, which covers that of the test images. {rests_on(grid, 'evaluate')}"
    )
    return Table("generalisation", "Generalisation", caption, tidy, found, differences, FIGURES)


def _gains(macro: pd.DataFrame) -> pd.DataFrame:
    """Two columns of text per reference, by method: the difference, and its p with Holm's."""
    columns = {}
    for other, rows in macro.groupby("other", sort=False):
        columns[f"macro − {other}"] = pd.Series(difference_texts(rows), rows["method"])
        tests = [f"{p:.2g}; {adjusted:.2g}" for p, adjusted in rows[["p", "adjusted"]].to_numpy()]
        columns[f"p; Holm ({other})"] = pd.Series(tests, rows["method"])
    return pd.DataFrame(columns)


def _test_images(metrics: pd.DataFrame) -> pd.DataFrame:
    """How many test images an AUROC rests on, and DeLong's limits as a mean over seeds."""
    by = [*GROUP, *BY]
    auroc = metrics[metrics["metric"] == "auroc"].drop_duplicates(["dataset", *BY])
    counts = auroc[["dataset", *BY, "n_negative", "n_positive"]]
    limits = metrics[metrics["metric"].isin(["auroc_low", "auroc_high"])]
    wide = limits.pivot_table(index=by, columns="metric", values="value", aggfunc="mean", observed=True)
    names = {"auroc_low": "delong_low", "auroc_high": "delong_high"}
    wide = wide.reindex(columns=list(names)).rename(columns=names).reset_index()
    return metrics[by].drop_duplicates().merge(counts, how="left").merge(wide, how="left")


def macro_estimates(main: Table) -> pd.DataFrame:
    """The rows about the mean over unseen sources, with their `text`; empty where none is held out."""
    macro = main.tidy[main.tidy["scope"] == "macro"]
    return macro.assign(text=estimate_texts(macro))


def macro_gains(main: Table, reference: str) -> pd.DataFrame:
    """A row per planned data set, backbone and other method: the gain on the reference in macro AUROC.

    GROUP, text, verdict: better, worse, unclear, or missing where there is no pair of seeds.
    """
    planned = main.tidy.loc[(main.tidy["scope"] == "macro") & (main.tidy["method"] != reference), GROUP]
    gains = main.differences
    gains = gains[(gains["scope"] == "macro") & (gains["other"] == reference)]
    gains = gains[GROUP].assign(text=difference_texts(gains), verdict=verdicts(gains))
    return planned.merge(gains, how="left").fillna({"text": "–", "verdict": "missing"})


def readme_rows(main: Table, grid: Grid) -> pd.DataFrame:
    """A line per method: macro AUROC and the gain on the last reference per data set; empty without any."""
    macro, reference = macro_estimates(main), grid.references[-1]
    gains = macro_gains(main, reference)
    text = pd.DataFrame(index=pd.Index(macro["method"].unique(), name="method"))
    for (dataset, backbone), part in macro.groupby(GROUP[:2], sort=False):
        name = f"{dataset}, {backbone}" if macro["backbone"].nunique() > 1 else str(dataset)
        mine = gains[(gains["dataset"] == dataset) & (gains["backbone"] == backbone)]
        text[name] = part.set_index("method")["text"]
        text[f"{name} − {reference}"] = mine.set_index("method")["text"]
    return named(text.fillna("–"), grid)


def headlines(tidy: pd.DataFrame) -> dict[str, Any]:
    """metrics.json: data set -> backbone -> method -> mean AUROC over seeds, in unseen and known sources.

    Means alone, since `dvc metrics` has a column for each number; intervals and counts are in the tables.
    """
    found: dict[str, Any] = {}
    for name, scope in HEADLINES.items():
        rows = tidy[tidy["scope"] == scope]
        for row in rows.to_dict("records"):
            backbone = found.setdefault(row["dataset"], {}).setdefault(row["backbone"], {})
            backbone.setdefault(row["method"], {})[name] = float(f"{row['mean']:.{DIGITS}g}")
    return found
