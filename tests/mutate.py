"""Mutation testing: change one thing in the code at a time, and see whether a quick test notices.

    make mutate                                     MUTANTS changes of the files in ROOMS, drawn by SEED
    python tests/mutate.py --count 50 pipeline/score/metrics.py

A mutant is one changed operator, comparison, condition or number. It is killed when a test of its room that
names its module fails. Survivors are listed with their line: each is a test that is missing, or a change that
changes nothing. Work is done on copies; the checkout is left alone.
"""

import argparse
import ast
import copy
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("measure", "score", "model", "explain")
MUTANTS, SEED = 520, 2507
CONTRACTS = ("test_every", "test_contract")
PATIENCE = 240  # s for the tests of one mutant; an endless loop is a failure too
NEEDED = ("pipeline", "tests", "profiles", "params.yaml", "dvc.yaml", "pyproject.toml", ".dvcignore")
HEAVY = ("torch", "numpy", "pandas", "scipy.stats", "sklearn.metrics", "sklearn.cluster", "hypothesis",
         "pytest", "albumentations", "captum.attr", "pydantic", "joblib", "monai.networks.nets")  # fmt: skip
SWAPPED = (
    (ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq),
    (ast.In, ast.NotIn), (ast.Is, ast.IsNot), (ast.And, ast.Or), (ast.BitAnd, ast.BitOr),
)  # fmt: skip
OPERATORS: dict[type, type] = {
    **dict(SWAPPED),
    **{second: first for first, second in SWAPPED},
    ast.FloorDiv: ast.Div,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
}


class Mutant(NamedTuple):
    """One change: the file, and which of its possible changes."""

    path: Path  # relative to the root
    index: int
    line: int
    change: str


def changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every place of a module that can be changed, with words for the change, in a fixed order."""
    for node in _within_code(tree):
        if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OPERATORS:
            yield node, f"{_name(node.op)} -> {OPERATORS[type(node.op)].__name__}"
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
            yield node, f"{_name(node.ops[0])} -> {OPERATORS[type(node.ops[0])].__name__}"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
            yield node, f"without {_name(node.op)}"
        elif isinstance(node, ast.IfExp):
            yield node, "branches exchanged"
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            yield node, f"{node.value} -> {_other(node.value)}"


def _within_code(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but annotations, what exceptions say, texts, decorators, and the guard `strict=True`."""
    for field, value in ast.iter_fields(tree):
        if isinstance(tree, ast.keyword) and tree.arg == "strict":
            continue
        if field in ("annotation", "returns", "decorator_list") or isinstance(
            tree, ast.Raise | ast.JoinedStr
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from _within_code(child)


def mutated(tree: ast.Module, index: int) -> str:
    """The source with one change made."""
    tree = copy.deepcopy(tree)
    node, _ = next(change for place, change in enumerate(changes(tree)) if place == index)
    if isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = OPERATORS[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops[0] = OPERATORS[type(node.ops[0])]()
    elif isinstance(node, ast.IfExp):
        node.body, node.orelse = node.orelse, node.body
    elif isinstance(node, ast.Constant):
        node.value = _other(node.value)
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else node.op
        if not isinstance(node.op, ast.UAdd):
            return ast.unparse(_Replace(node).visit(tree))
    return ast.unparse(tree)


class _Replace(ast.NodeTransformer):
    """Puts an operand in the place of the operation on it."""

    def __init__(self, wanted: ast.UnaryOp) -> None:
        self.wanted = wanted

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        return node.operand if node is self.wanted else self.generic_visit(node)


def _other(value: float) -> float:
    return (
        (not value) if isinstance(value, bool) else value + 1 if isinstance(value, int) else value * 2 + 0.25
    )


def _name(node: ast.AST) -> str:
    return type(node).__name__


def draw(paths: list[Path], count: int) -> list[Mutant]:
    """So many mutants of some files, every file in proportion to what can be changed in it."""
    found = []
    for path in paths:
        places = list(changes(ast.parse((ROOT / path).read_text(encoding="utf-8"))))
        found += [Mutant(path, index, node.lineno, words) for index, (node, words) in enumerate(places)]  # type: ignore[attr-defined]
    chosen = random.Random(SEED).sample(found, min(count, len(found)))
    return sorted(chosen)


def tests_of(path: Path) -> list[str]:
    """A module's doctests, then tests of its room: called after it, naming it, or of all members."""
    files = sorted((ROOT / "tests" / path.parts[1]).rglob("test_*.py"))
    stem = path.stem if path.stem != "__init__" else path.parent.name
    called = [file for file in files if stem in file.name]
    telling = [file for file in files if re.search(rf"\b{stem}\b", file.read_text(encoding="utf-8"))]
    of_all = [file for file in files if file.name.startswith(CONTRACTS)]
    chosen = dict.fromkeys([*called, *telling, *of_all])
    return [str(path), *(str(file.relative_to(ROOT)) for file in chosen)]


def survives(mutant: Mutant, folder: Path) -> bool:
    """Whether all tests of the mutant's room pass on it, in a copy of the project that is nobody else's."""
    path = folder / mutant.path
    original = path.read_text(encoding="utf-8")
    path.write_text(mutated(ast.parse(original), mutant.index), encoding="utf-8")
    try:
        return _status(_forked(folder, tests_of(mutant.path))) == 0
    finally:
        path.write_text(original, encoding="utf-8")


def _run_tests(folder: Path, tests: list[str]) -> int:
    """In a process of its own: pytest, quietly, until the first failure."""
    import pytest

    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        f"--basetemp={folder}/.tmp",
        f"--rootdir={folder}",
    ]
    try:
        return int(pytest.main([*options, *tests]))
    except BaseException:
        return 1


def _status(child: int) -> int:
    """How a child ended; one that takes too long is killed with all that it started, and has failed."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _work(mutants: list[Mutant], results: "multiprocessing.Queue[tuple[Mutant, bool]]") -> None:
    """One worker: its own copy of the project, its share of the mutants."""
    os.environ.update(OMP_NUM_THREADS="1", NO_ALBUMENTATIONS_UPDATE="1")
    for name in HEAVY:  # once, and not in every test run; nothing of the project itself
        __import__(name)
    with copied() as folder:
        for mutant in mutants:
            results.put((mutant, survives(mutant, folder)))


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the project that is nobody else's; it is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as top:
        folder = Path(top)
        for name in NEEDED:
            source, skip = ROOT / name, shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=skip)
            else:
                shutil.copy(source, folder)
        yield folder


def unsound(paths: list[Path]) -> list[str]:
    """The rooms whose tests fail without any change: they would kill every mutant."""
    one_each = {path.parts[1]: path for path in paths}
    with copied() as folder:
        return [room for room, path in one_each.items() if _status(_forked(folder, tests_of(path)))]


def _forked(folder: Path, tests: list[str]) -> int:
    """Start tests in a process of its own; gives its number."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os._exit(_run_tests(folder, tests))
    return child


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path, help="files; default: all of " + ", ".join(ROOMS))
    parser.add_argument("--count", type=int, default=MUTANTS)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    paths = args.paths or [
        p.relative_to(ROOT) for room in ROOMS for p in sorted((ROOT / "pipeline" / room).rglob("*.py"))
    ]
    if broken := unsound(paths):
        sys.exit(f"mutate: tests fail without any change in {', '.join(broken)}; mend them first")
    mutants = draw(paths, args.count)
    results: multiprocessing.Queue[tuple[Mutant, bool]] = multiprocessing.Queue()
    shares = [mutants[place :: args.workers] for place in range(args.workers)]
    workers = [multiprocessing.Process(target=_work, args=(share, results)) for share in shares]
    for worker in workers:
        worker.start()
    survivors, total, alive = [], Counter(), Counter()
    for done in range(1, len(mutants) + 1):
        mutant, lives = results.get()
        total[str(mutant.path)] += 1
        if lives:
            alive[str(mutant.path)] += 1
            survivors.append(mutant)
            print(
                f"[{done}/{len(mutants)}] survives: {mutant.path}:{mutant.line} {mutant.change}", flush=True
            )
    print()
    for path, count in sorted(total.items()):
        print(f"{path}: {alive[path]} of {count} survive")
    print(f"all: {len(survivors)} of {len(mutants)} survive, {len(survivors) / len(mutants):.1%}")


if __name__ == "__main__":
    main()
