"""First weights for a backbone: ImageNet files as published, or any state dict of the same network."""

import importlib
import os
import re
from pathlib import Path
from pickle import UnpicklingError

import safetensors.torch
import torch
from safetensors import SafetensorError

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.model.backbones import FeatureExtractor, PublishedWeights


def find(backbone: str, weights: str) -> Path:
    """The file that `weights` (`imagenet` or a path) means; raises UserError if it is not there.

    ImageNet files are looked for in the folder named by CAMDIVIDE_WEIGHTS (default `data/weights`), as
    `<backbone>.safetensors` or under their published name, then in torch hub's cache. Nothing is
    downloaded.
    """
    if weights != "imagenet":
        path = Path(weights)
        if not path.is_file():
            raise UserError(f"backbones.{backbone}.weights: no file {path}; give null, imagenet or a file")
        return path
    published = _published_weights(backbone)
    if published is None:
        raise UserError(f"backbones.{backbone}.weights: imagenet: none are published for it; use null")
    folder = Path(os.environ.get("CAMDIVIDE_WEIGHTS", "data/weights"))
    name = published.url.rsplit("/", 1)[1]
    places = [folder / f"{backbone}.safetensors", folder / name]
    for path in [*places, Path(torch.hub.get_dir()) / "checkpoints" / name]:
        if path.is_file():
            return path
    raise UserError(
        f"backbones.{backbone}.weights: imagenet: no file {places[0]} or {places[1]}; "
        f"get {published.url} and put it there"
    )


def load_into(features: FeatureExtractor, backbone: str, path: Path) -> None:
    """Copy a file's tensors into `features`; raises UserError unless every parameter is covered.

    Names may be ours or the published ones, with or without a leading `features.` or `module.`; a
    classification head in the file is left out. A three-channel first convolution is summed for grey
    input, which equals feeding it the grey image three times.
    """
    published = _published_weights(backbone)
    renames = published.renames if published else ()
    theirs = {_canonical_name(name, renames): value for name, value in _read_tensors(path).items()}
    ours = features.state_dict()
    problems = []
    for name, value in ours.items():
        found = theirs.get(_canonical_name(name, renames))
        if found is None:
            if not name.endswith("num_batches_tracked"):  # absent from files of before 2018
                problems.append(f"{path}: no tensor for {name}")
        elif (fitting := _fit_shape(found, value)) is None:
            problems.append(f"{path}: {name}: expected shape {tuple(value.shape)}, got {tuple(found.shape)}")
        else:
            ours[name] = fitting
    if problems:
        more = [f"{path}: ... and {len(problems) - 3} more"] if len(problems) > 3 else []
        raise UserError([*problems[:3], *more, f"{path}: these are not weights of {backbone}"])
    features.load_state_dict(ours)


def read(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file or a plain state dict by name; no code in it is run.

    Raises UserError if the file is absent, damaged or something else.
    """
    if not path.is_file():
        raise UserError(f"{path}: not found; expected a safetensors file or a state dict")
    return _read_tensors(path)


def _published_weights(backbone: str) -> PublishedWeights | None:
    module = importlib.import_module(catalogue.get("model/backbones", backbone).__module__)
    return getattr(module, "PUBLISHED", None)


def _canonical_name(name: str, renames: tuple[tuple[str, str], ...]) -> str:
    name = re.sub(r"^(module\.)?(features\.)?", "", name)
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{path}: not a safetensors file or a plain state dict: {line}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path}: expected a state dict of tensors, got {type(state).__name__}")
    return state


def _fit_shape(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor | None:
    """`found` in the shape of `wanted`, or None if they are different things."""
    if found.shape == wanted.shape:
        return found
    if found.ndim == 4 and found.shape[1] == 3 and wanted.shape == (len(found), 1, *found.shape[2:]):
        return found.sum(1, keepdim=True)
    if found.squeeze().shape == wanted.squeeze().shape:  # 1x1 convolution <-> linear layer
        return found.reshape(wanted.shape)
    return None
