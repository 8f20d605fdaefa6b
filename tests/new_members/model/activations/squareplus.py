"""Squareplus (Barron, 2021): (x + sqrt(x^2 + b)) / 2."""

from typing import Annotated

from pydantic import Field
from torch import nn


class Squareplus(nn.Module):
    def __init__(self, b):
        super().__init__()
        self.b = b

    def forward(self, values):
        return (values + (values.square() + self.b).sqrt()) / 2


def activation(*, b: Annotated[float, Field(gt=0)] = 0.1) -> nn.Module:
    return Squareplus(b)
