"""Where a model runs, and that a GPU computes there as exactly as a CPU, and twice the same."""

import torch

from pipeline.common.errors import UserError


def choose_device(device: str) -> torch.device:
    """`auto` is the GPU if there is one; raises UserError for a GPU that is not there.

    For a GPU it sets, for the whole process: float32 convolutions without TF32, which is right to three
    digits only, and no cuDNN algorithm that adds in an order of its own or is chosen by a stopwatch.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        index, count = int(device.partition(":")[2] or 0), torch.cuda.device_count()
        if index >= count:
            raise UserError(
                f"train.device: {device}: this machine shows {count} CUDA devices; use auto or cpu"
            )
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
    return torch.device(device)
