"""|mean of dz_c / dx over noisy images| (Smilkov et al., 2017), by captum."""

from typing import Annotated

import torch
from captum.attr import NoiseTunnel, Saliency
from pydantic import Field
from torch import Tensor

from pipeline.explain.explanations import Logits, per_pixel, with_graph
from pipeline.model import CamClassifier

SIGNED = False
PAIR = None
DIFFERENTIABLE = False


def explanation(
    model: CamClassifier,
    images: Tensor,
    classes: Tensor,
    *,
    noise: Annotated[float, Field(ge=0)] = 0.15,
    samples: Annotated[int, Field(ge=1)] = 25,
) -> Tensor:
    """(N, H, W) of pixels, 0 or more. noise: Gaussian deviation in [0, 1], its authors advise 0.1 to 0.2.

    The noise, which is not clipped to [0, 1], is the same in every call with as many images: it hangs on an
    image's place in the batch and never touches torch's global generator.
    """
    tool = NoiseTunnel(Saliency(Logits(model)))
    settings = {"nt_samples": samples, "nt_samples_batch_size": 1, "stdevs": noise}
    with torch.random.fork_rng([images.device] if images.is_cuda else []):
        torch.manual_seed(0)
        return per_pixel(tool.attribute(with_graph(images), target=classes, abs=False, **settings))
