"""Catalogues: a folder whose file names are the registry.

A loss, backbone, activation, regulariser, attack, adapter or phantom is one file in its folder; its public
function's keyword-only arguments are the settings that `params.yaml` may give it. Signatures are read from
the source, so that checking settings imports neither torch nor the catalogue's other members.
"""

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from pipeline.common.errors import UserError, nearest

PACKAGE = Path(__file__).resolve().parents[1]
ENTRY_POINTS = {  # catalogue folder -> the one public function of each of its files
    "data/adapters": "read",
    "data/phantoms": "generate",
    "explain/attacks": "attack",
    "model/activations": "activation",
    "model/backbones": "build",
    "model/losses": "loss",
    "model/regularisers": "regulariser",
}
_ANNOTATION_NAMES = {"Annotated": Annotated, "Field": Field, "Literal": Literal}


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
    module = importlib.import_module(f"pipeline.{catalogue.replace('/', '.')}.{name}")
    function: Callable[..., Any] = getattr(module, ENTRY_POINTS[catalogue])
    return function


def unknown(catalogue: str, name: str) -> str:
    """The line that says a member does not exist."""
    kind = catalogue.rsplit("/", 1)[-1]
    return f"{name!r} is not in pipeline/{catalogue}: {nearest(name, names(catalogue)) or f'no {kind}'}"


def source(catalogue: str, name: str) -> Path:
    """The file of one member."""
    return PACKAGE / catalogue / f"{name}.py"


def problems(catalogue: str, name: str, settings: dict[str, Any]) -> list[str]:
    """What is wrong with a member's name or settings, one line each; empty if nothing is."""
    if name not in names(catalogue):
        return [unknown(catalogue, name)]
    try:
        settings_model(catalogue, name)(**settings)
    except ValidationError as error:
        return describe(error, settings_model(catalogue, name))
    return []


def settings_model(catalogue: str, name: str) -> type[BaseModel]:
    """A pydantic model of a member's keyword-only arguments, read from its source."""
    tree = ast.parse(source(catalogue, name).read_text(encoding="utf-8"))
    wanted = ENTRY_POINTS[catalogue]
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == wanted)
    fields: dict[str, Any] = {}
    arguments = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    for argument, default in arguments:
        if argument.annotation is None:
            raise TypeError(f"{name}.{wanted}: argument {argument.arg!r} needs an annotation")
        annotation = eval(ast.unparse(argument.annotation), dict(_ANNOTATION_NAMES))
        value = ... if default is None else ast.literal_eval(default)
        fields[argument.arg] = (annotation, value)
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
            lines.append(f"{where}: {item['msg']}, got {item['input']!r}")
    return lines


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
