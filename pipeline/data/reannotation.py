"""What an import of new annotations changes: the maps of its images, and one line of the settings."""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import yaml

from pipeline.common.data_settings import Dataset, Prepare, Replacement
from pipeline.common.errors import UserError
from pipeline.common.files import write_text
from pipeline.data.annotations import SUPPORT
from pipeline.data.decoding import Decoded, decode_all
from pipeline.data.preparation import list_samples, make_recipe
from pipeline.data.problems import Finding, Problem, refuse
from pipeline.data.pseudonyms import real_names
from pipeline.data.replacing import marked_anew
from pipeline.data.store import open_store

COLUMNS = ["sample_id", "annotators_before", "annotators_after", "iou"]


def compare_maps(
    folder: Path, dataset: Dataset, settings: Prepare, kind: str, file: Path
) -> tuple[pd.DataFrame, list[Finding]]:
    """One row per image of the prepared store in `folder` that the file tells of (COLUMNS), and warnings.

    `iou` is that of the cells with half of the peak or more, before and after; NaN where either has no map.
    Raises UserError: marks that cannot be drawn, each with its image; what `replacing` refuses.
    """
    store, root = open_store(folder), Path(dataset.root)
    new = marked_anew(list_samples(dataset), root, kind, file)
    told = {sample.sample_id: sample for sample in new if sample.annotations or sample.problem}
    problems, rows = [], []
    names = real_names(store.manifest, folder.name, dataset, settings)["sample_id"]
    asked = [(row, told[name]) for row, name in enumerate(names) if name in told]
    recipe = make_recipe(dataset, settings)
    results = decode_all([sample for _, sample in asked], recipe, joblib.cpu_count())
    for (row, sample), result in zip(asked, results, strict=True):
        found = sample.problem or result
        if isinstance(found, Decoded):
            people = 0 if found.human_map is None else len(sample.annotations)
            before = int(store.manifest["annotators"].iloc[row])
            rows.append((sample.sample_id, before, people, _overlap(store.maps[row], found.human_map)))
        else:
            problems.append(Problem(found.code, f"{sample.image_path.name} {found.where}", found.message))
    refuse(problems)
    if not rows:
        refuse([Problem("E_JOIN", file.name, f"tells of no image in {folder}; is it of another data set?")])
    return pd.DataFrame(rows, columns=COLUMNS), new.noticed


def _overlap(old: np.ndarray, new: np.ndarray | None) -> float:
    if new is None or not old.any():
        return float("nan")
    one, other = (each >= SUPPORT * each.max() for each in (old, new))
    return float((one & other).sum() / (one | other).sum())


def name_in_settings(path: Path, dataset: str, replacement: Replacement) -> None:
    """Set `datasets.<dataset>.annotations.replace` in a YAML file; every other character stays.

    Raises UserError if it is no YAML, or has no such data set.
    """
    text = path.read_text(encoding="utf-8")
    try:
        node = yaml.compose(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    for key in ("datasets", dataset, "annotations"):
        node = _find(node, key)
    if not isinstance(node, yaml.MappingNode):
        raise UserError(
            f"{path}: has no datasets.{dataset}.annotations; name the file that has, with --params"
        )
    told = yaml.safe_dump(replacement.model_dump(), default_flow_style=True, width=10_000, sort_keys=False)
    told, old, at = told.strip(), _find(node, "replace"), node.start_mark.index
    if isinstance(old, yaml.MappingNode) and not old.flow_style:
        raise UserError(f"{path}: write datasets.{dataset}.annotations.replace in one line, or drop it")
    if old is not None:
        text = f"{text[: old.start_mark.index]}{told}{text[old.end_mark.index :]}"
    elif node.flow_style:
        text = f"{text[: at + 1]}replace: {told}, {text[at + 1 :]}"
    else:
        text = f"{text[:at]}replace: {told}\n{' ' * node.start_mark.column}{text[at:]}"
    write_text(path, text)


def _find(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of a key in a mapping; None if there is none."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)
