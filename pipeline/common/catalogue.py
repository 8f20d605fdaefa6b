"""Catalogues: a folder whose file names are the registry.

A loss, backbone, activation, regulariser, explanation, attack, adapter or phantom is one file in its folder.
params.yaml names one as `{name: <file>, <its settings>}`: a choice. The settings are the keyword-only
arguments of the file's public function, and constants in capitals say what the member is (`USES_MAPS`, ...).
Both are read from the source, so that checking settings imports neither torch nor any member.
"""

import ast
import importlib
import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from pipeline.common import limits
from pipeline.common.errors import UserError, nearest

PACKAGE = Path(__file__).resolve().parents[1]
ENTRY_POINTS = {  # catalogue folder -> the one public function of each of its files
    "data/adapters": "read",
    "drawing": "generate",
    "explain/attacks": "attack",
    "explain/explanations": "explanation",
    "model/activations": "activation",
    "model/backbones": "build",
    "model/losses": "loss",
    "model/regularisers": "regulariser",
}
COMMON: dict[
    str, dict[str, Any]
] = {  # catalogue folder -> keys that a choice may have beside its member's settings
    "data/adapters": {"root": str},  # sub-folder of the data set's root
    "model/backbones": {"weights": str | None},  # null, imagenet, or a file
}
_KNOWN_IN_SIGNATURES = {
    "Annotated": Annotated,
    "Field": Field,
    "Literal": Literal,
    "math": math,
    **{name: getattr(limits, name) for name in ("Count", "Fraction", "Positive", "Share")},
}


def names(catalogue: str) -> list[str]:
    """The members of a catalogue such as `model/losses`, sorted.

    >>> "cyborg" in names("model/losses")
    True
    """
    return sorted(path.stem for path in (PACKAGE / catalogue).glob("[!_]*.py"))


def get(catalogue: str, name: str) -> Callable[..., Any]:
    """The public function of one member; raises UserError with the nearest name if there is none."""
    if name not in names(catalogue):
        raise UserError(unknown(catalogue, name))
    function: Callable[..., Any] = getattr(
        importlib.import_module(_module(catalogue, name)), ENTRY_POINTS[catalogue]
    )
    return function


def make(catalogue: str, choice: Mapping[str, Any]) -> Callable[..., Any]:
    """A member's public function with the settings of a choice; raises UserError listing what is wrong.

    >>> make("model/activations", {"name": "softplus", "beta": 5})()
    Softplus(beta=5, threshold=20.0)
    """
    if found := problems(catalogue, choice):
        raise UserError([f"{catalogue}: {problem}" for problem in found])
    return partial(get(catalogue, choice["name"]), **settings(catalogue, choice))


def settings(catalogue: str, choice: Mapping[str, Any]) -> dict[str, Any]:
    """What a choice hands to its member: all but the name and the keys that every member shares."""
    return {key: value for key, value in choice.items() if key not in {"name", *COMMON.get(catalogue, ())}}


def filled(catalogue: str, choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice with every setting given, defaults too.

    >>> filled("model/activations", {"name": "softplus"})
    {'name': 'softplus', 'beta': 20.0}
    """
    model = settings_model(catalogue, choice["name"])
    return {"name": choice["name"], **model(**settings(catalogue, choice)).model_dump()}


def declared(catalogue: str, name: str, constant: str) -> Any:
    """A constant at the top of a member's source, such as USES_MAPS; raises UserError if it has none.

    >>> [declared("model/losses", name, "USES_MAPS") for name in ("cyborg", "cross_entropy")]
    [True, False]
    """
    for node in _tree(catalogue, name).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [constant]:
            return ast.literal_eval(node.value)
    raise UserError(f"{source(catalogue, name)}: declares no {constant}; see CONTRIBUTING.md")


def unknown(catalogue: str, name: str) -> str:
    """The line that says a member does not exist."""
    kind = catalogue.rsplit("/", 1)[-1]
    return f"{name!r} is not in pipeline/{catalogue}: {nearest(name, names(catalogue)) or f'no {kind}'}"


def source(catalogue: str, name: str) -> Path:
    """The file of one member."""
    return PACKAGE / catalogue / f"{name}.py"


def entry(catalogue: str, name: str) -> str:
    """A member's public function as `code.code_hash` takes it: `package.module:name`."""
    return f"{_module(catalogue, name)}:{ENTRY_POINTS[catalogue]}"


def problems(catalogue: str, choice: Any) -> list[str]:
    """What is wrong with a choice, one line each; empty if nothing is."""
    if not isinstance(choice, Mapping) or not isinstance(choice.get("name"), str):
        return [f"expected {{name: <file of pipeline/{catalogue}>, <its settings>}}, got {choice!r}"]
    if choice["name"] not in names(catalogue):
        return [unknown(catalogue, choice["name"])]
    model = settings_model(catalogue, choice["name"], **COMMON.get(catalogue, {}))
    try:
        model(**{key: value for key, value in choice.items() if key != "name"})
    except ValidationError as error:
        return describe(error, model)
    return []


def settings_model(catalogue: str, name: str, **common: Any) -> type[BaseModel]:
    """A pydantic model of a member's keyword-only arguments, read from its source.

    common: optional keys that it shall have besides, by name and type.
    """
    wanted = ENTRY_POINTS[catalogue]
    tree = _tree(catalogue, name)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == wanted)
    fields: dict[str, Any] = {key: (kind, None) for key, kind in common.items()}
    arguments = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    for argument, default in arguments:
        if argument.annotation is None:
            raise TypeError(f"{name}.{wanted}: argument {argument.arg!r} needs an annotation")
        fields[argument.arg] = (_value(argument.annotation), ... if default is None else _value(default))
    config = ConfigDict(extra="forbid", strict=True)  # values are handed on as they were read
    return create_model(f"{name}_settings", __config__=config, **fields)


def describe(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """One line per pydantic error: key, what was expected, what came, the nearest valid key."""
    lines = []
    for item in error.errors(include_url=False):
        where = prefix + ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            allowed = _fields_at(model, item["loc"][:-1])
            hint = nearest(str(item["loc"][-1]), allowed)
            lines.append(f"{where}: unknown key; {hint}")
        elif item["type"] == "missing":
            lines.append(f"{where}: missing; every key must be given")
        else:
            lines.append(f"{where}: {item['msg'].removeprefix('Value error, ')}, got {item['input']!r}")
    return lines


def _module(catalogue: str, name: str) -> str:
    return f"{PACKAGE.name}.{catalogue.replace('/', '.')}.{name}"


@cache
def _tree(catalogue: str, name: str) -> ast.Module:
    return ast.parse(source(catalogue, name).read_text(encoding="utf-8"))


def _value(expression: ast.expr) -> Any:
    """What an annotation or a default such as `8 / 255` stands for; names are few and known."""
    return eval(ast.unparse(expression), {"__builtins__": {}, **_BUILTINS, **_KNOWN_IN_SIGNATURES})


_BUILTINS = {kind.__name__: kind for kind in (bool, int, float, str, list, dict, tuple, round)}


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys a nested model allows at `location`, looking through dicts and optional types."""
    current: Any = model
    for part in location:
        if _is_model(current) and part in current.model_fields:
            current = current.model_fields[part].annotation
        current = _model_inside(current)
    return list(current.model_fields) if _is_model(current) else []


def _model_inside(annotation: Any) -> Any:
    if _is_model(annotation):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        inside = _model_inside(argument)
        if _is_model(inside):
            return inside
    return annotation


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
