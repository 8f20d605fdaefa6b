"""Attack trained cells: do their explanations and their decisions stand?

    python -m pipeline.robustness iris                                                what params.yaml plans
    python -m pipeline.robustness --model runs/iris/compact/cyborg/0 --attack sham    one cell, one attack

The attacks that `robustness.attacks` names are run on test images of known sources, the same for every cell
of a data set; test images choose nothing. Per cell and attack, in
`robustness/<dataset>/<backbone>/<method>/<seed>/<attack>/`:

    values.csv      one row per explanation, metric and budget: mean over images, their number
    pictures.npz    maps and images of the first few, to be looked at; `index`: their rows in the store

With --model the same files and picture.png go to --out, and the records of the grid are left alone; the
attack is one that params.yaml names, or any file of pipeline/explain/attacks with its own settings.
"""

import sys
import time
from argparse import Namespace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common import catalogue, cli
from pipeline.common.config import Attack, Params, load
from pipeline.common.errors import UserError, nearest
from pipeline.common.files import atomic, write_csv
from pipeline.common.code import PACKAGE
from pipeline.common.progress import working
from pipeline.data.store import Store, open_store
from pipeline.explain.attacks import Findings
from pipeline.grid import attacked, engine, records, trained
from pipeline.measure import under_attack as victims
from pipeline.grid.cells import Cell, code_hash, key
from pipeline.grid.engine import Task
from pipeline.present import gallery
from pipeline.present import attack_gallery


def robustness(params: Params, dataset: str) -> None:
    """Run the planned attacks that have no record yet; raises UserError listing every one that failed."""
    store = open_store(trained.PREPARED / dataset)
    attacked.ROBUSTNESS.joinpath(dataset).mkdir(parents=True, exist_ok=True)
    if not len(store.rows(victims.ROLE)):
        print(f"robustness {dataset}: no test image of a known source; nothing is attacked", file=sys.stderr)
        return
    planned = tasks(params, store)
    work = partial(attack_cell, device=params.train.device, root=Path.cwd())
    engine.run("robustness", planned, work, params.engine)


def tasks(params: Params, store: Store) -> list[Task]:
    """One task per cell and attack planned for it; a key holds the training, the model and the settings."""
    found = []
    for cell, training in trained.trainings(params, store.info["dataset"]).items():
        for name, attack in attacked.attacks_of(params, cell).items():
            wanted = {**training, "robustness": attacked.settings(params, attack)}
            folder = attacked.folder(cell, name).absolute()
            made_of = key(wanted, store.data_hash, _code_hash(attack.attack))
            found.append(Task(cell, folder, made_of, wanted, part=name))
    return found


def attack_cell(task: Task, *, device: str, root: Path) -> None:
    """Run one attack on one cell and write its files, then its record; `root` is where the stage runs."""
    started = time.perf_counter()
    store = open_store(root / trained.PREPARED / task.cell.dataset)
    settings = task.settings["robustness"]
    findings = victims.run_attack(task.cell.folder(root / trained.RUNS), task.cell, store, settings, device)
    write(findings, task.folder)
    records.write(
        task.folder,
        stage="robustness",
        cell=task.cell,
        key=task.key,
        settings=task.settings,
        data_hash=store.data_hash,
        code_hash=_code_hash(settings["attack"]),
        files=["values.csv", "pictures.npz"],
        results=headlines(findings.values),
        timings={"total_s": time.perf_counter() - started},
    )


def write(findings: Findings, folder: Path) -> None:
    """Write values.csv and pictures.npz."""
    write_csv(folder / "values.csv", findings.values)
    pictures: dict[str, Any] = findings.pictures
    with atomic(folder / "pictures.npz") as path:
        np.savez(path, **pictures)


def headlines(values: pd.DataFrame) -> dict[str, float]:
    """The record's results: what is said of the model as a whole."""
    whole = values[(values["explanation"] == "") & values["budget"].isna()]
    return dict(zip(whole["metric"], whole["value"].astype(float), strict=True))


def attack_one(args: Namespace) -> None:
    """Attack the one cell of the command line, print what came of it, and draw it."""
    params, folder = load(args.params), args.model.resolve()
    record = trained.find(args.model)
    attack = _chosen(params, args.attack)
    cell = Cell(**record["cell"])
    store = open_store(folder.parents[4] / trained.PREPARED / cell.dataset)
    if record["data_hash"] != store.data_hash:
        raise UserError(f"{args.model}: trained on other data than {store.folder} holds now; train it again")
    settings = attacked.settings(params, attack)
    out = args.out or Path("attacked", cell.dataset, cell.backbone, cell.method, str(cell.seed), args.attack)
    with working(f"{args.attack} against {cell.name} on {cell.dataset}"):
        findings = victims.run_attack(folder, cell, store, settings, params.train.device)
    write(findings, out)
    images = store.images[findings.pictures["index"]]
    sheet = attack_gallery.sheet(findings.pictures, images)
    if sheet is not None:
        gallery.save(sheet, f"{args.attack} against {cell.name}, {store.info['title']}", out / "picture.png")
    show(findings.values)
    print(f"\nwritten to {out}/: {', '.join(sorted(path.name for path in out.iterdir()))}")


def _chosen(params: Params, name: str) -> Attack:
    """An attack by its name in params.yaml, or a file of the catalogue with its own settings."""
    known = params.robustness.attacks
    if name in known:
        return known[name]
    if name in catalogue.names(victims.ATTACKS):
        return Attack(attack=name)
    raise UserError(f"--attack {name!r}: {nearest(name, {*known, *catalogue.names(victims.ATTACKS)})}")


@cache
def _code_hash(attack: str) -> str:
    """Of what an attack is given and of the attack itself: editing another one costs nothing."""
    return code_hash(PACKAGE / "grid" / "victims.py", catalogue.source(victims.ATTACKS, attack))


def show(values: pd.DataFrame) -> None:
    """Print findings as tables: what is said of the model, then a row per explanation."""
    from rich.console import Console
    from rich.table import Table

    for explained, part in values.groupby(values["explanation"] != ""):
        budget = part["budget"].map(lambda value: "" if value != value else f" at {value:.4g}")
        rows = part.assign(metric=part["metric"] + budget)
        wide = rows.pivot_table(index="metric", columns="explanation", values="value", sort=False)
        table = Table("metric", *(wide.columns if explained else ["value"]))
        for metric, numbers in wide.iterrows():
            table.add_row(str(metric), *(f"{number:.3f}" for number in numbers))
        Console().print(table)


def main() -> None:
    """Command line: a data set's planned attacks, or one attack on one model."""
    parser = cli.stage_parser("robustness", __doc__)
    parser.add_argument("dataset", nargs="?", help="a key of `datasets` in params.yaml")
    parser.add_argument(
        "--model", type=Path, help="runs/<dataset>/<backbone>/<method>/<seed>: attack it alone"
    )
    parser.add_argument("--attack", help="a name in params.yaml or in pipeline/explain/attacks")
    parser.add_argument("--out", type=Path, help="folder to write to (default attacked/...)")
    args = parser.parse_args()
    if (args.dataset is None) == (args.model is None) or (args.model is None) != (args.attack is None):
        parser.error("give a data set, or --model with --attack")
    if args.model is None:
        cli.run_on_dataset("robustness", args)
    else:
        cli.exit_with(lambda: attack_one(args), debug=args.debug, name="robustness")


if __name__ == "__main__":
    main()
