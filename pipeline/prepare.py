"""Prepare a data set: read it through its adapters, decode every image once, split it, audit it, store it.

Leaves data/prepared/<dataset>/, or nothing and a list of what is wrong. Two runs give identical bytes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd

from pipeline.common import catalogue
from pipeline.common.cli import run_dataset_stage
from pipeline.common.config import Dataset, Engine, Params
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file, write_json, write_text
from pipeline.common.progress import track
from pipeline.data import audit, manifest, protocol, splits, store
from pipeline.data.decoding import Decoded, Job, Recipe, decode_all
from pipeline.data.samples import Problem, Sample, refuse

PREPARED = Path("data/prepared")


@dataclass
class Entry:
    """One image on its way into the store: its manifest row, and why it cannot be used, if so."""

    row: dict[str, str]
    sample: Sample
    truth: Path | None
    problem: Problem | None
    file_bytes: int = 0

    @property
    def where(self) -> str:
        """What leads to the image: its file, and the list that names it."""
        listed = f" ({self.sample.where})" if self.sample.where else ""
        return f"{self.row['image_path']}{listed}"


@dataclass
class Contents:
    """What goes into the store besides the arrays."""

    kept: list[Entry] = field(default_factory=list)
    quarantined: list[Entry] = field(default_factory=list)


class Evidence(NamedTuple):
    """What the split was made from, per row: near-duplicate pairs, leak units, splits the data came with."""

    near: list[tuple[int, int]]
    unit: np.ndarray
    native: list[str]


def prepare(params: Params, dataset: str) -> None:
    """The stage: data set `dataset` of params.yaml into data/prepared/<dataset>."""
    settings = params.datasets[dataset]
    entries = list_images(settings)
    open_set = protocol.build(dataset, settings.task, settings.protocol.model_dump(), params.prepare.seed)
    listed = manifest.table([entry.row for entry in entries])
    refuse(protocol.source_problems(listed, open_set))
    hash_files(entries)
    with store.building(PREPARED / dataset) as folder:
        contents = decode_into(folder, entries, params, settings)
        refuse_quarantine(contents.quarantined, params.prepare.max_quarantined)
        frame, evidence = split_images(folder, contents.kept, open_set, params, settings)
        audited = folder / "audit.json"
        findings, counts = write_audit(audited, frame, open_set, evidence, contents, Path(settings.root))
        write_quarantine(folder / "quarantine.csv", contents.quarantined)
        store.seal(folder, _info(params, dataset, len(contents.kept)))
    show(dataset, settings, counts, findings, len(contents.quarantined))


def list_images(settings: Dataset) -> list[Entry]:
    """What the adapters find, in the order of sample_id; raises UserError with every problem of the lists."""
    root = Path(settings.root)
    if not root.is_dir() or not any(root.iterdir()):
        came = "the folder is empty" if root.is_dir() else "there is no such folder"
        raise UserError(f"E_LAYOUT {root}: expected the data set here, but {came}; put or link it there")
    entries = []
    for adapter in settings.adapters:
        own = {key: value for key, value in adapter.items() if key not in ("adapter", "root")}
        folder = root / adapter.get("root", ".")
        truth = folder / "truth" if settings.phantom else None
        samples = catalogue.get("data/adapters", adapter["adapter"])(folder, **own)
        if not samples:
            message = f"{adapter['adapter']} found no image; check datasets.*.adapters in params.yaml"
            raise UserError(f"E_LAYOUT {folder}: {message}")
        for sample in samples:
            path = sample.image_path.relative_to(root).as_posix()
            row = manifest.listed_row(adapter["adapter"], sample, path, settings.task)
            entries.append(Entry(row, sample, truth, sample.problem))
    entries.sort(key=lambda entry: entry.row["sample_id"])
    refuse(manifest.listing_problems([entry.row for entry in entries], [entry.where for entry in entries]))
    return entries


def hash_files(entries: Sequence[Entry]) -> None:
    """Hash every file; the same bytes under two labels become a problem of each such row."""
    paths = [entry.sample.image_path for entry in entries]
    with ThreadPoolExecutor() as threads:
        hashes = track(threads.map(_hash_or_blank, paths), "hashing files", len(paths))
        for entry, sha256 in zip(entries, hashes, strict=True):
            entry.row["sha256"] = sha256
    labels: dict[str, dict[str, str]] = {}
    for entry in entries:
        labels.setdefault(entry.row["sha256"], {})[entry.row["label"]] = entry.row["image_path"]
    for entry in entries:
        twins = labels[entry.row["sha256"]]
        if entry.row["sha256"] and len(twins) > 1:
            other = next(path for label, path in twins.items() if label != entry.row["label"])
            message = f"same bytes as {other}, which has the other label; keep the right one"
            entry.problem = entry.problem or Problem("E_LABEL_CONFLICT", entry.where, message)


def _hash_or_blank(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""


def decode_into(folder: Path, entries: Sequence[Entry], params: Params, settings: Dataset) -> Contents:
    """Decode all usable images into the store's arrays; what cannot be used is quarantined."""
    size, channels = params.prepare.image_size, settings.channels
    contents = Contents(quarantined=[entry for entry in entries if entry.problem])
    usable = [entry for entry in entries if not entry.problem]
    with ExitStack() as stack:

        def growing(name: str, *shape: int) -> store.GrowingArray:
            return stack.enter_context(store.GrowingArray(folder / name, shape))

        pictures, maps = growing("images.npy", channels, size, size), growing("maps.npy", size, size)
        kinds = store.TRUTHS if settings.phantom else ()
        truths = {kind: growing(f"truth/{kind}.npy", size, size) for kind in kinds}
        for entry, result in _decoded(usable, params, settings):
            if isinstance(result, Problem):
                entry.problem = replace(result, where=f"{entry.where}: {result.where}")
                contents.quarantined.append(entry)
                continue
            pictures.append(result.image)
            human_map = result.human_map
            maps.append(np.zeros((size, size), np.uint8) if human_map is None else human_map)
            for kind, truth in result.truths.items():
                truths[kind].append(truth)
            contents.kept.append(entry)
    manifest.number_maps([entry.row for entry in contents.kept])
    contents.quarantined.sort(key=lambda entry: entry.row["sample_id"])
    return contents


def _decoded(
    entries: Sequence[Entry], params: Params, settings: Dataset
) -> Iterator[tuple[Entry, Decoded | Problem]]:
    """Each entry with its squares, or with the first rule that its file breaks."""
    recipe = Recipe(
        image_size=params.prepare.image_size,
        channels=settings.channels,
        crop=settings.crop,
        granularity=settings.annotations.granularity,
        blur=settings.annotations.blur,
        max_megapixels=params.prepare.max_megapixels,
        max_megabytes=params.prepare.max_megabytes,
    )
    jobs = [Job(entry.sample, entry.truth) for entry in entries]
    results = decode_all(jobs, recipe, workers(params.engine))
    for entry, result in zip(entries, track(results, "decoding images", len(jobs)), strict=True):
        if isinstance(result, Decoded):
            human_map = result.human_map
            map_sha256 = "" if human_map is None else hashlib.sha256(human_map.tobytes()).hexdigest()
            entry.row |= manifest.decoded_columns(entry.sample, result.facts, map_sha256)
            entry.file_bytes = result.facts.file_bytes
            broken = manifest.decoded_problems(entry.row, "file")
            yield entry, broken[0] if broken else result
        else:
            yield entry, result


def workers(engine: Engine) -> int:
    """Processes for decoding."""
    return joblib.cpu_count() if engine.workers == "auto" else engine.workers


def refuse_quarantine(entries: Sequence[Entry], limit: int) -> None:
    """Raise UserError with the unusable images, if there are more than `prepare.max_quarantined`."""
    if len(entries) > limit:
        found = [entry.problem for entry in entries if entry.problem]
        message = f"{len(entries)} unusable images, at most {limit} allowed; mend them or raise the limit"
        refuse([Problem("E_QUARANTINE", "prepare.max_quarantined", message), *found])


def split_images(
    folder: Path, kept: Sequence[Entry], open_set: dict[str, Any], params: Params, settings: Dataset
) -> tuple[pd.DataFrame, Evidence]:
    """Divide the images and write manifest.csv and protocol.json.

    Raises UserError with every broken rule of the manifest, every leak and every fault of the protocol.
    """
    frame = manifest.table([entry.row for entry in kept])
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    near = audit.near_duplicates(images, params.prepare.near_duplicate_bits)
    unit = splits.units(frame, near)
    native = [entry.sample.split for entry in kept]
    shares = settings.split.model_dump()
    frame["split"] = splits.assign(frame, open_set, unit, native, **shares, seed=params.prepare.seed)
    refuse(
        [*manifest.problems(frame), *splits.leaks(frame, open_set, near), *protocol.problems(frame, open_set)]
    )
    manifest.write(folder / "manifest.csv", frame)
    open_set["manifest_sha256"] = sha256_file(folder / "manifest.csv")
    write_json(folder / "protocol.json", open_set)
    return frame, Evidence(near, unit, native)


def write_audit(
    path: Path,
    frame: pd.DataFrame,
    open_set: dict[str, Any],
    evidence: Evidence,
    contents: Contents,
    root: Path,
) -> tuple[list[audit.Finding], list[dict[str, Any]]]:
    """Write audit.json; gives its warnings and its counts per role, source and label."""
    listed = [entry.sample.image_path for entry in (*contents.kept, *contents.quarantined)]
    unlisted = audit.unlisted(listed).items()
    findings = audit.warnings(
        frame,
        open_set,
        near=evidence.near,
        unit=evidence.unit,
        native=evidence.native,
        file_bytes=[entry.file_bytes for entry in contents.kept],
        extra_files={folder.relative_to(root).as_posix(): count for folder, count in unlisted},
    )
    counts = audit.counts(frame, open_set)
    record = {"findings": [finding._asdict() for finding in findings], "counts": counts}
    write_json(path, {"schema": 1, **record, "quarantined": len(contents.quarantined)})
    return findings, counts


def _info(params: Params, dataset: str, n: int) -> dict[str, Any]:
    settings = params.datasets[dataset]
    return {
        "dataset": dataset,
        "title": settings.title,
        "notice": settings.notice,
        "phantom": settings.phantom,
        "task": settings.task,
        "n": n,
        "preprocessing": {
            "image_size": params.prepare.image_size,
            "channels": settings.channels,
            "crop": settings.crop,
            "max_megapixels": params.prepare.max_megapixels,
            "max_megabytes": params.prepare.max_megabytes,
        },
    }


def write_quarantine(path: Path, entries: Sequence[Entry]) -> None:
    """The unusable images with their codes; only a header if there are none."""
    columns = ["sample_id", "image_path", "code", "where", "message"]
    rows = [
        [
            entry.row["sample_id"],
            entry.row["image_path"],
            entry.problem.code,
            entry.problem.where,
            entry.problem.message,
        ]
        for entry in entries
        if entry.problem
    ]
    write_text(path, pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n"))


def show(
    dataset: str,
    settings: Dataset,
    counts: Sequence[dict[str, Any]],
    findings: Sequence[audit.Finding],
    quarantined: int,
) -> None:
    """Print rows per role, source and label, then the warnings."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=settings.title, caption=settings.notice, title_justify="left", caption_justify="left")
    for column in ("role", "source", "label", "rows", "annotated"):
        table.add_column(column, justify="left" if column in ("role", "source") else "right")
    order = {role: number for number, role in enumerate((*protocol.ROLES, ""))}
    for line in sorted(counts, key=lambda line: order[line["role"]]):
        table.add_row(
            line["role"] or "not used", *(str(line[key]) for key in ("source", "label", "rows", "annotated"))
        )
    console.print(table)
    for finding in findings:
        told = f"{finding.code} {finding.where}: {finding.message}; {finding.remedy}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{PREPARED / dataset}: {sum(line['rows'] for line in counts)} rows, {quarantined} quarantined"
    )


if __name__ == "__main__":
    run_dataset_stage("prepare", __doc__)
