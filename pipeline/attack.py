"""Attack one trained model, print what moved, and draw it.

    python -m pipeline.attack --model runs/iris/compact/cross_entropy/0 --attack hoax_both

The attack is one that params.yaml names, or any file of pipeline/explain/attacks with its own settings.
Leaves values.csv, pictures.npz and picture.png in attacked/...; the records of the grid are left alone.
"""

import argparse
from pathlib import Path

import pandas as pd

from pipeline.common import catalogue
from pipeline.common.cli import exit_with, stage_parser
from pipeline.common.config import Attack, Params, load
from pipeline.common.errors import UserError, nearest
from pipeline.common.paths import ATTACKED, MODEL, PREPARED
from pipeline.common.progress import working
from pipeline.data.store import Store, open_unchanged
from pipeline.grid import measuring, trainings
from pipeline.grid.cells import Cell
from pipeline.measure import under_attack
from pipeline.model import inference
from pipeline.present import attack_gallery, gallery


def attack(params: Params, folder: Path, name: str, out: Path | None) -> None:
    """Run the attack `name` on the trained cell in `folder`; raises UserError for what is not there."""
    chosen = choose(params, name)
    cell, store = open_cell(folder)
    out = out or cell.folder(ATTACKED) / name
    with working(f"{name} against {cell.name} on {cell.dataset}"):
        model = inference.open_model(folder / MODEL, params.train.device)
        settings = {**params.robustness.settings_of(chosen), "seed": cell.seed}
        found = under_attack.measure(model, store, settings)
    measuring.write(found, out, "robustness")
    pictures = found.arrays or {}
    sheet = attack_gallery.sheet(pictures, store.images[pictures["index"]])
    if sheet is not None:
        gallery.save(sheet, f"{name} against {cell.name}, {store.info['title']}", out / "picture.png")
    show(found.tables["values"])
    print(f"\nwritten to {out}/: {', '.join(sorted(path.name for path in out.iterdir()))}")


def choose(params: Params, name: str) -> Attack:
    """An attack by its name in params.yaml, or a file of the catalogue with its own settings."""
    if name in params.robustness.attacks:
        return params.robustness.attacks[name]
    members = catalogue.names(under_attack.ATTACKS)
    if name in members:
        return Attack(attack={"name": name})
    raise UserError(f"--attack {name!r}: {nearest(name, {*params.robustness.attacks, *members})}")


def open_cell(folder: Path) -> tuple[Cell, Store]:
    """A trained cell and the data that it was trained on; raises UserError if either is not there."""
    record = trainings.find(folder)
    cell = Cell(**record["cell"])
    store = open_unchanged(folder.resolve().parents[4] / PREPARED / cell.dataset)
    if record["data_hash"] != store.digest("train", "val"):
        raise UserError(f"{folder}: trained on other data than {store.folder} holds now; train it again")
    return cell, store


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


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made: argparse.ArgumentParser = stage_parser("attack", __doc__)
    made.add_argument("--model", type=Path, required=True, help="runs/<dataset>/<backbone>/<method>/<seed>")
    made.add_argument("--attack", required=True, help="a name in params.yaml or in pipeline/explain/attacks")
    made.add_argument("--out", type=Path, help="folder to write to (default attacked/...)")
    return made


def main() -> None:
    """Command line."""
    args = parser().parse_args()
    exit_with(
        lambda: attack(load(args.params), args.model, args.attack, args.out), debug=args.debug, name="attack"
    )


if __name__ == "__main__":
    main()
