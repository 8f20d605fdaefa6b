"""Half-Huber: ReLU with a parabola in place of its kink.

    phi(x) = 0 (x <= 0),   x^2 / (2 d) (0 <= x <= d),   x - d/2 (x >= d)

Woods, Chen and Teuscher, "Adversarial Explanations for Understanding Image Classification Decisions and
Improved Neural Network Robustness", 2019. Its slope clip(x, 0, d) / d has no jump, and it stays exactly 0 on
the negative side, unlike softplus.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn


class HalfHuber(nn.Module):
    """phi of the module's docstring with d = width."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def forward(self, values: Tensor) -> Tensor:
        """Elementwise; the three pieces are one formula, c (x - c/2) / d with c = clip(x, 0, d)."""
        clipped = values.clamp(0, self.width)
        return clipped * (values - clipped / 2) / self.width

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"width={self.width}"


def activation(*, width: Annotated[float, Field(gt=0)] = 0.5) -> nn.Module:
    """Half-Huber whose parabola ends at `width`.

    >>> import torch
    >>> activation()(torch.tensor([0.0, 0.25, 0.5, 1.0])).tolist()
    [0.0, 0.0625, 0.25, 0.75]
    """
    return HalfHuber(width)
