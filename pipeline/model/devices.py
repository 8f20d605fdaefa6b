"""Where a model runs."""

import torch

from pipeline.common.errors import UserError


def choose_device(device: str) -> torch.device:
    """`auto` is the GPU if there is one; raises UserError for a GPU that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda"):
        index, count = int(device.partition(":")[2] or 0), torch.cuda.device_count()
        if index >= count:
            raise UserError(
                f"train.device: {device}: this machine shows {count} CUDA devices; use auto or cpu"
            )
    return torch.device(device)
