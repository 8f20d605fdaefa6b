"""Writes the tables of docs/study.md from what `make repro PROFILE=study` left: no number is typed by hand.

    python -m benchmarks.study_tables [workspaces/study]

Every `<!-- <name> -->` ... `<!-- end -->` of the page is filled by the function of that name in BLOCKS.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.common.config import load
from pipeline.common.files import write_text
from pipeline.common.paths import CANDIDATES, CELLS, PREPARED, REPORTS
from pipeline.data.store import open_store
from pipeline.grid.cells import cells
from pipeline.present import alarm
from pipeline.present.comparisons import compare
from pipeline.present.markup import markdown_rows
from pipeline.present.quantities import HEADLINES, QUANTITIES, quantities
from pipeline.present.results import UNIT, gather
from pipeline.present.sampling import Bootstrap
from pipeline.present.tables import bracketed, signed_bracketed

PAGE = Path(__file__).parents[1] / "docs" / "study.md"
TASKS = ("cxr", "iris", "face")
TITLES = {name: quantity.title for name, quantity in QUANTITIES.items()}
LOSSES = ("cyborg", "true_false", "difference_salience", "divergence")
OWN = ("evidence", "transplant")
PLAIN = ("cross_entropy", *LOSSES, *OWN)
RIVALS = ("spectral_decoupling", "random_erasing", "right_reasons", "energy", "exchange", "neutral",
          "cutout_context", "evidence", "transplant")  # fmt: skip
FEW = ("cross_entropy", "cyborg", "divergence", "evidence", "transplant")
CONTROLS = ("transplant_class_mean", "transplant_within_class", "transplant_shuffled")
DOSES = {
    "0.5": "agreement_0_5",
    "0.7": "agreement_0_7",
    "0.9": "agreement_0_9",
    "0.95": "agreement_0_95",
    "1": "",
}


class Study(NamedTuple):
    """What a finished workspace, which is the working directory, says."""

    rows: pd.DataFrame  # reports/tables/evidence.csv
    units: pd.DataFrame  # every quantity of every unit
    gains: pd.DataFrame  # OWN against LOSSES and cross-entropy, adjusted within a quantity
    verdicts: pd.DataFrame  # of the alarm, per concept
    choices: pd.DataFrame  # task, method, seed, alpha


def read() -> Study:
    """The tables, and the comparisons that the report has not: one family per headline."""
    params = load()
    stores = {name: open_store(PREPARED / name) for name in params.datasets}
    grid, values = gather(params, stores)
    units = quantities(values, grid)
    asked = units[units["dataset"].isin(TASKS) & units["quantity"].isin(HEADLINES)]
    pairs = [(own, other) for own in OWN for other in ("cross_entropy", *LOSSES)]
    sampler = Bootstrap(values["scores"], stores, grid)
    gains = compare(asked, ["quantity"], pairs, grid.confidence, family=["quantity"], sampler=sampler)
    choices = [
        {
            "task": task,
            "method": cell.method,
            "seed": cell.seed,
            "alpha": _chosen(cell.folder(CELLS["train"])),
        }
        for task in TASKS
        for cell in cells(params, f"{task}_design")
        if params.methods[cell.method].candidates()
    ]
    rows, verdicts = (pd.read_csv(REPORTS / "tables" / f"{name}.csv") for name in ("evidence", "verdicts"))
    return Study(rows, units, gains, verdicts, pd.DataFrame(choices))


def _chosen(folder: Path) -> float:
    table = pd.read_csv(folder / CANDIDATES)
    return float(table.loc[table["chosen"], "alpha"].item())


def estimates(study: Study, methods: Sequence[str], wanted: Sequence[str], variant: str = "") -> pd.DataFrame:
    """A line per method, a column per task and quantity: mean with its interval."""
    lines = []
    for method in methods:
        line = {"method": method}
        for task in TASKS:
            for quantity in wanted:
                line[f"{task}: {TITLES[quantity]}"] = _estimate(
                    study.rows, f"{task}{variant}", method, quantity
                )
        lines.append(line)
    return pd.DataFrame(lines)


def _estimate(rows: pd.DataFrame, dataset: str, method: str, quantity: str) -> str:
    same = (rows["dataset"] == dataset) & (rows["method"] == method) & (rows["quantity"] == quantity)
    found = rows[same]
    if found.empty:
        return "–"
    row = found.iloc[0]
    return bracketed(row["mean"], row["low"], row["high"], int(row["n"]), int(row["planned"]))


def fitness(study: Study) -> pd.DataFrame:
    """Floors and ceilings beside cross-entropy."""
    beside = study.rows[study.rows["beside"].isin(["floor", "ceiling"])]
    names = beside.loc[beside["dataset"].isin(TASKS), "method"].unique()
    return estimates(study, ["cross_entropy", *names], ("conflict_auroc", "held_out_auroc"))


def methods(study: Study) -> pd.DataFrame:
    """The headlines of every method on the confirmation draws."""
    return estimates(study, PLAIN, ("conflict_auroc", "without_cause"))


def methods_beside(study: Study) -> pd.DataFrame:
    """What stands beside them: causes that no known source has, and the closed set."""
    return estimates(study, PLAIN, ("conflict_auroc_novel", "closed_auroc"))


def differences(study: Study) -> pd.DataFrame:
    """Paired differences in the headlines with p after Holm."""
    lines = []
    for (method, other), part in study.gains.groupby(["method", "other"], sort=False):
        line = {"method": str(method), "compared with": str(other)}
        for row in part.to_dict("records"):
            said = signed_bracketed(row["value"], row["low"], row["high"])
            name = f"{row['dataset']}: {TITLES[row['quantity']]}"
            line[name] = f"{said}, p {row['adjusted']:.2g}, n {row['pairs']}"
        lines.append(line)
    return pd.DataFrame(lines).fillna("–")


def controls(study: Study) -> pd.DataFrame:
    """How much of transplant's gain over cross-entropy in conflicts goes with the images' own maps."""
    conflict = study.units[study.units["quantity"] == "conflict_auroc"]
    lines = []
    for control in CONTROLS:
        line = {"control": control}
        for task in TASKS:
            own = conflict[conflict["dataset"] == task]
            wide = own.pivot_table(index=UNIT, columns="method", values="value")
            means = wide[["cross_entropy", "transplant", control]].dropna().mean()
            gain, left = means[["transplant", control]] - means["cross_entropy"]
            gone = 1 - left / gain if gain > 0 else np.nan
            line[f"{task}: conflict"] = f"{means[control]:.2f}"
            line[f"{task}: gain gone"] = f"{gone:.0%}" if gone == gone else "no gain"
        lines.append(line)
    return pd.DataFrame(lines)


def alphas(study: Study) -> pd.DataFrame:
    """Which alpha validation chose on the design draw, by seed, and what it then reached."""
    lines = []
    for method, own in study.choices.groupby("method", sort=False):
        line = {"method": str(method)}
        for task in TASKS:
            chosen = own.loc[own["task"] == task, "alpha"]
            line[f"{task}: alpha"] = ", ".join(f"{alpha:g}" for alpha in chosen)
            line[f"{task}: conflict"] = _estimate(
                study.rows, f"{task}_design_draw", str(method), "conflict_auroc"
            )
        lines.append(line)
    return pd.DataFrame(lines)


def dose(study: Study) -> pd.DataFrame:
    """Conflict AUROC against how often the shortcut fits the label in training."""
    lines = []
    for task in TASKS:
        for method in FEW:
            names = {title: f"{task}_{part}" if part else task for title, part in DOSES.items()}
            found = {
                title: _estimate(study.rows, name, method, "conflict_auroc") for title, name in names.items()
            }
            lines.append({"task": task, "method": method, **found})
    return pd.DataFrame(lines)


def rivals(study: Study) -> pd.DataFrame:
    """Other remedies, without and with maps."""
    return estimates(study, RIVALS, ("conflict_auroc", "without_cause"))


def network(study: Study) -> pd.DataFrame:
    """The second network on two of the draws."""
    return estimates(study, FEW, ("conflict_auroc", "without_cause"), "_second_network")


def global_shortcut(study: Study) -> pd.DataFrame:
    """A shortcut that is all over the image."""
    return estimates(study, FEW, ("conflict_auroc", "without_cause"), "_global_shortcut")


def alarms(study: Study) -> pd.DataFrame:
    """How well the alarm tells shortcuts from causes, and how often it calls where one says nothing."""
    found = alarm.judged(study.verdicts.fillna({"truth": ""})).set_index("dataset").reindex(TASKS)
    free_of = DOSES["0.5"]
    free = study.verdicts[study.verdicts["dataset"].str.endswith(free_of)]
    called = (free["verdict"] == "shortcut").groupby(free["dataset"]).mean()
    lines = [
        {
            "task": str(task),
            "AUROC": f"{row.auroc:.2f}",
            "without human maps": f"{row.auroc_without_maps:.2f}",
            "shortcuts found": f"{row.found:.0%}",
            "causes called shortcuts": f"{row.false_alarms:.0%}",
            "called shortcuts where it says nothing": f"{called.get(f'{task}_{free_of}', np.nan):.0%}",
        }
        for task, row in zip(found.index, found.itertuples(), strict=True)
    ]
    return pd.DataFrame(lines)


BLOCKS: dict[str, Callable[[Study], pd.DataFrame]] = {
    each.__name__: each
    for each in (fitness, methods, methods_beside, differences, controls, alphas, dose, rivals, network,
                 global_shortcut, alarms)
}  # fmt: skip


def filled(page: str, blocks: dict[str, str]) -> str:
    """The page with every block between its marks replaced; a mark that nobody fills is refused.

    >>> filled("a <!-- dose -->old<!-- end --> b", {"dose": "new"})
    'a <!-- dose -->\\n\\nnew\\n\\n<!-- end --> b'
    """
    marks = r"<!-- (\w+) -->.*?<!-- end -->"
    return re.sub(
        marks, lambda m: f"<!-- {m[1]} -->\n\n{blocks[m[1]]}\n\n<!-- end -->", page, flags=re.DOTALL
    )


def main() -> None:
    """Fill the page from the workspace that the command names."""
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else PAGE.parents[1] / "workspaces" / "study")
    study = read()
    blocks = {name: markdown_rows(of(study)) for name, of in BLOCKS.items()}
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), blocks))


if __name__ == "__main__":
    main()
