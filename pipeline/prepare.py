"""Prepare a data set: read it through its adapters, decode every image once, split it, audit it, store it.

Leaves data/prepared/<dataset>/, or nothing and a list of what is wrong. Two runs give identical bytes, and
what is as it should be already is kept.
"""

import json
from functools import partial
from typing import Any

import joblib

from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Params
from pipeline.common.data_settings import Dataset
from pipeline.common.errors import for_each
from pipeline.common.paths import PREPARED
from pipeline.data.preparation import prepare_store
from pipeline.data.protocol import ROLES
from pipeline.data.pseudonyms import PSEUDONYM


def prepare(params: Params, *datasets: str) -> None:
    """Data sets of params.yaml into data/prepared/<dataset> each; raises UserError with all that is wrong."""
    for_each(datasets, partial(_prepare, params))


def _prepare(params: Params, dataset: str) -> None:
    settings, folder = params.datasets[dataset], PREPARED / dataset
    workers = joblib.cpu_count() if params.engine.workers == "auto" else params.engine.workers
    prepare_store(folder, dataset, settings, params.prepare, workers)
    audit = (folder / "audit.json").read_text(encoding="utf-8")
    show(f"{folder}", settings, json.loads(audit))
    if PSEUDONYM.search(audit):
        print(f"what n... stands for: python -m pipeline.names --text {folder / 'audit.json'}")


def show(name: str, settings: Dataset, audit: dict[str, Any]) -> None:
    """Print rows per role, source and label, then the warnings."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    title, notice = Text(settings.title, "table.title"), Text(settings.notice or "", "table.caption")
    table = Table(title=title, caption=notice, title_justify="left", caption_justify="left")
    columns = ("source", "label", "rows", "annotated", "annotators")
    for column in ("role", *columns):
        table.add_column(column, justify="left" if column in ("role", "source") else "right")
    order = {role: number for number, role in enumerate((*ROLES, ""))}
    for line in sorted(audit["counts"], key=lambda line: order[line["role"]]):
        table.add_row(line["role"] or "not used", *(f"{line[column]}" for column in columns))
    console.print(table)
    for finding in audit["findings"]:
        told = f"{finding['code']} {finding['where']}: {finding['message']}; {finding['remedy']}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    if audit["looks"]:
        found = ", ".join(f"{group} {value:.2f}" for group, value in audit["looks"]["auroc"].items())
        told = f"AUROC of the label by the looks of training images alone (0.5: nothing): {found}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    if (agreed := audit["agreement"])["images"]:
        told = f"mean Dice {agreed['dice']:.2f}, lowest {agreed['lowest']:.2f}"
        console.print(f"annotators agree on {agreed['images']} images marked by several: {told}")
    rows = sum(line["rows"] for line in audit["counts"])
    console.print(Text(f"{name}: {rows} rows, {audit['quarantined']} quarantined"))


if __name__ == "__main__":
    run_dataset_stage("prepare", __doc__)
