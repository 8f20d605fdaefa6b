"""A network from a function in somebody's own Python file, `file.py:function`; the code in it is run."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from pipeline.common.errors import UserError, nearest


def network_of(file: Path, function: str) -> nn.Module:
    """What the function returns, called without arguments; the file may import others beside it.

    Raises UserError if the file or the function is not there, either raises, or no module comes back.
    """
    if file.suffix != ".py" or not file.is_file():
        raise UserError(f"{file}: no such Python file; expected file.py:function")
    sys.path.insert(0, str(file.resolve().parent))
    module = _imported(file)
    made = getattr(module, function, None)
    if not callable(made):
        own = {
            name: getattr(value, "__module__", "") for name, value in vars(module).items() if callable(value)
        }
        known = [name for name, place in own.items() if place == module.__name__]
        raise UserError(f"{file}: no function {function!r}: {nearest(function, known)}")
    try:
        network = made()
    except Exception as error:  # anything can happen in somebody's code
        raise UserError(f"{file}: {function}() raised {_line(error)}; --debug shows where") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"{file}: {function}() returned {type(network).__name__}; expected a torch.nn.Module")
    return network


def _imported(file: Path) -> ModuleType:
    """The file as a module under a name that no other module has."""
    name = f"audited_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # it is a .py file
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{file}: cannot be imported: {_line(error)}; --debug shows where") from error
    return module


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
