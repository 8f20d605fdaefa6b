"""Report: tables, figures and one page from the records of all cells; nothing is computed anew.

Reads runs/, evaluate/, identify/, robustness/ and data/prepared/; writes below reports/

    tables/ figures/ index.html   what was found; a planned cell or attack without a record is listed as
                                  missing and lowers `n` where it is missed
    answer.txt                    the same in a sentence, then one per data set
    metrics/ plots/               headline numbers and training curves, for `dvc metrics` and `dvc plots`
    cost.*                        what it took on this machine, which is no part of the result
"""

import shutil
from collections.abc import Mapping

import pandas as pd

from pipeline.common.cli import run_stage
from pipeline.common.config import Params
from pipeline.common.files import write_csv, write_json, write_text
from pipeline.common.paths import ANSWER, PAGE, PREPARED, REPORTS
from pipeline.common.progress import track
from pipeline.data.store import Store, open_store
from pipeline.present import (
    alarm,
    answer,
    attacks,
    details,
    evidence,
    evidence_details,
    generalisation,
    markup,
    page,
)
from pipeline.present.attacks.rows import Attacked
from pipeline.present.bounds import with_bounds
from pipeline.present.cost import cost
from pipeline.present.illustrations import Illustrations
from pipeline.present.results import PLACE, Grid, gather
from pipeline.present.sampling import Bootstrap
from pipeline.present.tables import Table
from pipeline.present.variants import variants

TABLES, FIGURES, METRICS, PLOTS = (REPORTS / name for name in ("tables", "figures", "metrics", "plots"))


def report(params: Params) -> None:
    """Write everything below reports/."""
    stores = {name: open_store(PREPARED / name) for name in params.datasets}
    grid, values = gather(params, stores)
    methods = variants(params)
    wider, more = with_bounds(grid, values, params)
    found = [*proofs(more, wider, stores), *tables(values, grid, methods)]
    for folder in (TABLES, FIGURES, METRICS, PLOTS):
        shutil.rmtree(folder, ignore_errors=True)
    for table in found:
        markup.write(table, TABLES)
    write_records(values, grid, methods)
    write_text(TABLES / "readme.md", markup.readme(found[0], wider))
    said = answer.sentences(found[0], wider)
    write_text(REPORTS / ANSWER, "\n".join([answer.overall(found[0], wider), *said.values()]) + "\n")
    for place, numbers in evidence.headlines(found[0].tidy).items():
        write_json(METRICS / f"{place}.json", numbers)
    shown = {table.name: table.tidy for table in found}
    drawn = [
        Illustrations(params, name, stores[group.draws[0]], grid, values, shown, FIGURES)
        for name, group in grid.draws.items()
    ]
    for job in track([job for illustrations in drawn for job in illustrations.jobs()], "figures"):
        job()
    folders = {name: store.folder for name, store in stores.items()}
    page.write(REPORTS / PAGE, wider, found, list(said.values()), folders)
    took = cost(grid)
    markup.write(took, REPORTS)
    page.write_cost(REPORTS / "cost.html", grid, took)


def proofs(values: dict[str, pd.DataFrame], grid: Grid, stores: Mapping[str, Store]) -> list[Table]:
    """The tables with floors and ceilings, and with intervals that resample test images; the main first."""
    sampler = Bootstrap(values["scores"], stores, grid)
    return [
        evidence.table(values, grid, sampler),
        generalisation.table(values, grid, sampler),
        evidence_details.strata(values["strata"], grid, sampler),
        evidence_details.counterfactuals(values["counterfactuals"], grid, sampler),
    ]


def tables(values: dict[str, pd.DataFrame], grid: Grid, methods: pd.DataFrame) -> list[Table]:
    """The other tables in the order of the page; those of attacks where some are planned."""
    return [
        details.attack_errors(values["metrics"], grid),
        details.alignment(values["alignment"], grid),
        details.faithfulness(values["faithfulness"], grid),
        details.regions(values["summary"], grid),
        alarm.table(values["alarm"], values["counterfactuals"], grid),
        *attacks.tables(Attacked(values["values"], grid, methods)),
    ]


def write_records(values: dict[str, pd.DataFrame], grid: Grid, methods: pd.DataFrame) -> None:
    """What tables rest on: keys of all cells and attacks, settings of methods, concepts, training curves."""
    write_csv(TABLES / "cells.csv", grid.cells)
    if len(grid.attacks):
        write_csv(TABLES / "attacks.csv", grid.attacks)
        write_csv(TABLES / "methods.csv", methods.reset_index())
    write_csv(TABLES / "concepts.csv", values["concepts"])
    write_csv(TABLES / "verdicts.csv", values["alarm"])
    history = values["history"]
    write_csv(PLOTS / "training.csv", history[[*PLACE, *history.columns.difference(PLACE, sort=False)]])


if __name__ == "__main__":
    run_stage("report", __doc__)
