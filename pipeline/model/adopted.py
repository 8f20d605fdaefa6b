"""Any torch network that ends in global average pooling and a linear layer, as a two-logit CAM classifier.

Nothing is trained. The network is run on a few images to find the linear layer that it ends with, and the
call that pools what this layer is given; from then on the network's own layers up to that call are the
features, and the rows of the linear layer that speak for both labels are the head:

    two outputs     the rows as they are; `output` says which one speaks for label 1 (by default the second)
    one output      halved, w / 2 for label 1 and -w / 2 for label 0, so that the difference is the logit
    more outputs    the same of the row that `output` names, as if each were a yes or no of its own

What comes after the linear layer, such as a sigmoid, must keep the order of the images and is left out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pipeline.common.errors import UserError
from pipeline.model.classifier import CamClassifier

POOLING = ("adaptive_avg_pool2d", "avg_pool2d", "mean")  # calls that can average maps over all places
CLOSE = 1e-3  # share of the largest number: what another order of sums may do


class Adopted(CamClassifier):
    """A CAM classifier whose features are somebody's network; it takes images in [0, 1] as that does."""

    def __init__(self, features: nn.Module, head: nn.Linear, in_channels: int) -> None:
        nn.Module.__init__(self)
        self.features, self.head, self.in_channels = features, head, in_channels
        self.register_buffer("mean", torch.zeros(1, in_channels, 1, 1))
        self.register_buffer("std", torch.ones(1, in_channels, 1, 1))


class UpToPooling(nn.Module):
    """A network as a feature extractor: what its `place`-th pooling call is given, (N, K, h, w)."""

    def __init__(self, network: nn.Module, place: int) -> None:
        super().__init__()
        self.network, self.place = network, place

    def forward(self, images: Tensor) -> Tensor:
        with _Watch() as seen:
            self.network(images)
        return seen.pooled[self.place].maps


class _Pooled(NamedTuple):
    maps: Tensor  # (N, K, h, w)
    result: Tensor


class _Linear(NamedTuple):
    given: Tensor
    weight: Tensor
    bias: Tensor | None
    result: Tensor


class _Watch(TorchFunctionMode):
    """Keeps the calls inside its block that may be global average pooling, and the last linear layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled: list[_Pooled] = []
        self.linear: _Linear | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in POOLING:
            maps = args[0] if args else kwargs["input"]
            if maps.ndim == 4:
                self.pooled.append(_Pooled(maps, result))
        elif name == "linear":
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
            self.linear = _Linear(given["input"], given["weight"], given.get("bias"), result)
        return result


def adopt(network: nn.Module, images: Tensor, output: int | None = None) -> Adopted:
    """The network as a two-logit CAM classifier in eval mode, on the images' device; nothing is copied.

    images: a few that it will be used on, float32 (n, C, S, S) in [0, 1], n >= 2. output: see the module's
    head. Raises UserError where the network does not take the images, has no global average pooling before
    a linear layer at its end, or does not answer the same twice, and for an `output` that it does not have.
    """
    network.to(images.device).eval()
    watch, answer = _run(network, images)
    if watch.linear is None:
        raise UserError("the network calls no linear layer; expected one (nn.Linear) at its end")
    linear = watch.linear
    place = _find_pooling(watch.pooled, linear)
    maps = watch.pooled[place].maps
    if maps[0, 0].numel() == 1:
        raise UserError(
            f"the network makes one cell of images of {images.shape[-1]} px, so that its maps show no place; "
            "prepare larger ones (prepare.image_size)"
        )
    chosen = _choose(len(linear.weight), output)
    head = _two_logits(linear, chosen)
    adopted = Adopted(UpToPooling(network, place), head, images.shape[1]).eval()
    # The layout in which all models of the project are used, so that one of them gives the very same numbers.
    adopted.to(device=images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        logits = adopted(images).logits
    found, expected = logits[:, 1] - logits[:, 0], _difference(linear.result, chosen)
    if not _same(found, expected):
        raise UserError("the network does not answer the same twice; expected no random numbers in eval mode")
    _check_order(answer, linear.result[:, chosen[0]], expected, chosen[0])
    return adopted


def _run(network: nn.Module, images: Tensor) -> tuple[_Watch, Any]:
    """What the network calls, and what it returns."""
    try:
        with torch.no_grad(), _Watch() as watch:
            answer = network(images)
    except Exception as error:  # anything can happen in somebody's code
        raise UserError(_not_taken(network, images, error)) from error
    return watch, answer


def _not_taken(network: nn.Module, images: Tensor, error: Exception) -> str:
    channels = images.shape[1]
    first = next((layer for layer in network.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is not None and first.in_channels != channels:
        return (
            f"the network takes {first.in_channels}-channel images, these have {channels}: prepare them so "
            "(`channels` of the data set in params.yaml), or convert them in the network's forward"
        )
    line = (str(error).splitlines() or [""])[0]
    return f"the network does not take images {tuple(images.shape)}: {type(error).__name__}: {line}"


def _find_pooling(pooled: Sequence[_Pooled], linear: _Linear) -> int:
    """The place of the call whose averages over all places are what the linear layer is given."""
    for place, (maps, result) in enumerate(pooled):
        means = maps.mean((2, 3))
        global_ = means.shape == linear.given.shape and result.numel() == means.numel()
        if global_ and _same(means, linear.given) and _same(result.reshape(means.shape), means):
            return place
    raise UserError(
        "the network's last linear layer is not given the means of feature maps (N, K, h, w) over all "
        "places; expected global average pooling right before it"
    )


def _choose(count: int, output: int | None) -> tuple[int, int | None]:
    """The outputs that speak for label 1, and for label 0 if there is one, of so many."""
    if output is None:
        if count > 2:
            raise UserError(
                f"the network has {count} outputs; say which one speaks for label 1: --class 0..{count - 1}"
            )
        output = count - 1
    if not 0 <= output < count:
        raise UserError(f"--class {output}: the network has {count} outputs, expected 0..{count - 1}")
    return output, 1 - output if count == 2 else None


def _two_logits(linear: _Linear, chosen: tuple[int, int | None]) -> nn.Linear:
    """The rows of both labels as a layer of their own, label 0 first."""
    weight = linear.weight.detach()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()
    one, other = chosen
    head = nn.Linear(weight.shape[1], 2)
    for parameter, rows in ((head.weight, weight), (head.bias, bias)):
        pair = (-rows[one] / 2, rows[one] / 2) if other is None else (rows[other], rows[one])
        parameter.data = torch.stack(pair).float()
    return head


def _difference(outputs: Tensor, chosen: tuple[int, int | None]) -> Tensor:
    one, other = chosen
    return outputs[:, one] if other is None else outputs[:, one] - outputs[:, other]


def _check_order(answer: Any, logit: Tensor, difference: Tensor, output: int) -> None:
    """Refuse a network that returns something else than its linear layer, a sigmoid or a softmax of it.

    What it returns for the output must order images as the layer's logit does, or the difference of logits.
    """
    if not isinstance(answer, Tensor) or answer.shape[:1] != logit.shape or output >= answer[0].numel():
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise UserError(f"the network returns {shape}; expected a tensor (N, outputs)")
    found = answer.reshape(len(answer), -1)[:, output]
    slack = CLOSE * found.abs().max()
    if all((found[order.argsort(stable=True)].diff() < -slack).any() for order in (logit, difference)):
        raise UserError(
            "the network's answer orders images otherwise than its last linear layer does; "
            "let it return what that layer gives"
        )


def _same(found: Tensor, expected: Tensor) -> bool:
    scale = expected.abs().max().clamp(min=1e-12)
    return bool(((found - expected).abs() <= CLOSE * scale).all())
