"""Checkpoints: one safetensors file per unfinished cell, whole or absent, bound to the cell's key."""

import json
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.common.files import atomic

NAME = "checkpoint.safetensors"


def save(folder: Path, key: str, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Replace the checkpoint of a cell's folder; `about` is anything JSON can hold."""
    content = safetensors.torch.save(tensors, {"key": key, "about": json.dumps(about)})
    with atomic(folder / NAME) as temporary:
        temporary.write_bytes(content)


def load(folder: Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `save` was given; None if there is no checkpoint, or it is of another key or damaged."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, json.loads(metadata["about"])
    except (SafetensorError, ValueError, KeyError) as error:
        print(f"warning: {path}: damaged ({error}); the cell starts anew", file=sys.stderr)
        return None


def remove(folder: Path) -> None:
    """Forget the checkpoint of a cell that is finished."""
    (folder / NAME).unlink(missing_ok=True)
