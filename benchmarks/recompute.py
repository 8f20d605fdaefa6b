"""Computes the numbers of a finished run's tables a second time, without the project's own code.

    python -m benchmarks.recompute [workspaces/study]      a folder with evaluate/ and reports/tables/

    metrics.csv, strata.csv     of every cell and floor: AUROC by scope and by stratum, from scores.csv
    evidence, generalisation    the mean over draws of the means over seeds, and how many units it rests on
    index.html                  each number that is shown, against the row of the table that it names
    ..._differences             paired differences, exact p of sign flips over units, and p adjusted by Holm

A line per table: how many numbers, and the largest difference. Files hold ten digits, so up to TOLERANCE is
none. The exit code is 1 where a number differs, or where one side has none. Intervals, which are drawn at
random, are not computed again; nor is p of more than MOST units, which Holm takes from the table.
Counterfactual AUROCs are those of counterfactuals.csv: no file holds the scores of changed images.
"""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import yaml
from sklearn.metrics import roc_auc_score

TOLERANCE = 1e-8
HALF = 0.005  # of the last of two digits that the page shows
FEWEST, MOST = 6, 20  # units between which p is exact; below there is none
GROUP = ["dataset", "backbone", "method"]
UNIT = ["draw", "seed"]
PLACE = [*GROUP, *UNIT]
AT = ["scope", "source", "stratum"]
SAYS = {"same": 0, "aligned": 1, "conflict": -1}  # the positive's mark minus the negative's
TEXTS = [*GROUP, "draw", "other", "floor", *AT, "evaluate_key"]  # blank is a value of these
TABLES = {"evidence": ["quantity"], "generalisation": AT}  # name -> what a row is about
FAMILIES = {"evidence": ["variant", "other", "quantity"], "generalisation": ["other", "scope"]}


class Units(NamedTuple):
    """What each trained network, floor and ceiling scored; all have the columns of PLACE."""

    recorded: pd.DataFrame  # AT, value: AUROCs of metrics.csv and strata.csv
    aurocs: pd.DataFrame  # the same, computed here
    tests: pd.DataFrame  # counterfactuals.csv


def read(path: Path) -> pd.DataFrame:
    """A table; only a blank is missing, and of TEXTS an empty text."""
    texts = dict.fromkeys(TEXTS, str)
    frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    return frame.fillna({name: "" for name in TEXTS if name in frame})


def aurocs(scores: pd.DataFrame, novel: list[str]) -> pd.DataFrame:
    """AUROC of one model by AT: of all pairs (a blank stratum), and by what the mark says in them."""
    rows = []
    for (scope, source), groups in compared(scores, novel).items():
        found = pd.DataFrame([auroc(images) for images in groups]).mean(skipna=False)
        rows += [(scope, source, stratum, value) for stratum, value in found.items()]
    return pd.DataFrame(rows, columns=[*AT, "value"])


def compared(scores: pd.DataFrame, novel: list[str]) -> dict[tuple[str, str], list[pd.DataFrame]]:
    """(scope, source) -> the images of each source that its AUROC is a mean over."""
    closed, unseen = (scores[scores["role"] == role] for role in ("test_closed", "test_open"))
    lent = next(
        (part for part in (unseen[unseen["label"] == 0], closed[closed["label"] == 0]) if len(part)), None
    )
    own = {}
    for source in sorted(set(unseen.loc[unseen["label"] == 1, "source"])):
        images = unseen[unseen["source"] == source]
        own[source] = images if (images["label"] == 0).any() else pd.concat([images, lent])
    found = {("closed", ""): [closed]} | {("held_out", source): [images] for source, images in own.items()}
    found["macro", ""] = list(own.values())
    if novel:
        found["familiar", ""] = [images for source, images in own.items() if source not in novel]
        found["novel", ""] = [images for source, images in own.items() if source in novel]
    return {place: groups for place, groups in found.items() if groups}


def auroc(images: pd.DataFrame) -> dict[str, float]:
    """AUROC of some images by stratum, as the share of pairs in which the positive scores higher."""
    labels, scores, marks = (images[name].to_numpy(float) for name in ("label", "logit_difference", "marked"))
    both = len(set(labels)) == 2
    found = {"": float(roc_auc_score(labels, scores)) if both else np.nan}
    if not np.isnan(marks).any():
        positive, negative = labels == 1, labels == 0
        higher = np.sign(np.subtract.outer(scores[positive], scores[negative])) / 2 + 0.5
        says = np.subtract.outer(marks[positive], marks[negative])
        for stratum, sign in SAYS.items():
            found[stratum] = float(higher[says == sign].mean()) if (says == sign).any() else np.nan
    return found


def evaluated(folder: Path, cells: pd.DataFrame) -> Iterator[tuple[Path, dict[Any, Any]]]:
    """The folder of each evaluation, and the place of what it holds; floors name their methods themselves."""
    for row in cells[cells["evaluate_key"] != ""][PLACE].to_dict("records"):
        yield folder.joinpath("evaluate", *(str(row[name]) for name in ("draw", *GROUP[1:], "seed"))), row
    for row in cells[["dataset", "draw", "backbone"]].drop_duplicates().to_dict("records"):
        path = folder / "evaluate" / row["draw"] / "floors"
        if path.is_dir():
            yield path, {**row, "seed": 0}


def units(folder: Path) -> Units:
    """All units of a run, those of ceilings under the name that tables have for them."""
    parts = []
    for path, place in evaluated(folder, read(folder / "reports/tables/cells.csv")):
        protocol = json.loads((folder / f"data/prepared/{place['draw']}/protocol.json").read_text())
        scores, metrics, strata, tests = (
            read(path / f"{name}.csv").rename(columns={"floor": "method"}).assign(**place)
            for name in ("scores", "metrics", "strata", "counterfactuals")
        )
        found = [
            aurocs(own, protocol["novel"]).assign(**{**place, "method": method})
            for method, own in scores.groupby("method")
        ]
        whole = metrics[metrics["metric"] == "auroc"].assign(stratum="")
        recorded = [whole, strata.rename(columns={"auroc": "value"})]
        parts.append((pd.concat([part for part in recorded if len(part)]), pd.concat(found), tests))
    frames = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    return Units(*(with_ceilings(frame, variants(folder)) for frame in frames))


def variants(folder: Path) -> pd.DataFrame:
    """Of each data set as `draw`: what it is a draw of, and how it differs from that, if it does."""
    datasets = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))["datasets"]
    rows = [(name, each.get("draw_of") or name, each.get("variant") or "") for name, each in datasets.items()]
    return pd.DataFrame(rows, columns=["draw", "base", "variant"])


def with_ceilings(frame: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The rows of variants once more as `<method>, <variant>` beside those of what they vary."""
    varied = frame.merge(known[known["variant"] != ""], on="draw")
    named = varied.assign(dataset=varied["base"], method=varied["method"] + ", " + varied["variant"])
    return pd.concat([frame, named[frame.columns]], ignore_index=True) if len(named) else frame


def quantities(found: Units) -> pd.DataFrame:
    """PLACE, quantity, value: what the evidence table has columns of."""
    whole, conflict = (found.aurocs[found.aurocs["stratum"] == name] for name in ("", "conflict"))
    known = found.tests[found.tests["role"] == "test_closed"].rename(columns={"auroc": "value"})
    without, only = (known[known["test"] == test] for test in ("without", "only"))
    human = {"without": chosen(without, "human", "blur"), "only": chosen(only, "human", "blur")}
    gap = human["only"].merge(human["without"], on=PLACE, suffixes=("", "_without"))
    parts = {
        "conflict_auroc": first(conflict, "scope", "familiar", "macro"),
        "conflict_auroc_novel": conflict[conflict["scope"] == "novel"],
        "held_out_auroc": whole[whole["scope"] == "macro"],
        "closed_auroc": whole[whole["scope"] == "closed"],
        "evidence_gap": gap.assign(value=gap["value"] - gap["value_without"]),
        **human,
        "without_cause": chosen(without, "cause", "twin", "blur"),
        "without_shortcut": chosen(without, "shortcut", "twin", "blur"),
    }
    return pd.concat([part[[*PLACE, "value"]].assign(quantity=name) for name, part in parts.items()])


def chosen(tests: pd.DataFrame, region: str, *fills: str) -> pd.DataFrame:
    """The answers without one kind of region, or with it alone, by the first fill that there is."""
    return first(tests[tests["region"] == region], "fill", *fills)


def first(rows: pd.DataFrame, column: str, *order: str) -> pd.DataFrame:
    """Of each unit the row with the first value of `order` that it has."""
    asked = rows[rows[column].isin(order)]
    return asked.sort_values(column, key=lambda names: names.map(order.index)).drop_duplicates(PLACE)


def mean_of_draws(values: pd.DataFrame, keys: list[str], column: str = "value") -> pd.Series:
    """The mean over draws of the means over seeds."""
    return values.groupby([*keys, "draw"])[column].mean().groupby(keys).mean()


def means(values: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Means over units, and over how many, of those that have a value."""
    keys, defined = [*GROUP, *by], values.dropna(subset="value")
    found = {"mean": mean_of_draws(defined, keys), "n": defined.groupby(keys).size()}
    return pd.DataFrame(found).reset_index()


def differences(table: pd.DataFrame, values: pd.DataFrame, by: list[str], family: list[str]) -> pd.DataFrame:
    """The paired differences that a table has rows of, with p and p adjusted by Holm."""
    keys, defined = [*GROUP, "other", *by], values[[*PLACE, *by, "value"]].dropna(subset="value")
    theirs = defined.rename(columns={"method": "other", "value": "theirs"})
    both = table[keys].merge(defined, on=[*GROUP, *by])
    both = both.merge(theirs, on=["dataset", "backbone", "other", *by, *UNIT])
    both["gain"] = both["value"] - both["theirs"]
    gains = both.groupby(keys)["gain"]
    found = pd.DataFrame(
        {"value": mean_of_draws(both, keys, "gain"), "pairs": gains.size(), "own_p": gains.agg(sign_flips)}
    )
    rows = table[[*keys, "variant", "p"]].merge(found.reset_index(), how="left")
    p = rows["own_p"].where(~(rows["pairs"] > MOST), rows["p"])
    return rows.assign(p=p, adjusted=p.groupby([rows[name] for name in family]).transform(holm))


def sign_flips(gains: pd.Series) -> float:
    """The share of all patterns of signs that make the sum of differences as large as it is, or larger."""
    if not FEWEST <= len(gains) <= MOST:
        return np.nan
    sums = np.abs(signs(len(gains)) @ gains.to_numpy())
    return float(np.mean(sums >= abs(gains.sum()) - TOLERANCE))


@cache
def signs(count: int) -> np.ndarray:
    """Every pattern of signs, (2^count, count)."""
    return 1.0 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)


def holm(p: pd.Series) -> pd.Series:
    """Holm's adjusted p; a blank is not counted."""
    rising = p.dropna().sort_values()
    return (rising * np.arange(len(rising), 0, -1)).cummax().clip(upper=1).reindex(p.index)


class Found(NamedTuple):
    """What comparing a table with its recomputation gives."""

    table: str
    numbers: int
    apart: float  # the largest difference; inf where one of both is blank
    where: str  # its column and row


def differ(
    path: str,
    table: pd.DataFrame,
    found: pd.DataFrame,
    columns: list[str],
    how: Literal["left", "outer"] = "left",
) -> Found:
    """How far a table is from its recomputation in these columns; outer: both must have the same rows."""
    keys = [name for name in found if name in (*PLACE, "other", *AT, "quantity")]
    both = table[[*keys, *columns]].merge(found[[*keys, *columns]], on=keys, how=how, suffixes=("", "_found"))
    here, there = (both[[f"{name}{end}" for name in columns]].to_numpy(float) for end in ("", "_found"))
    apart = np.where(np.isnan(here) & np.isnan(there), 0, np.nan_to_num(np.abs(here - there), nan=np.inf))
    if not apart.size:
        return Found(path, 0, 0.0, "")
    row, column = divmod(int(apart.argmax()), len(columns))
    where = ", ".join([columns[column], *(str(key) for key in both.loc[row, keys] if key != "")])
    return Found(path, int(np.sum(~np.isnan(here))), float(apart.max()), where)


def checks(folder: Path) -> Iterator[Found]:
    """Every table that is computed again."""
    found, known = units(folder), variants(folder)
    for name in ("metrics", "strata"):
        recorded, again = (rows[(rows["stratum"] != "") == (name == "strata")] for rows in found[:2])
        yield differ(f"evaluate/**/{name}.csv", recorded, again, ["value"], how="outer")
    whole = found.aurocs[found.aurocs["stratum"] == ""]
    tables = folder / "reports/tables"
    shown = read(tables / "cells.csv").merge(known, on="draw")
    variant = shown.drop_duplicates("dataset").set_index("dataset")["variant"]
    for (name, by), values in zip(TABLES.items(), (quantities(found), whole), strict=True):
        table = read(tables / f"{name}.csv")
        counted = table.assign(n=table["n"].where(table["n"] > 0))
        yield differ(f"{name}.csv", counted, means(values, by), ["mean", "n"])
        table = read(tables / f"{name}_differences.csv")
        table["variant"] = table["dataset"].map(variant)
        again = differences(table, values, by, FAMILIES[name])
        yield differ(f"{name}_differences.csv", table, again, ["value", "pairs", "p", "adjusted"])
    yield page(folder)


class Numbers(HTMLParser):
    """The numbers of the page that say on which row of which table they rest."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, int, float, str]] = []  # table, row, value, text
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a number where a cell of a table names a row."""
        about = dict(attrs)
        self.inside = tag == "td" and "data-row" in about
        if self.inside:
            table, row = str(about["data-row"]).split()
            self.found.append((table, int(row) - 1, float(str(about["data-value"])), ""))

    def handle_data(self, data: str) -> None:
        """The text of the cell, which comes before anything else in it."""
        if self.inside:
            self.found[-1] = (*self.found[-1][:3], data.strip())
            self.inside = False


def page(folder: Path) -> Found:
    """Whether the numbers of index.html, as values and as they are shown, are those of the tables."""
    parser = Numbers()
    parser.feed((folder / "reports" / "index.html").read_text(encoding="utf-8"))
    tables = {
        name: read(folder / "reports/tables" / f"{name}.csv") for name in {each[0] for each in parser.found}
    }
    apart, where = 0.0, ""
    for name, row, value, text in parser.found:
        line = tables[name].iloc[row]
        shown = [float(each) for each in re.findall(r"-?\d+\.\d+", text.replace("\u2212", "-"))]
        told = [line[each] for each in ("mean", "low", "high") if line[each] == line[each]]
        wrong = max(
            [abs(value - line["mean"]), *(abs(a - b) - HALF for a, b in zip(shown, told, strict=True))]
        )
        if wrong > apart:
            apart, where = float(wrong), f"{name}, row {row + 1}: {text}"
    return Found("index.html", len(parser.found), apart, where)


def main(folder: Path) -> str:
    """Print a line per table; returns one for each that differs."""
    if not (folder / "reports/tables/cells.csv").is_file():
        return f"{folder} has no reports/tables/cells.csv; run `make repro` first"
    wrong = []
    for found in checks(folder):
        print(f"{found.table}: {found.numbers} numbers, largest difference {found.apart:.1e}")
        if found.apart > TOLERANCE:
            wrong.append(f"{found.table} is wrong by {found.apart:.3g} (limit {TOLERANCE:g}): {found.where}")
    return "\n".join(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:])) or None)
