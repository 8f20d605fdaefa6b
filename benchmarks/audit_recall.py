"""What the audit of `prepare` finds of copies and shortcuts that are planted in real pictures.

python -m benchmarks.audit_recall      writes benchmarks/audit_recall.md; takes some minutes

The pictures are those of CAMDIVIDE_SAMPLE_DATA (else ../shared/data beside the project); where they are
absent, phantoms of data/prepared stand in, and the page says so. Subjects are divided into two halves.
"""

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.plants import COPIES, MARKS
from pipeline.common.files import write_text
from pipeline.data import images as pictures
from pipeline.data.auditing import telling
from pipeline.data.duplicates import Copy, find_copies
from pipeline.data.probe import measure_looks, probe
from pipeline.data.shortcuts import LEVEL, shortcuts

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("CAMDIVIDE_SAMPLE_DATA", ROOT.parent / "shared" / "data"))
# Source: files, and what of a file's path is its patient or person.
SOURCES = {
    "kermany_224": ("cxr/kermany_224/train/*/*", r"(person\d+|.*(?=-))"),
    "hannover": ("cxr/hannover/png/*", r"(.*)"),
    "nih64": ("cxr/nih64/*/*/*", r"(\d{8})"),
    "stylegan2": ("synthetic_face/stylegan2/png/*", r"(.*)"),
    "voteview": ("synthetic_face/voteview_portraits/images/wiki/*", r"(.*)"),
}
SIDE, LARGEST = 96, 700  # px: of a prepared image; of a picture that copies are made of
A_KIND = 5  # copies of a kind, source and half
MANY = 10_000
NOTHING = "not found"
FILMS, DRAWS = 240, 100  # of a trial of shortcuts; random labels for false alarms


def main() -> None:
    """Run all trials and write the page."""
    table = find_pictures()
    parts = [_head(table)]
    for trial in (_copies, _shortcuts, _speed):
        parts += trial(table)
        print(f"{trial.__name__.strip('_')}: done", flush=True)
    write_text(ROOT / "benchmarks" / "audit_recall.md", "\n\n".join(parts) + "\n")


def find_pictures() -> pd.DataFrame:
    """One row per picture: source, subject, and the grey picture itself, at most 700 px."""
    rows = []
    for source, (pattern, subject) in SOURCES.items():
        paths = sorted(FOLDER.glob(pattern))
        people = pd.Series([path.stem for path in paths], dtype="str").str.extract(f"^{subject}")[0]
        if source == "hannover" and paths:
            people = _patients(FOLDER / "cxr/hannover/data.csv", paths)
        for path, person in zip(paths, people, strict=True):
            with Image.open(path) as image:
                grey = image.convert("RGB").convert("L")
            grey.thumbnail((LARGEST, LARGEST))
            rows.append((source, f"{source} {person}", grey))
    if not rows:
        for task in ("cxr", "iris", "face"):
            stored = np.load(ROOT / "data/prepared" / task / "images.npy", mmap_mode="r").mean(axis=1)
            names = pd.read_csv(ROOT / "data/prepared" / task / "manifest.csv")["subject_id"]
            rows += [
                (f"phantoms {task}", name, Image.fromarray(one.astype(np.uint8)))
                for name, one in zip(names, stored, strict=True)
            ]
    return pd.DataFrame(rows, columns=["source", "subject", "picture"])


def _patients(table: Path, paths: list[Path]) -> pd.Series:
    patient = pd.read_csv(table).set_index("image_id")["patient_id"].astype(str)
    return patient.loc[[path.stem for path in paths]].reset_index(drop=True)


def _prepared(picture: Image.Image) -> np.ndarray:
    values = np.asarray(picture) / np.float32(255)
    return pictures.to_square(values, roi="", crop="none", image_size=SIDE, channels=1)


def _head(table: pd.DataFrame) -> str:
    real = (
        "real pictures" if table["source"].isin(SOURCES).all() else "phantoms, since the real ones are absent"
    )
    counts = ", ".join(f"{name} {n}" for name, n in table["source"].value_counts(sort=False).items())
    return (
        "# What the audit finds\n\nWritten by `make audit-recall` (`benchmarks/audit_recall.py`) on "
        f"{real}: {counts}. Prepared at {SIDE} px, grey."
    )


def _copies(table: pd.DataFrame) -> list[str]:
    """Recall by kind and precision of pairs, in both halves."""
    halves = np.array([hash_half(subject) for subject in table["subject"]])
    results = [_plant_and_find(table[halves == half].reset_index(drop=True), half) for half in (0, 1)]
    kinds = pd.DataFrame(
        [
            [kind, *(f"{result['found'][kind]} of {result['planted'][kind]}" for result in results)]
            for kind in COPIES
        ],
        columns=["kind", "first half", "second half"],
    )
    totals = [_totals(result) for result in results]
    lines = [f"- {name} half: {total}." for name, total in zip(("First", "Second"), totals, strict=True)]
    return ["## Copies", _markdown(kinds), "\n".join(lines), _PRECISION]


_PRECISION = (
    "A pair is right if both show one picture. Wrong are pairs of two people, and of two films of one: "
    "other exposures, alike at this size, linked here since a copy came under another name. Where the "
    "data set names the patient, `prepare` lists such films from 0.98 on only. Pictures that the sources "
    "themselves hold twice count as right, and are not in the recall. The limits of "
    "`pipeline.data.duplicates` were set with both halves in view: neither is untouched."
)


def hash_half(subject: str) -> int:
    """0 or 1, by the name of a subject, so that no person is in both halves."""
    return sum(subject.encode()) % 2


def _plant_and_find(table: pd.DataFrame, half: int) -> dict[str, Counter]:
    """Plant copies, each of another picture and under a name of its own, and count what is found."""
    rng = np.random.default_rng(half)
    originals, edited, kinds = [], [], []
    for source in table["source"].unique():
        rows = rng.permutation(np.flatnonzero(table["source"] == source))
        for number, row in enumerate(rows[: A_KIND * len(COPIES)]):
            kind = list(COPIES)[number % len(COPIES)]
            originals.append(row)
            edited.append(_prepared(COPIES[kind](table["picture"][row], rng)))
            kinds.append(kind)
    n = len(table)
    images = np.stack([*(_prepared(picture) for picture in table["picture"]), *edited])
    subject = np.array([*table["subject"], *(f"copy {row}" for row in originals)])
    pairs = find_copies(images, subject, np.arange(len(images)))
    picture = np.array([*range(n), *originals])
    person = table["subject"].to_numpy()[picture]
    counted: dict[str, Counter] = {name: Counter() for name in ("planted", "found", "pairs")}
    linked = {(copy.one, copy.two) for copy in pairs}
    for number, (row, kind) in enumerate(zip(originals, kinds, strict=True)):
        counted["planted"][kind] += 1
        counted["found"][kind] += (row, n + number) in linked
    for copy in pairs:
        counted["pairs"][_judge(copy, images, picture, person)] += 1
    return counted


def _judge(copy: Copy, images: np.ndarray, picture: np.ndarray, person: np.ndarray) -> str:
    """Whether a pair shows one picture, one person in two, or two people."""
    one, two = picture[copy.one], picture[copy.two]
    if one == two or np.array_equal(images[one], images[two]):
        return "one picture"
    return "one person" if person[one] == person[two] else "two people"


def _totals(result: dict[str, Counter]) -> str:
    planted, found, pairs = (sum(result[name].values()) for name in ("planted", "found", "pairs"))
    judged = result["pairs"]
    least = min(result["found"][kind] / result["planted"][kind] for kind in result["planted"])
    return (
        f"recall {found / planted:.3f} ({found} of {planted}; lowest kind {least:.2f}); precision "
        f"{judged['one picture'] / pairs:.3f} of {pairs} pairs ({judged['one person']} of one patient in two "
        f"films, {judged['two people']} of two people)"
    )


def _speed(table: pd.DataFrame) -> list[str]:
    """The time for 10,000 images: weighted means of two pictures each, no two of which are alike."""
    rng = np.random.default_rng(2)
    films = np.stack([_prepared(picture) for picture in table["picture"]]).astype(np.float32)
    one, two = rng.integers(0, len(films), (2, MANY))
    share = rng.uniform(0.3, 0.7, (MANY, 1, 1, 1)).astype(np.float32)
    blends = (films[one] * share + films[two] * (1 - share)).astype(np.uint8)
    names = np.arange(MANY)
    start, busy = time.perf_counter(), time.process_time()
    find_copies(blends, names, names)
    wall, cpu = time.perf_counter() - start, time.process_time() - busy
    cores = f"{cpu:.0f} s of processor time, {os.cpu_count()} cores"
    return ["## Time", f"Copies among {MANY:,} images of {SIDE} px: {wall:.0f} s ({cores})."]


def _shortcuts(table: pd.DataFrame) -> list[str]:
    films = table[table["source"] == table["source"].iloc[0]].reset_index(drop=True)
    rng = np.random.default_rng(3)
    chosen = films["picture"][rng.permutation(len(films))[:FILMS]].tolist()
    labels = np.arange(len(chosen)) % 2 == 1
    rows = []
    for mark, change in MARKS.items():
        told = []
        for agreement in (0.8, 0.9):
            marked = np.where(rng.permutation(len(labels)) < agreement * len(labels), labels, ~labels)
            shown = [change(film) if yes else film for film, yes in zip(chosen, marked, strict=True)]
            told.append(_tell(_look(shown), labels, ["png"] * len(labels)))
        rows.append([mark, *told])
    plain = _look(chosen)
    marks = [
        np.where(rng.permutation(len(labels)) < agreement * len(labels), labels, ~labels)
        for agreement in (0.8, 0.9)
    ]
    rows.append(["file type", *(_tell(plain, labels, np.where(mark, "jpg", "png")) for mark in marks)])
    alarms = 0
    for _ in range(DRAWS):
        suffixes = rng.choice(["jpg", "png"], len(labels))
        alarms += _tell(plain, rng.permutation(labels), suffixes) != NOTHING
    found = pd.DataFrame(rows, columns=["plant", "fits the label in 80 %", "in 90 %"])
    said = (
        f"{len(chosen)} pictures of {films['source'][0]}, half labelled 1 at random, one plant each. With no "
        f"plant and with labels drawn {DRAWS} times: {alarms} false alarms (level {LEVEL} for the pixels and "
        "the same for the files)."
    )
    return ["## Shortcuts", said, _markdown(found)]


def _look(films: list[Image.Image]) -> dict[str, np.ndarray]:
    return measure_looks(np.stack([_prepared(film) for film in films]), np.arange(len(films)))


def _tell(features: dict[str, np.ndarray], labels: np.ndarray, suffixes: Sequence[str]) -> str:
    """What the audit says of images by their looks, labels and file types."""
    rows = {"label": labels.astype(int).astype(str), "image_path": [f"a.{suffix}" for suffix in suffixes]}
    same = {"width": "96", "height": "96", "file_bytes": "9000", "photometric": "L", "bits": "8"}
    about = {"source": "a", "source_kind": "site", "modality": "cxr"}
    manifest = pd.DataFrame(rows | same | about, dtype="str")
    units = np.arange(len(labels))
    looks = probe(features, labels, units)
    told = [f"{name} {looks.auroc[name]:.2f}" for name in telling(looks)] if looks else []
    told += [found.where for found in shortcuts(manifest, units)]
    return f"found: {', '.join(told)}" if told else NOTHING


def _markdown(table: pd.DataFrame) -> str:
    lines = [table.columns.tolist(), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    main()
