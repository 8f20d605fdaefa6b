"""Another activation for a backbone: named in params.yaml, put in the place of every rectifier."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from pipeline.common import catalogue
from pipeline.common.errors import UserError

CATALOGUE = "model/activations"
MONAI = ("Swish", "MemoryEfficientSwish")  # by name: importing the classes would import all of MONAI


def swap(module: nn.Module, make: Callable[[], nn.Module]) -> None:
    """Put what `make` returns in the place of every ReLU and SiLU inside `module`; works in place.

    Gates (sigmoid) and activations that were swapped before stay. The new ones get the mode of the old, and
    are as many as there are places, so that one module shared by several becomes several; hooks on the old
    ones are gone with them. Weights and their names do not change, since none of these have any.

    >>> net = nn.Sequential(nn.ReLU(inplace=True), nn.Sigmoid())
    >>> swap(net, lambda: nn.Softplus(20))
    >>> [type(layer).__name__ for layer in net]
    ['Softplus', 'Sigmoid']
    """
    for parent in list(module.modules()):
        for name, child in list(parent._modules.items()):  # named_children() would skip a shared module
            if child is not None and _rectifies(child):
                parent._modules[name] = make().train(child.training)


def _rectifies(module: nn.Module) -> bool:
    return isinstance(module, nn.ReLU | nn.SiLU) or type(module).__name__ in MONAI


def named(choice: Mapping[str, Any]) -> Callable[[], nn.Module]:
    """What makes the activation of a choice such as `{"name": "softplus", "beta": 20}`.

    Raises UserError for a name or a setting that does not exist.

    >>> named({"name": "half_huber", "width": 1.0})()
    HalfHuber(width=1.0)
    """
    settings = {key: value for key, value in choice.items() if key != "name"}
    if problems := catalogue.problems(CATALOGUE, choice["name"], settings):
        raise UserError([f"activation: {problem}" for problem in problems])
    return partial(catalogue.get(CATALOGUE, choice["name"]), **settings)
