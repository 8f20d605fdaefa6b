"""Bounded perturbations of images: projection, random starts, and ascent with gradients and without.

Projected gradient ascent is after Madry et al., ICLR 2018. Images (N, C, H, W) are in [0, 1], before a
model's own scaling, and so are budgets: `linf` bounds the largest change of a value, `l2` the Euclidean norm
of an image's change over (C, H, W). Every image stands for itself, nothing here depends on its batch.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]
TINY = 1e-30  # below every float32 gradient norm that matters; zero stays zero when divided by it


def project(perturbed: Tensor, images: Tensor, eps: float, norm: Norm) -> Tensor:
    """The point of the ball of radius eps around `images`, cut to [0, 1], that `perturbed` is brought to.

    linf: the nearest one. l2: the nearest one of the ball, then clipped; since images are in [0, 1],
    clipping only shortens the change.

    >>> project(torch.tensor([[[[0.9, 0.2]]]]), torch.tensor([[[[0.5, 0.5]]]]), 0.25, "linf").tolist()
    [[[[0.75, 0.25]]]]
    """
    if norm == "linf":
        near = torch.maximum(torch.minimum(perturbed, images + eps), images - eps)
    else:
        change = perturbed - images
        near = images + change * (eps / lengths(change).clamp_min(TINY)).clamp_max(1)
    return near.clamp(0, 1)


def random_start(images: Tensor, eps: float, norm: Norm) -> Tensor:
    """A random point of each image's ball, clipped to [0, 1]; draws from torch's global generator.

    linf: uniform. l2: a uniform direction and a uniform radius in [0, eps]; uniform in the ball would be on
    its surface, where in so many dimensions nearly all of its volume is.
    """
    if norm == "linf":
        return (images + eps * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
    direction = torch.randn_like(images)
    radius = eps * torch.rand((len(images), 1, 1, 1), device=images.device, dtype=images.dtype)
    return (images + direction / lengths(direction) * radius).clamp(0, 1)


def ascent(
    objective: Callable[[Tensor], Tensor],
    images: Tensor,
    start: Tensor,
    *,
    eps: float,
    steps: Iterable[float],
    norm: Norm,
) -> Iterator[Tensor]:
    """Projected gradient ascent: yields an iterate after each of the `steps`, detached and in the ball.

    steps: their sizes, in turn; linf goes along the gradient's sign, l2 along the gradient divided by its
    norm. An image whose gradient is zero stays. The objective maps (N, C, H, W) to (N,), is called once per
    iterate on the point that the step leaves, and gradients go to that point alone: no parameter has `.grad`.
    """
    current = start.detach()
    for size in steps:
        _, slope = with_gradient(objective, current)
        move = slope.sign() if norm == "linf" else slope / lengths(slope).clamp_min(TINY)
        current = project(current + size * move, images, eps, norm)
        yield current


@torch.no_grad()
def square_search(
    objective: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    eps: float,
    queries: int,
    generator: torch.Generator,
) -> Tensor:
    """The best point (N, C, H, W) that a search of the linf ball finds without any gradient.

    After the Square attack (Andriushchenko et al., ECCV 2020): a square moves to a side of the ball, another
    one per channel, and stays there in the images whose objective (N,) rises by that. All images are offered
    the same squares, the first as large as the image, the k-th with 1 / k of its area. generator: of the CPU.
    """
    best, found = objective(images), images
    side = min(images.shape[2:])
    for query in range(1, queries + 1):
        length = max(1, round(side / math.sqrt(query)))
        top, left = (
            int(torch.randint(size - length + 1, (), generator=generator)) for size in images.shape[2:]
        )
        signs = 2 * torch.randint(2, (images.shape[1], 1, 1), generator=generator) - 1
        inside = (..., slice(top, top + length), slice(left, left + length))
        tried = found.clone()
        tried[inside] = (images[inside] + eps * signs.to(images)).clamp(0, 1)
        value = objective(tried)
        rises = value > best
        best, found = torch.where(rises, value, best), torch.where(rises[:, None, None, None], tried, found)
    return found


def with_gradient(objective: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, Tensor]:
    """Values (N,) of the objective at points (N, C, H, W), and its gradient there; also under `no_grad`.

    The gradient is taken to the points alone: parameters get no `.grad`. Both results are detached.
    """
    with torch.enable_grad():
        leaf = points.detach().requires_grad_()
        values = objective(leaf)
        return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]


def lengths(change: Tensor) -> Tensor:
    """Euclidean norm over (C, H, W) of a batch, (N, 1, 1, 1)."""
    return torch.linalg.vector_norm(change, dim=(1, 2, 3), keepdim=True)
