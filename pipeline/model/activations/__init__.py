"""Another activation for a backbone: named in params.yaml, put in the place of every rectifier."""

from collections.abc import Callable, Iterator

from torch import nn

from pipeline.common.errors import UserError

RECTIFIERS = (  # kinked or smooth: all that stand between layers; gates (sigmoid, tanh, softmax) do not
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardswish,
)  # fmt: skip
MONAI = ("Swish", "MemoryEfficientSwish")  # by name: importing the classes would import all of MONAI


def swap(network: nn.Module, make: Callable[[], nn.Module]) -> None:
    """Put what `make` returns in the place of every rectifier inside `network`; works in place.

    Gates (sigmoid) and activations that were swapped before stay. The new ones get the mode of the old, and
    are as many as there are places, so that one module shared by several becomes several; hooks on the old
    ones are gone with them. Weights and their names do not change, since no rectifier but PReLU has any.
    Raises UserError if there is none, so that no network passes for smooth that is not.

    >>> net = nn.Sequential(nn.ReLU(inplace=True), nn.Sigmoid())
    >>> swap(net, lambda: nn.Softplus(20))
    >>> [type(layer).__name__ for layer in net]
    ['Softplus', 'Sigmoid']
    """
    places = list(rectifiers(network))
    if not places:
        raise UserError(
            "activation: nothing to replace, as the network has no rectifier that is a layer of its own "
            "(nn.ReLU, nn.GELU, ...); write its rectifiers as layers, or leave activation out"
        )
    for parent, name, old in places:
        parent._modules[name] = make().train(old.training)


def rectifiers(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """(parent, name in it, rectifier) of every place inside `network`; a shared one has several."""
    for parent in network.modules():
        for name, child in parent._modules.items():  # named_children() would skip a shared module
            if child is not None and (isinstance(child, RECTIFIERS) or type(child).__name__ in MONAI):
                yield parent, name, child
