"""Tables of all strata and of all counterfactual tests; the evidence table shows a part of both."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.present.comparisons import Sampler, summarise
from pipeline.present.evidence import about_bootstrap
from pipeline.present.results import AT, PLACE, Grid
from pipeline.present.tables import (
    Panel,
    Table,
    bracketed_texts,
    named,
    parts,
    rests_on,
    spread,
)

SCOPES = {
    "closed": "closed test set",
    "familiar": "unseen sources whose causes some known source shares",
    "novel": "unseen sources with causes of their own",
    "macro": "all unseen sources",
}
REGIONS = {"human": "human maps", "cause": "true causes", "shortcut": "shortcut"}
ROLES = {"test_closed": "closed test set", "test_open": "unseen sources"}
ORDER = ("as_is", "without", "only")
TEST = ["region", "fill", "test"]


def strata(rows: pd.DataFrame, grid: Grid, sampler: Sampler | None = None) -> Table:
    """AUROC by what the shortcut's mark says in a pair of images."""
    tidy = summarise(rows.rename(columns={"auroc": "value"}), ["scope", "source", "stratum"], grid, sampler)
    tidy = tidy[(tidy["recorded"] > 0) | (tidy["beside"] != "floor")]
    shown = tidy.assign(column=tidy["stratum"], text=bracketed_texts(tidy))
    found = [
        Panel(dataset, f"{heading}, {about}", named(spread(part[part["scope"] == scope]), grid))
        for dataset, heading, part in parts(shown, grid)
        for scope, about in SCOPES.items()
        if (part["scope"] == scope).any()
    ]
    caption = (
        "AUROC over pairs of a negative and a positive by which of them carries the shortcut's mark. same: "
        "both or neither, so that it says nothing; aligned: the positive alone; conflict: the negative "
        "alone. "
        "AUROC is their mean, weighted by pairs. Who decides by the mark has 0.5, 1 and 0. Phantoms only, of "
        f"which the mark is known. {rests_on(grid, 'evaluate', interval=about_bootstrap(grid))}"
    )
    return Table("strata", "Strata by the shortcut's mark", caption, tidy, found)


def counterfactuals(rows: pd.DataFrame, grid: Grid, sampler: Sampler | None = None) -> Table:
    """AUROC after a part of every image was filled, or all but that part, for each kind of part and fill."""
    by = ["role", *TEST, "quantity"]
    values = _unseen_together(rows)
    tidy = summarise(values.assign(**dict.fromkeys(AT, "")), by, grid, sampler)
    tidy = tidy[(tidy["recorded"] > 0) | (tidy["beside"] != "floor")]
    caption = (
        "AUROC of images of which a region was filled (without), or all else (only), beside that of the same "
        "images as they are. blur: with the image itself, widely blurred; swap: with the pixels of another "
        "image of the class at the same place; twin: the phantom drawn again without it. A negative is given "
        "the region of a positive. Of a true cause and of a shortcut the exact pixels, a little widened. On "
        "unseen sources the mean over them. change: what the fill does to the logit difference of positives. "
        f"By source, and on validation: the CSV of each cell. "
        f"{rests_on(grid, 'evaluate', interval=about_bootstrap(grid))}"
    )
    panels = list(_panels(tidy, rows, grid))
    return Table("counterfactuals", "Counterfactual tests", caption, tidy, panels)


def _unseen_together(rows: pd.DataFrame) -> pd.DataFrame:
    """PLACE, role, TEST, quantity (auroc, change), value: means over the sources of a role."""
    keys = [*PLACE, "role", *TEST]
    long = rows.melt([*keys, "source"], ["auroc", "change"], "quantity")
    keys.append("quantity")
    long["value"] = long["value"].fillna(np.inf)  # a source without a value leaves no mean
    long = long.groupby(keys, sort=False)["value"].mean().replace(np.inf, np.nan).reset_index()
    return long[(long["quantity"] == "auroc") | (long["test"] != "as_is")]


def _panels(tidy: pd.DataFrame, rows: pd.DataFrame, grid: Grid) -> Iterator[Panel]:
    order = {test: place for place, test in enumerate(ORDER)}
    for dataset, heading, part in parts(tidy, grid):
        for role, region in ((role, region) for role in ROLES for region in REGIONS):
            own = part[(part["role"] == role) & (part["region"] == region)]
            if own.empty:
                continue
            own = own[(own["test"] != "as_is") | (own["fill"] == own["fill"].iloc[0])]
            own = own.assign(place=own["test"].map(order)).sort_values(["place", "fill"], kind="stable")
            same = (rows["dataset"] == dataset) & (rows["role"] == role) & (rows["region"] == region)
            images = rows[same].drop_duplicates("source")["n_annotated"].sum()
            note = f"Images with a region of their own, in the first draw: {images}."
            yield Panel(dataset, f"{heading}, {ROLES[role]}, {REGIONS[region]}", _lines(own, grid), note)


def _lines(rows: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """One line per method: every test's AUROC, then what it changes."""
    names = rows["test"].str.replace("_", " ") + (", " + rows["fill"]).where(rows["test"] != "as_is", "")
    change = rows["quantity"] == "change"
    rows = rows.assign(low=rows["low"].mask(change), high=rows["high"].mask(change))  # one number is enough
    columns = names.where(~change, "change: " + names)
    texts = bracketed_texts(rows)
    ordered = [*columns[~change], *columns[change]]
    return named(spread(rows.assign(column=columns, text=texts), ordered), grid)
