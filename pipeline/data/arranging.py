"""Decoded images become a data set: they are divided, checked and audited, and its tables are written.

What is written are names as `pseudonyms` lets them out; problems that stop `prepare` tell the real ones.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.data_settings import Dataset, Prepare
from pipeline.common.files import sha256_file, write_json, write_text
from pipeline.data import auditing, duplicates, manifest, probe, protocol, splits
from pipeline.data.agreement import summarise
from pipeline.data.codes import CODES
from pipeline.data.duplicates import Copy
from pipeline.data.intake import BESIDE, Taken
from pipeline.data.problems import Finding, Problem, counted, refuse
from pipeline.data.pseudonyms import Names


def arrange(
    folder: Path, taken: Taken, files: Mapping[str, str], dataset: Dataset, settings: Prepare, named: Names
) -> None:
    """Divide the decoded rows and write everything beside the arrays; the frame gets its splits.

    Raises UserError: more unusable images than allowed, every broken rule of the manifest, every leak and
    every fault of the protocol.
    """
    frame, unusable, noticed, agreed = taken
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    copies = duplicates.find_copies(images, *(frame[name].to_numpy() for name in ("subject_id", "group_id")))
    conflicts = duplicates.conflicts(copies, frame)
    unusable = _add_conflicts(unusable, frame, conflicts)
    _refuse_unusable(unusable, settings.max_quarantined)
    open_set = protocol.build(dataset.protocol.model_dump(), dataset.split.by)
    unit = _divide(frame, open_set, copies, list(conflicts), dataset, settings.seed)
    shown = named.hide(frame)
    manifest.write(folder / "manifest.csv", shown)
    open_set["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", open_set)
    told = named.hide(noticed)
    beside = dict(zip(BESIDE, (named.hide(unusable), told, named.hide(agreed)), strict=True))
    beside["duplicates.csv"] = duplicates.table(copies, shown)
    for name, table in beside.items():
        write_text(folder / name, table.to_csv(index=False, lineterminator="\n"))
    extra = auditing.unlisted(files, [*frame["image_path"], *unusable["image_path"]])
    extra = {named.hide_path(place): count for place, count in extra.items()}
    looks = _probe(folder, images, frame, open_set, unit)
    findings = auditing.warnings(shown, open_set, copies=copies, unit=unit, extra_files=extra, looks=looks)
    findings += counted(Finding(*row) for row in told.to_numpy())
    audited = {
        "findings": [found._asdict() | {"remedy": CODES[found.code].remedy} for found in findings],
        "counts": auditing.counts(shown, open_set),
        "agreement": summarise(agreed["dice"].astype(float)),
        "quarantined": len(unusable),
        "looks": {"auroc": looks.auroc, "p": looks.p} if looks else None,
    }
    write_json(folder / "audit.json", audited)


def _divide(
    frame: pd.DataFrame,
    open_set: Mapping[str, Any],
    copies: list[Copy],
    conflicts: list[str],
    dataset: Dataset,
    seed: int,
) -> np.ndarray:
    """Give every row its split, none where copies contradict each other; gives the leak unit of each row.

    Raises UserError: every broken rule of the manifest, every leak and every fault of the protocol.
    """
    near = [(copy.one, copy.two) for copy in copies]
    unit = splits.units(frame, near)
    split = splits.assign(frame, open_set, unit, **dataset.split.model_dump(), seed=seed)
    frame["split"] = np.where(frame["sample_id"].isin(conflicts), "none", split)
    leaks = splits.leaks(frame, open_set, near)
    refuse([*manifest.problems(frame), *leaks, *protocol.problems(frame, open_set)])
    return unit


def _add_conflicts(
    unusable: pd.DataFrame, frame: pd.DataFrame, conflicts: Mapping[str, Problem]
) -> pd.DataFrame:
    """The quarantine with those rows of `frame` whose copies have the other label, as found now."""
    rows = frame[frame["sample_id"].isin(list(conflicts))][["sample_id", "image_path"]]
    found = [conflicts[sample] for sample in rows["sample_id"]]
    told = {part: [getattr(problem, part) for problem in found] for part in ("code", "where", "message")}
    decoded = unusable["sample_id"].isin(frame["sample_id"])
    return pd.concat([unusable[~decoded], rows.assign(**told)], ignore_index=True)


def _probe(
    folder: Path, images: np.ndarray, frame: pd.DataFrame, open_set: Mapping[str, Any], unit: np.ndarray
) -> probe.Probe | None:
    """What border, exposure and the like of the training and validation images tell, with a picture of it."""
    rows = np.flatnonzero(np.isin(protocol.roles(frame, open_set), ("train", "val")))
    positive = (frame["label"] == "1").to_numpy()[rows]
    looks = probe.probe(probe.measure_looks(images, rows), positive, unit[rows])
    if looks:
        probe.picture(images, rows, positive, looks.scores).save(folder / "shortcuts.png")
    return looks


def _refuse_unusable(unusable: pd.DataFrame, limit: int) -> None:
    if len(unusable) > limit:
        message = f"{len(unusable)} unusable images, at most {limit} allowed; mend them or raise the limit"
        found = [Problem(*row) for row in unusable[["code", "where", "message"]].to_numpy()]
        refuse([Problem("E_QUARANTINE", "prepare.max_quarantined", message), *found])
