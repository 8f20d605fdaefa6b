"""Maps that attacks want a model to show, whatever the image: SHAM's border, and passive fooling's frame."""

import math

import torch
from torch import Tensor

SHARE = 28 / 49  # of the border's cells, from the 7x7 grid
FRAME = 7  # of a side's cells one in so many


def border(height: int, width: int, entropy: float | None = None) -> Tensor:
    """SHAM's target T, float32 (height, width) of 0 and 1: rings from outside, in each the corners first.

    A ring fills from its corners towards the middles of its sides; of equally near cells those at the first
    corner and the one opposite come first. entropy: of the target in nats, so that round(exp(entropy)) cells
    are 1, all of them at most; by default 28/49 of the cells, 7x7's share, so that a hoax covers the same
    part of any image (this project's reading).

    >>> int(border(7, 7).sum()), int(border(12, 12).sum())
    (28, 82)
    >>> border(4, 5, entropy=1.79).int().tolist()
    [[1, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]]
    """
    cells = round(height * width * SHARE) if entropy is None else round(math.exp(entropy))
    from_top, from_left = torch.arange(height)[:, None], torch.arange(width)
    down = torch.minimum(from_top, height - 1 - from_top)
    right = torch.minimum(from_left, width - 1 - from_left)
    ring = torch.minimum(down, right)
    to_corner = torch.maximum(down, right) - ring
    other_diagonal = (2 * from_top >= height) != (2 * from_left >= width)
    rank = (ring * (height + width) + to_corner) * 2 + other_diagonal
    filled = torch.zeros(height * width)
    filled[torch.argsort(rank.flatten(), stable=True)[:cells]] = 1
    return filled.view(height, width)


def frame(height: int, width: int) -> Tensor:
    """Passive fooling's F, float32 (height, width): 1 on a frame a seventh of the side wide, or one cell.

    >>> frame(3, 4).int().tolist()
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    vertical, horizontal = max(1, height // FRAME), max(1, width // FRAME)
    framed = torch.ones(height, width)
    framed[vertical : height - vertical, horizontal : width - horizontal] = 0
    return framed
