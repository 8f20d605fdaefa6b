"""Decoded images become a data set: they are divided, checked and audited, and its tables are written.

What is written are names as `pseudonyms` lets them out; problems that stop `prepare` tell the real ones.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.common.data_settings import Dataset, Prepare
from pipeline.common.files import sha256_file, write_json, write_text
from pipeline.data import auditing, manifest, protocol, splits
from pipeline.data.codes import CODES
from pipeline.data.duplicates import near_duplicates
from pipeline.data.intake import Taken
from pipeline.data.problems import Finding, Problem, counted, refuse
from pipeline.data.pseudonyms import Names


def arrange(
    folder: Path, taken: Taken, files: Mapping[str, str], dataset: Dataset, settings: Prepare, named: Names
) -> None:
    """Divide the decoded rows and write everything beside the arrays; the frame gets its splits.

    Raises UserError: more unusable images than allowed, every broken rule of the manifest, every leak and
    every fault of the protocol.
    """
    frame, unusable, noticed = taken
    _refuse_unusable(unusable, settings.max_quarantined)
    open_set = protocol.build(dataset.protocol.model_dump(), dataset.split.by)
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    near = near_duplicates(images, settings.near_duplicate_bits)
    unit = splits.units(frame, near)
    shares = dataset.split.model_dump()
    frame["split"] = splits.assign(frame, open_set, unit, **shares, seed=settings.seed)
    leaks = splits.leaks(frame, open_set, near)
    refuse([*manifest.problems(frame), *leaks, *protocol.problems(frame, open_set)])
    shown = named.hide(frame)
    manifest.write(folder / "manifest.csv", shown)
    open_set["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", open_set)
    extra = auditing.unlisted(files, [*frame["image_path"], *unusable["image_path"]])
    extra = {named.hide_path(place): count for place, count in extra.items()}
    findings = auditing.warnings(shown, open_set, near=near, unit=unit, extra_files=extra)
    beside = {"quarantine.csv": named.hide(unusable), "noticed.csv": named.hide(noticed)}
    findings += counted(Finding(*row) for row in beside["noticed.csv"].to_numpy())
    audited = {
        "findings": [found._asdict() | {"remedy": CODES[found.code].remedy} for found in findings],
        "counts": auditing.counts(shown, open_set),
        "quarantined": len(unusable),
    }
    write_json(folder / "audit.json", audited)
    for name, table in beside.items():
        write_text(folder / name, table.to_csv(index=False, lineterminator="\n"))


def _refuse_unusable(unusable: pd.DataFrame, limit: int) -> None:
    if len(unusable) > limit:
        message = f"{len(unusable)} unusable images, at most {limit} allowed; mend them or raise the limit"
        found = [Problem(*row) for row in unusable[["code", "where", "message"]].to_numpy()]
        refuse([Problem("E_QUARANTINE", "prepare.max_quarantined", message), *found])
