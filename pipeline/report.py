"""Report: tables, figures and one page from the records of all cells; nothing is computed anew.

Reads runs/, evaluate/, identify/, robustness/ and data/prepared/; writes below reports/

    index.html                    what was found, on one page in one file; says when and where, so that it is
                                  compared with no other machine's
    tables/ figures/ details/     all of it; a planned cell or attack without a record is listed as missing
                                  and lowers `n` where it is missed
    answer.txt                    the same in a sentence, then one per data set
    metrics/ plots/               headline numbers and training curves, for `dvc metrics` and `dvc plots`
    cost.*                        what it took on this machine, which is no part of the result
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.common.cli import run_stage
from pipeline.common.config import Params
from pipeline.common.files import building, write_csv, write_json, write_text
from pipeline.common.paths import ANSWER, DETAILS, PAGE, PREPARED, REPORTS
from pipeline.common.progress import track
from pipeline.data.store import Store, open_store
from pipeline.present import (
    alarm,
    answer,
    attacks,
    decision_errors,
    details,
    evidence,
    evidence_details,
    generalisation,
    left_out,
    markup,
    page,
)
from pipeline.present.attacks.rows import Attacked
from pipeline.present.bounds import with_bounds
from pipeline.present.cost import cost
from pipeline.present.illustrations import Illustrations
from pipeline.present.provenance import provenance
from pipeline.present.results import PLACE, Grid, gather
from pipeline.present.sampling import Bootstrap
from pipeline.present.tables import Table
from pipeline.present.variants import variants


def report(params: Params) -> None:
    """Write everything below reports/, which keeps what it has until all is written."""
    stores = {name: open_store(PREPARED / name) for name in params.datasets}
    grid, values = gather(params, stores)
    methods = variants(params)
    wider, more = with_bounds(grid, values, params)
    own = tables(values, grid, methods, params.report.prevalence)
    found = [*proofs(more, wider, stores), *own]
    said = answer.overall(found[0], wider), answer.sentences(found[0], wider)
    with building(REPORTS) as folder:
        for table in found:
            markup.write(table, folder / "tables")
        write_records(values, grid, methods, folder)
        write_text(folder / "tables" / "readme.md", markup.readme(found[0], wider))
        write_text(folder / ANSWER, "\n".join([said[0], *said[1].values()]) + "\n")
        for place, numbers in evidence.headlines(found[0].tidy).items():
            write_json(folder / "metrics" / f"{place}.json", numbers)
        draw(params, stores, grid, values, found, folder / "figures")
        page.write_details(folder / DETAILS, wider, found, stores, folder / "figures")
        made = provenance(grid, params)
        page.write(folder / PAGE, params, wider, found, said, stores, made)
        took = cost(grid)
        markup.write(took, folder)
        page.write_cost(folder / "cost.html", grid, took)


def draw(
    params: Params,
    stores: Mapping[str, Store],
    grid: Grid,
    values: dict[str, pd.DataFrame],
    tables: list[Table],
    folder: Path,
) -> None:
    """Write the figures of all data sets."""
    shown = {table.name: table.tidy for table in tables}
    drawn = [
        Illustrations(params, name, stores[group.draws[0]], grid, values, shown, folder)
        for name, group in grid.draws.items()
    ]
    for job in track([job for illustrations in drawn for job in illustrations.jobs()], "figures"):
        job()


def proofs(values: dict[str, pd.DataFrame], grid: Grid, stores: Mapping[str, Store]) -> list[Table]:
    """The tables with floors and ceilings, and with intervals that resample test images; the main first."""
    sampler = Bootstrap(values["scores"], stores, grid)
    return [
        evidence.table(values, grid, sampler),
        generalisation.table(values, grid, sampler),
        evidence_details.strata(values["strata"], grid, sampler),
        evidence_details.counterfactuals(values["counterfactuals"], grid, sampler),
    ]


def tables(
    values: dict[str, pd.DataFrame], grid: Grid, methods: pd.DataFrame, prevalence: float
) -> list[Table]:
    """The other tables in the order of the page; those of attacks where some are planned."""
    return [
        *left_out.tables(values["metrics"], grid),
        *decision_errors.tables(values["metrics"], values["scores"], grid, prevalence),
        details.alignment(values["alignment"], grid),
        details.faithfulness(values["faithfulness"], grid),
        details.regions(values["summary"], grid),
        alarm.table(values["alarm"], values["counterfactuals"], grid),
        *attacks.tables(Attacked(values["values"], grid, methods)),
    ]


def write_records(values: dict[str, pd.DataFrame], grid: Grid, methods: pd.DataFrame, folder: Path) -> None:
    """What tables rest on: keys of all cells and attacks, settings of methods, concepts, training curves."""
    write_csv(folder / "tables" / "cells.csv", grid.cells)
    if len(grid.attacks):
        write_csv(folder / "tables" / "attacks.csv", grid.attacks)
        write_csv(folder / "tables" / "methods.csv", methods.reset_index())
    write_csv(folder / "tables" / "concepts.csv", values["concepts"])
    write_csv(folder / "tables" / "verdicts.csv", values["alarm"])
    history = values["history"]
    write_csv(
        folder / "plots" / "training.csv", history[[*PLACE, *history.columns.difference(PLACE, sort=False)]]
    )


if __name__ == "__main__":
    run_stage("report", __doc__)
