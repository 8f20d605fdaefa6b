"""Tries decoding on generated valid DICOM files, and on damaged files of every format; writes fuzz.md.

    python -m benchmarks.fuzz                    # `make fuzz`
    python -m benchmarks.fuzz --valid 60 --mutants 500

Everything is loaded in expendable processes, as `prepare` and `predict` do. A decoder that ends its process
there costs a user that one file; it is counted apart all the same. Real samples are damaged too, where
CAMDIVIDE_SAMPLE_DATA or ../shared/data has them.
"""

import argparse
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from benchmarks import fuzz_mutants, fuzz_valid
from benchmarks.fuzz_mutants import Outcome
from pipeline.common.expendable import Limits, Lost, call_all
from pipeline.common.files import write_text
from pipeline.common.progress import track
from pipeline.data.problems import UnusableImage

SEED = 20261126
SECONDS, MEGABYTES = 10, 1000  # what one file may take
SLOW = 2  # s: more is told
PAGE = Path(__file__).with_name("fuzz.md")
COUNTED = ("picture", "refused", "decoder died", "over 10 s", "over 1 GB", "traceback")

ABOUT_VALID = """\
# Valid and damaged files

Written by `make fuzz`. Valid DICOM files are compared with pictures that are computed value by value in plain
Python from the text of the standard; `flat` ones show one value and are refused, rightly.
"""
ABOUT_MUTANTS = f"""
Damaged files are loaded as `prepare` loads them, with {SECONDS} s and {MEGABYTES} MB for each. Where a
decoder died, the run went on and the file was reported (E_DECODE).
"""


class Tried(NamedTuple):
    """Counts by what was tried and what became of it, and the cases that must be looked at."""

    counts: dict[str, Counter[str]]
    faults: list[str]


def try_valid(number: int, folder: Path, workers: int) -> Tried:
    """Generated valid files against the pictures that they mean."""
    cases = [fuzz_valid.draw(folder / f"{n}.dcm", n, SEED) for n in range(number)]
    asked = ((folder / f"{n}.dcm", case.frame) for n, case in enumerate(cases))
    answers = call_all(Limits(SECONDS, MEGABYTES), fuzz_mutants.load, asked, workers)
    tried = Tried({}, [])
    for n, (case, answer) in enumerate(zip(cases, track(answers, "valid files", number), strict=True)):
        if isinstance(answer, Lost | UnusableImage) and not str(answer).startswith("E_FLAT"):
            what = "refused"
        else:
            flat = isinstance(answer, UnusableImage)
            met = case.is_met(None if flat else answer)
            what = ("flat" if flat else "right") if met else "wrong"
        tried.counts.setdefault(case.kind, Counter())[what] += 1
        if what in ("refused", "wrong"):
            tried.faults.append(f"file {n} ({case.kind}) {what}: {answer if what == 'refused' else ''}")
    return tried


def try_mutants(number: int, folder: Path, files: dict[str, list[Path]], workers: int) -> Tried:
    """Damaged files of each kind in turn."""
    kinds = list(files)
    asked = []
    for n in range(number):
        kind = kinds[n % len(kinds)]
        asked.append((kind, files[kind][n // len(kinds) % len(files[kind])], n))
    calls = ((path, n, SEED, folder) for _, path, n in asked)
    answers = call_all(Limits(SECONDS, MEGABYTES), fuzz_mutants.attempt, calls, workers)
    tried = Tried({}, [])
    for (kind, path, n), answer in zip(asked, track(answers, "mutants", number), strict=True):
        what = _sort(answer)
        tried.counts.setdefault(kind, Counter())[what] += 1
        if what not in ("picture", "refused"):
            tried.faults.append(
                f"mutant {n} of {path.name}: {answer if isinstance(answer, Lost) else answer.what}"
            )
        elif answer.seconds > SLOW:
            tried.faults.append(f"mutant {n} of {path.name}: {what} after {answer.seconds:.1f} s")
    return tried


def _sort(answer: Outcome | Lost) -> str:
    """One of COUNTED."""
    if isinstance(answer, Lost):
        told = str(answer)
        return "over 10 s" if "took" in told else "over 1 GB" if "needed" in told else "decoder died"
    if answer.what.startswith("traceback"):
        return "traceback"
    return "picture" if answer.what == "picture" else "refused"


def _table(counts: dict[str, Counter[str]], columns: tuple[str, ...]) -> list[str]:
    whole = sum(counts.values(), Counter())
    rows = [(name, counts[name]) for name in sorted(counts)] + [("**all**", whole)]
    lines = [f"| | tried | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for name, found in rows:
        lines.append(f"| {name} | {found.total()} | {' | '.join(str(found[each]) for each in columns)} |")
    return lines


def _describe(valid: Tried, mutants: Tried) -> str:
    faults = [f"- {fault}" for fault in [*valid.faults, *mutants.faults]]
    page = [
        ABOUT_VALID,
        *_table(valid.counts, ("right", "flat", "wrong", "refused")),
        ABOUT_MUTANTS,
        *_table(mutants.counts, COUNTED),
        *(["\nTo look at:\n"] if faults else []),
        *faults,
    ]
    return "\n".join(page) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--valid", type=int, default=900, help="generated valid files")
    parser.add_argument("--mutants", type=int, default=10_000, help="damaged files")
    parser.add_argument("--out", type=Path, default=PAGE, help="page to write")
    args = parser.parse_args()
    shared = Path(os.environ.get("CAMDIVIDE_SAMPLE_DATA", "../shared/data"))
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folders = {kind: Path(name, kind) for kind in ("valid", "sources", "mutants")}
        for folder in folders.values():
            folder.mkdir()
        valid = try_valid(args.valid, folders["valid"], workers)
        generated = sorted(folders["valid"].iterdir())
        files = fuzz_mutants.sources(folders["sources"], shared, generated)
        mutants = try_mutants(args.mutants, folders["mutants"], files, workers)
    write_text(args.out, _describe(valid, mutants))
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
