"""The code that can change a result, as one hash: what a function reaches, without its words.

A key that hashed whole files would run a study again for a comment. Here a function, class or constant counts
by its syntax tree, and with it everything of this package that it names, in whatever module that stands; so
do the classes that its arguments are said to be of, since it calls their methods. What cannot change a result
is left out: comments, docstrings, annotations of functions, what an exception says.

What code finds by name at run time (members of catalogues) it does not name: give them as entries of their
own. Other packages are not followed; `constraints.txt` pins them.
"""

import ast
import copy
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipeline.common.files import canonical_json, sha256_text

PACKAGE = Path(__file__).resolve().parents[1]
WITHOUT_INFLUENCE = {  # modules that say, check or find something, and compute nothing
    "pipeline.common.catalogue",
    "pipeline.common.checks",
    "pipeline.common.config",
    "pipeline.common.errors",
    "pipeline.common.progress",
}
Symbol = tuple[str, str]  # (module, name of a definition at its top level)


@cache
def code_hash(*entries: str) -> str:
    """Hex SHA-256 of all that the entries reach; an entry is `package.module:name`.

    Raises KeyError for a name that its module does not define.

    >>> code_hash("pipeline.common.seeding:derive") == code_hash("pipeline.common.seeding:numpy_rng")
    False
    """
    return sha256_text(canonical_json(sorted(reached(*entries).items())))


def reached(*entries: str) -> dict[str, str]:
    """Every definition that the entries reach: `module:name` -> its source without words.

    >>> sorted(reached("pipeline.common.seeding:numpy_rng"))
    ['pipeline.common.seeding:derive', 'pipeline.common.seeding:numpy_rng']
    """
    found: dict[str, str] = {}
    waiting: list[Symbol] = []
    for entry in entries:
        module, _, name = entry.partition(":")
        if name not in _read(module).definitions:
            raise KeyError(f"{entry}: no such definition")
        waiting.append((module, name))
    while waiting:
        module, name = waiting.pop()
        place = f"{module}:{name}"
        if place in found or module in WITHOUT_INFLUENCE:
            continue
        found[place], named = _definition(module, name)
        waiting += named
        if name and _read(module).effects:
            waiting.append((module, ""))  # statements that run on import count with every definition
    return {place: text for place, text in found.items() if text}


@cache
def _definition(module: str, name: str) -> tuple[str, list[Symbol]]:
    """A definition's source without words, and what of this package it names."""
    known = _read(module)
    nodes = known.definitions[name] if name else known.effects
    text = "\n".join(ast.unparse(_Untyped().visit(copy.deepcopy(node))) for node in nodes)
    return text, [symbol for node in nodes for symbol in _named(node, module)]


class _Module(NamedTuple):
    """One source file: its definitions and imports by name, and what else runs when it is imported."""

    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, Symbol]  # local name -> (module, name); a blank name is the module itself
    effects: list[ast.stmt]


@cache
def _read(module: str) -> _Module:
    path = _file(module)
    if path is None:
        raise KeyError(f"{module}: no such module")
    tree = _Quiet().visit(ast.parse(path.read_text(encoding="utf-8")))
    known = _Module({}, {}, [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            known.imports.update(_imported(node))
    for node in tree.body:
        names = list(_defined(node))
        for name in names:
            known.definitions.setdefault(name, []).append(node)
        if (
            not names
            and not isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)
            and not _for_types(node)
        ):
            known.effects.append(node)
    return known


def _file(module: str) -> Path | None:
    """The source of a module of this package, None for any other name."""
    first, *parts = module.split(".")
    if first != PACKAGE.name:
        return None
    place = PACKAGE.joinpath(*parts)
    candidates = [place.with_suffix(".py")] if parts else []
    return next((path for path in [*candidates, place / "__init__.py"] if path.is_file()), None)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Symbol]]:
    """(local name, what it stands for) of one import from this package."""
    if isinstance(node, ast.Import):
        yield from (
            (alias.asname, (alias.name, "")) for alias in node.names if alias.asname and _file(alias.name)
        )
    elif node.module and node.module.split(".")[0] == PACKAGE.name:
        for alias in node.names:
            inside = f"{node.module}.{alias.name}"
            meant = (inside, "") if _file(inside) else (node.module, alias.name)
            yield alias.asname or alias.name, meant


def _defined(node: ast.stmt) -> Iterable[str]:
    """The names that a statement at the top of a module gives a meaning to."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [
        part.id for target in targets if target for part in ast.walk(target) if isinstance(part, ast.Name)
    ]


def _for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")


def _named(node: ast.AST, module: str) -> Iterator[Symbol]:
    """What of this package a definition names, where it is defined."""
    heads = {id(part.value) for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            yield from _meant(module, part.value.id, part.attr)
        elif isinstance(part, ast.Name) and id(part) not in heads:
            yield from _meant(module, part.id, None)


def _meant(module: str, name: str, attribute: str | None) -> Iterator[Symbol]:
    """The definitions behind `name` or `name.attribute` as `module` reads them."""
    known = _read(module)
    if name in known.definitions:
        yield module, name
    elif name in known.imports:
        source, inner = known.imports[name]
        if inner:
            yield from _meant(source, inner, None)
        elif attribute is None or attribute not in {*_read(source).definitions, *_read(source).imports}:
            yield from ((source, each) for each in _read(source).definitions)  # handed on whole
        else:
            yield from _meant(source, attribute, None)


class _Quiet(ast.NodeTransformer):
    """Drops docstrings, and what exceptions say."""

    def _without_docstring(self, node: ast.AST) -> ast.AST:
        body: list[ast.stmt] = node.body  # type: ignore[attr-defined]
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
        return self.generic_visit(node)

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _without_docstring

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        node.cause = None
        return node


class _Untyped(ast.NodeTransformer):
    """Drops the annotations of functions; those of classes (fields and their limits) stay."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node
