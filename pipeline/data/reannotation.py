"""What an import of new annotations changes: the maps of its images, and one line of the settings."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from ruamel.yaml import YAML, YAMLError

from pipeline.common.data_settings import Dataset, Prepare, Replacement
from pipeline.common.errors import UserError
from pipeline.common.files import write_text
from pipeline.data.annotations import SUPPORT
from pipeline.data.decoding import Decoded, decode
from pipeline.data.preparation import list_samples, make_recipe
from pipeline.data.problems import Problem, refuse
from pipeline.data.replacing import marked_anew
from pipeline.data.store import open_store

COLUMNS = ["sample_id", "annotators_before", "annotators_after", "iou"]


def compare_maps(folder: Path, dataset: Dataset, settings: Prepare, kind: str, file: Path) -> pd.DataFrame:
    """One row per image of the prepared store in `folder` that the file tells of: COLUMNS.

    `iou` is that of the cells with half of the peak or more, before and after; NaN where either has no map.
    Raises UserError: marks that cannot be drawn, each with its image; what `replacing` refuses.
    """
    store, root = open_store(folder), Path(dataset.root)
    new = marked_anew(list_samples(dataset), root, kind, file)
    told = {sample.sample_id: sample for sample in new if sample.annotations or sample.problem}
    problems, rows = [], []
    for row, name in enumerate(store.manifest["sample_id"]):
        if name in told:
            sample = told[name]
            found = sample.problem or decode(sample, make_recipe(dataset, settings))
            if isinstance(found, Decoded):
                people = 0 if found.human_map is None else len(sample.annotations)
                before = int(store.manifest["annotators"].iloc[row])
                rows.append((name, before, people, _overlap(store.maps[row], found.human_map)))
            else:
                problems.append(Problem(found.code, f"{sample.image_path.name} {found.where}", found.message))
    refuse(problems)
    if not rows:
        refuse([Problem("E_JOIN", file.name, f"tells of no image in {folder}; is it of another data set?")])
    return pd.DataFrame(rows, columns=COLUMNS)


def _overlap(old: np.ndarray, new: np.ndarray | None) -> float:
    if new is None or not old.any():
        return float("nan")
    one, other = (each >= SUPPORT * each.max() for each in (old, new))
    return float((one & other).sum() / (one | other).sum())


def name_in_settings(path: Path, dataset: str, replacement: Replacement) -> None:
    """Set `datasets.<dataset>.annotations.replace` in a YAML file; comments and order stay.

    Raises UserError if it is no YAML, or has no such data set.
    """
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"))
        annotations = settings["datasets"][dataset].setdefault("annotations", {})
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: has no datasets.{dataset}; name the file that has, with --params") from None
    annotations["replace"] = replacement.model_dump()
    text = io.StringIO()
    yaml.dump(settings, text)
    write_text(path, text.getvalue())
