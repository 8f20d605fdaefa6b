"""Limits that settings share, for sections of params.yaml and for the signatures of catalogues' members."""

from typing import Annotated, Literal

from pydantic import Field

Share = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]  # of a data set, a method and the like
MapSource = Literal[  # whose maps guide a training; what each means: pipeline/model/map_sources.py
    "human", "shuffled", "within_class", "class_mean", "mean", "moved", "noise", "inverted", "truth"
]  # fmt: skip
