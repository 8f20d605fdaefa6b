"""Randomness as a pure function of (seed, purpose, ...), so that resumes and workers change nothing."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose; adding a purpose never moves another's numbers.

    >>> derive(0, "init") == derive(0, "init"), derive(0, "init") == derive(0, "order", 3)
    (True, False)
    """
    text = "\x1f".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_rng(seed: int, *purpose: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose."""
    return np.random.default_rng(derive(seed, *purpose))


def torch_rng(seed: int, *purpose: str | int) -> "torch.Generator":
    """A CPU torch generator for one purpose."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))
