"""Members of catalogues as tests take them: found by their files, told apart by what they declare."""

from typing import Any, Literal, get_args, get_origin

from pipeline.common import catalogue

Choice = dict[str, Any]


def choices(kind: str) -> list[Choice]:
    """Every member with its defaults, and with each value of its settings that name one of a few."""
    found = []
    for name in catalogue.names(kind):
        found.append({"name": name})
        for key, field in catalogue.settings_model(kind, name).model_fields.items():
            values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            found += [{"name": name, key: value} for value in values if value != field.default]
    return found


def declaring(kind: str, constant: str, value: Any = True) -> list[str]:
    """The members whose file says so, such as `USES_MAPS = True`."""
    return [name for name in catalogue.names(kind) if catalogue.declared(kind, name, constant) == value]


def called(choice: Choice) -> str:
    """An id for pytest."""
    return "-".join(map(str, choice.values()))
