"""Forwards beside a training step's own one: for attacks on the model, and for its input gradients in a loss.

They leave the model as it was, batch normalisation's running statistics and counters included, so that one
step still moves these once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from pipeline.model.classifier import CamClassifier


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode inside the block; every module's own mode comes back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def unrecorded(model: nn.Module) -> Iterator[None]:
    """Batch normalisation uses the batch's statistics, as its mode says, but does not keep them."""
    recording: list[Any] = [
        module for module in model.modules() if getattr(module, "track_running_stats", False)
    ]
    for module in recording:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in recording:
            module.track_running_stats = True


def input_gradient(
    model: CamClassifier, images: Tensor, score: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """(x, d(sum of score(logits))/dx), both (N, C, H, W), with a graph that is right at any order.

    score maps logits (N, 2) to (N,); x is `images` as a new leaf, in [0, 1] before the model's own scaling.
    Always without autocast: in bfloat16 the gradient of a squared input gradient points elsewhere (a cosine
    of 0.5 on an untrained DenseNet-121). Further derivatives should leave autocast as well.
    """
    leaf = images.detach().requires_grad_()
    with torch.autocast(images.device.type, enabled=False):
        with unrecorded(model), _ComposedNorms():
            logits = model(leaf).logits
        (gradient,) = torch.autograd.grad(score(logits).sum(), leaf, create_graph=True)
    return leaf, gradient


class _ComposedNorms(TorchFunctionMode):
    """Batch normalisation made of simple operations, where it uses the batch's statistics.

    torch's own takes these for constants in its second derivative, so that a third one, which the gradient
    of a curvature needs, comes out wrong without a word. Composed, double backward is faster too.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        composed = _batch_norm if func is functional.batch_norm else func
        return composed(*args, **(kwargs or {}))


def _batch_norm(
    values: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    if not training:
        return functional.batch_norm(values, mean, variance, weight, bias, training, momentum, eps)
    around, centre = torch.var_mean(values, (0, 2, 3), correction=0)
    scale = weight * (around + eps).rsqrt()
    shift = bias - centre * scale
    return torch.addcmul(shift[:, None, None], values, scale[:, None, None])
