"""What every section of params.yaml is made of."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _named(value: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError("expected {name: <a file of the catalogue>, <its settings>}")
    return value


Choice = Annotated[dict[str, Any], BeforeValidator(_named)]  # of a member of a catalogue
Seeds = Annotated[list[int], Field(min_length=1)]


class Section(BaseModel):
    """A part of params.yaml: unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
