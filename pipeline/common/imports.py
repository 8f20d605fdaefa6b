"""Which source files a module really uses: DVC does not follow imports, so we do."""

import ast
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def closure(files: Iterable[Path]) -> list[Path]:
    """The given files and every file of `pipeline` that they import, directly or not, sorted.

    Imports inside functions count; members of catalogues, which are loaded by name, do not, nor do
    packages' `__init__.py` that hold words only.

    >>> [path.name for path in closure([PACKAGE / "common" / "cli.py"])]
    ['catalogue.py', 'cli.py', 'config.py', 'errors.py']
    """
    found: set[Path] = set()
    waiting = [path.resolve() for path in files]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported(path)
    return sorted(found)


def imported(path: Path) -> list[Path]:
    """The files of `pipeline` that one file imports, with the packages' code that runs on the way."""
    modules = [path.relative_to(PACKAGE.parent).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            base = tuple(node.module.split("."))
            modules += [base, *((*base, alias.name) for alias in node.names)]
    files: list[Path] = []
    for parts in modules:
        if parts[0] == PACKAGE.name:
            inside = PACKAGE.joinpath(*parts[1:])
            packages = [PACKAGE.joinpath(*parts[1:depth]) for depth in range(1, len(parts) + 1)]
            candidates = [inside.with_suffix(".py"), *(folder / "__init__.py" for folder in packages)]
            files += [file for file in candidates if file.is_file() and _has_code(file)]
    return [file for file in files if file != path]


def _has_code(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)
