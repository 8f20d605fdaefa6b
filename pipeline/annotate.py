"""Ask people again where models look elsewhere: write tasks for an annotation tool, and take the answers.

    python -m pipeline.annotate export --model runs/cxr/compact/cyborg/0 --to label_studio --out tasks/
    python -m pipeline.annotate import project.json --data cxr
    python -m pipeline.annotate changes --data cxr      what the new maps changed, once the pipeline ran again

`export` takes the training or validation images on which the model's difference salience for the true label
agrees least with people, or several models' least with each other. Test images are never shown: what people
say of them would choose what is trained. The model's regions are suggestions to correct.

`import` keeps the file in data/annotations/, names it in the settings, where it replaces the marks of its
images, and says how much the maps changed.
"""

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.cli import exit_with
from pipeline.common.config import load
from pipeline.common.data_settings import Replacement
from pipeline.common.errors import UserError, nearest
from pipeline.common.files import building, sha256_file, write_csv
from pipeline.common.paths import CELLS, PREPARED
from pipeline.data import images
from pipeline.data.decoding import load_apart
from pipeline.data.marks import studio_tasks
from pipeline.data.marks.studio_tasks import StudioSuggestion
from pipeline.data.problems import counted
from pipeline.data.pseudonyms import real_names
from pipeline.data.reannotation import compare_maps, name_in_settings
from pipeline.data.replacing import PARSERS
from pipeline.data.store import Store, open_store
from pipeline.explain import disagreement
from pipeline.explain.alignment import resize
from pipeline.grid.trained import BATCH, Trained
from pipeline.model import inference

ANNOTATIONS = Path("data/annotations")  # /<data set>
CHANGES, BEFORE = "changes.csv", "before.csv"
MEASURES = ("people", "methods")
SHARE = 0.2  # of positive cells that are suggested, as `identify` takes it by default
CELL = ["backbone", "method", "seed", "scope", "source"]


def export(models: list[Path], by: str, role: str, count: int, out: Path) -> None:
    """Write tasks for the `count` images of a role with the most disagreement into the new folder `out`.

    Raises UserError: models of several data sets, a folder that is there, a crop that cannot be undone.
    """
    names = {folder.resolve().parts[-4] for folder in models if len(folder.resolve().parts) > 4}
    if len(names) != 1:
        raise UserError(f"expected trainings of one data set, runs/<data set>/..., got {sorted(names)}")
    if out.exists():
        raise UserError(f"{out}: is there already; name a new folder, so that no task is lost")
    if by == "methods" and len(models) < 2:
        raise UserError("methods disagree with each other: give two or more after --model")
    store, cells = open_store(PREPARED / next(iter(names))), [Trained(folder) for folder in models]
    if cells[0].recipe.crop == "roi":
        raise UserError(
            "images are cropped to regions that the store does not keep: nothing can be drawn back"
        )
    rows = store.rows(role)
    salience = _look(cells, store, rows)
    params, name = load(Path("params.yaml")), store.info["dataset"]
    dataset = params.datasets[name]
    frame = real_names(store.manifest, name, dataset, params.prepare)
    table = _rank(store, frame, rows, salience, by).head(count)
    root = Path(dataset.root)
    told = zip(table.index, table.to_dict("records"), strict=True)
    suggestions = [_suggest(cells[0], root, salience[0][place], about, models[0]) for place, about in told]
    with building(out) as new:
        studio_tasks.write(new, suggestions)
        write_csv(new / "images.csv", table)
    print(f"{out}: {len(table)} of {len(rows)} {role} images; tasks.json, config.xml, images.csv, images/")


def _look(cells: list[Trained], store: Store, rows: np.ndarray) -> np.ndarray:
    """Difference salience of each model for the true labels, (M, N, h, w) on the finest of their grids."""
    sign = (2 * store.labels[rows] - 1)[:, None, None]
    maps = []
    for cell in cells:
        outputs = inference.look(cell.network, store.images, rows, BATCH)
        cams = np.concatenate([each.cams.float().cpu().numpy() for each in outputs])
        maps.append(sign * (cams[:, 1] - cams[:, 0]))
    grid = tuple(max(each.shape[axis] for each in maps) for axis in (1, 2))
    return np.stack([each if each.shape[1:] == grid else resize(each, grid, "bilinear") for each in maps])


def _rank(store: Store, frame: pd.DataFrame, rows: np.ndarray, salience: np.ndarray, by: str) -> pd.DataFrame:
    """Images with some disagreement, most first; named by `frame`; the index is the place in `rows`."""
    human_maps = store.maps[rows] * store.has_map[rows][:, None, None]
    told = frame.iloc[rows][["sample_id", "image_path", "class_name"]].reset_index(drop=True)
    table = told.assign(
        people=disagreement.with_people(salience, human_maps), methods=disagreement.between_models(salience)
    )
    wanted = list(MEASURES) if by == "disagree" else [by]
    table["disagreement"] = table[wanted].max(axis=1)
    table = table.dropna(subset="disagreement").sort_values("disagreement", ascending=False, kind="stable")
    if table.empty:
        raise UserError(
            f"no image tells how much {by} disagree: none has a human map, or one model was given"
        )
    return table


def _suggest(
    cell: Trained, root: Path, salience: np.ndarray, told: Mapping[Any, Any], model: Path
) -> StudioSuggestion:
    """The whole picture of an image, and the regions in which the model looks."""
    picture = load_apart(root / told["image_path"], cell.recipe.limits)
    width, height, crop = picture.width, picture.height, cell.recipe.crop
    parts = disagreement.parts(salience, SHARE).astype(float)
    found = [images.from_square(part, width=width, height=height, crop=crop) >= 0.5 for part in parts]
    return StudioSuggestion(
        path=told["image_path"],
        pixels=np.rint(picture.pixels * 255).astype(np.uint8),
        regions=np.array([region for region in found if region.any()], bool).reshape(-1, height, width),
        model="/".join(model.resolve().parts[-4:]),
        about={"class_name": told["class_name"], "disagreement": round(told["disagreement"], 3)},
    )


def take(file: Path, data: str, kind: str, settings: Path | None) -> None:
    """Import an export: keep it, name it in `settings`, and say what it changes of the maps.

    settings: None for where they are written. A fold's marks are those of the data set that it is of.
    Raises UserError, and leaves everything as it was: an unknown data set, and what `replacing` refuses.
    """
    params = load(Path("params.yaml"))
    if data not in params.datasets:
        raise UserError(f"dataset {data!r} is not in params.yaml: {nearest(data, params.datasets)}")
    if not file.is_file():
        raise UserError(f"{file}: no such file; export it from the annotation tool")
    table, noticed = compare_maps(PREPARED / data, params.datasets[data], params.prepare, kind, file)
    digest = sha256_file(file)
    kept = ANNOTATIONS / data / f"{digest[:12]}{file.suffix}"
    settings = settings or written_in(Path.cwd())
    replacement = Replacement(kind=kind, file=kept.as_posix(), sha256=digest)  # type: ignore[arg-type]
    name_in_settings(settings, params.datasets[data].fold_of or data, replacement)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, kept)
    write_csv(kept.parent / CHANGES, table)
    write_csv(kept.parent / BEFORE, _read_metrics(data))
    for found in counted(noticed):
        print(f"{found.code} {found.where}: {found.message}")
    had, iou = int((table["annotators_before"] > 0).sum()), table["iou"].mean()
    print(f"{len(table)} images of {data} annotated anew; {had} had a map, mean IoU of old and new {iou:.2f}")
    print(f"{settings} names {kept}; now run the pipeline again, then `annotate changes --data {data}`")


def written_in(folder: Path) -> Path:
    """The file in which a person changes the settings of a folder: in a workspace its profile.

    The workspace's own params.yaml is made anew of that at each run.
    """
    profile = Path("../../profiles", f"{folder.name}.yaml")
    in_workspace = folder.parent.name == "workspaces" and (folder / profile).is_file()
    return profile if in_workspace else Path("params.yaml")


def _read_metrics(data: str) -> pd.DataFrame:
    """AUROC of every evaluated cell of a data set, by scope."""
    tables = []
    for path in sorted((CELLS["evaluate"] / data).glob("*/*/*/metrics.csv")):
        backbone, method, seed = path.parts[-4:-1]
        table = pd.read_csv(path, keep_default_na=False).query("metric == 'auroc'")
        tables.append(table.assign(backbone=backbone, method=method, seed=seed)[[*CELL, "value"]])
    return pd.concat(tables) if tables else pd.DataFrame(columns=[*CELL, "value"])


def tell_changes(data: str) -> None:
    """Print the paired change of each method's AUROC since the last import; raises UserError without one."""
    path = ANNOTATIONS / data / BEFORE
    if not path.is_file():
        raise UserError(
            f"{path}: nothing was imported for {data}; `annotate import` notes the results before"
        )
    before = pd.read_csv(path, dtype=dict.fromkeys(CELL, str), keep_default_na=False)
    both = before.merge(_read_metrics(data), on=CELL, suffixes=("_before", "_after"))
    if both.empty:
        raise UserError(f"{data}: no cell was evaluated both before the import and now; run the pipeline")
    both = both.astype({"value_before": float, "value_after": float})
    both["change"] = both["value_after"] - both["value_before"]
    named = {
        "cells": ("change", "size"),
        "before": ("value_before", "mean"),
        "after": ("value_after", "mean"),
    }
    spread = {"change": ("change", "mean"), "least": ("change", "min"), "most": ("change", "max")}
    grouped = both.groupby(["backbone", "method", "scope", "source"], as_index=False)
    if not both["change"].any():
        print("no value differs: was the pipeline run since the import?")
    print("AUROC, paired by cell")
    print(grouped.agg(**named, **spread).round(4).to_string(index=False))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline.annotate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--debug", action="store_true", help="show tracebacks")
    parts = made.add_subparsers(dest="action", required=True)
    out = parts.add_parser("export", help="write tasks for an annotation tool")
    out.add_argument(
        "--model", type=Path, nargs="+", required=True, help="trainings; regions are the first's"
    )
    out.add_argument(
        "--images", dest="by", choices=("disagree", *MEASURES), default="disagree", help="with whom"
    )
    out.add_argument("--role", choices=("train", "val"), default="train", help="never test images")
    out.add_argument("--count", type=int, default=50, help="images at most")
    out.add_argument("--to", dest="tool", choices=("label_studio",), default="label_studio", help="the tool")
    out.add_argument("--out", type=Path, required=True, help="folder to write")
    back = parts.add_parser("import", help="take what people marked")
    back.add_argument("file", type=Path, help="the tool's export")
    back.add_argument("--kind", choices=sorted(PARSERS), default="label_studio", help="of the export")
    back.add_argument("--data", required=True, help="data set of params.yaml")
    back.add_argument(
        "--params", type=Path, help="settings file to change: params.yaml, or a study's profile"
    )
    told = parts.add_parser("changes", help="what the new maps changed of the results")
    told.add_argument("--data", required=True, help="data set of params.yaml")
    return made


def main() -> None:
    """Command line."""
    args = parser().parse_args()
    work = {
        "export": lambda: export(args.model, args.by, args.role, args.count, args.out),
        "import": lambda: take(args.file, args.data, args.kind, args.params),
        "changes": lambda: tell_changes(args.data),
    }
    exit_with(work[args.action], debug=args.debug, name="annotate")


if __name__ == "__main__":
    main()
